/**
 * The listener: Bun.serve around `handle`. It knows sockets and their addresses, and nothing of tokens.
 */
import type { Server } from 'bun';
import type { TlsMaterial } from '../keys/tls-material.ts';
import { waitAtMost } from '../platform/wait.ts';
import type { ClientConnection } from '../request/client-connection.ts';
import { Drain } from './drain.ts';

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly handle: (request: Request, connection: ClientConnection) => Promise<Response>;
  /** Whether other threads of this process listen on the same port; a port that another process has is refused anyway. */
  readonly sharesPort?: boolean;
}

export interface Listener {
  /** Where it listens, `http://127.0.0.1:8085`; the port is the real one where 0 was asked for. */
  readonly url: string;
  readonly port: number;
  /**
   * Closes each connection with its next answer; when no more requests come, takes no more connections, and resolves when
   * running requests are answered or `graceMs` have passed.
   */
  readonly stop: (graceMs: number) => Promise<void>;
  /**
   * Of a TLS listener alone. When it resolves, new connections get this material; open ones keep theirs, and with it
   * what was found of their client's certificate. Rejects where it cannot be used: everything then stays as it was.
   */
  readonly reload?: (material: TlsMaterial) => Promise<void>;
}

/** A body larger than this is cut off by Bun itself; `request/` refuses smaller ones with a document. */
export const MAX_BODY_BYTES = 1024 * 1024;
/** A client that says nothing for so long has gone, or asks again as easily over a new connection. */
export const IDLE_SECONDS = 30;

/** Listens at once. Throws where the address cannot be had. */
export function listen({ host, port, handle, sharesPort = false }: ListenOptions): Listener {
  const drain = new Drain();
  const server: Server<undefined> = Bun.serve({
    hostname: host,
    port,
    maxRequestBodySize: MAX_BODY_BYTES,
    idleTimeout: IDLE_SECONDS,
    development: false,
    // Bun's default beside `development: false` is to share the port: two services would, without a word.
    reusePort: sharesPort,
    fetch: (request, server): Promise<Response> =>
      drain.closing(
        handle(request, { address: peerAddress(server.requestIP(request)?.address), certificate: null }),
      ),
  });
  const bound = server.port ?? port;
  return {
    url: listenerUrl('http', host, bound),
    port: bound,
    stop: async (graceMs) => {
      const end = performance.now() + graceMs;
      await drain.start(graceMs);
      await waitAtMost(end - performance.now(), server.stop());
      await server.stop(true);
    },
  };
}

/** Throws where something listens already: two services that allow to share a port would do so without a word. */
export function checkPortIsFree(hostname: string, port: number): void {
  Bun.listen({ hostname, port, socket: { data: () => {} } }).stop(true);
}

export function listenerUrl(scheme: 'http' | 'https', host: string, port: number): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** A listener on `[::]` sees an IPv4 client as ::ffff:192.0.2.7; lists of networks have it as 192.0.2.7. */
export function peerAddress(address: string | undefined): string {
  return address?.replace(/^::ffff:(?=\d+\.)/i, '') ?? 'unknown';
}
