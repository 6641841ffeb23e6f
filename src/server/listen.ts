/**
 * The listener: Bun.serve around `handle`. It knows sockets and their addresses, and nothing of tokens.
 */
import type { Server } from 'bun';
import type { ClientConnection } from '../request/client-connection.ts';

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly handle: (request: Request, connection: ClientConnection) => Promise<Response>;
}

export interface Listener {
  /** Where it listens, `http://127.0.0.1:8085`; the port is the real one where 0 was asked for. */
  readonly url: string;
  readonly port: number;
  /** Takes no more connections, and resolves when running requests are answered or `graceMs` have passed. */
  readonly stop: (graceMs: number) => Promise<void>;
}

/** A body larger than this is cut off by Bun itself; `request/` refuses smaller ones with a document. */
const MAX_BODY_BYTES = 1024 * 1024;
const IDLE_SECONDS = 30;

/** Listens at once. Throws where the address cannot be had. */
export function listen({ host, port, handle }: ListenOptions): Listener {
  const server: Server<undefined> = Bun.serve({
    hostname: host,
    port,
    maxRequestBodySize: MAX_BODY_BYTES,
    idleTimeout: IDLE_SECONDS,
    development: false,
    fetch: (request, server): Promise<Response> =>
      handle(request, { address: server.requestIP(request)?.address ?? 'unknown', certificate: null }),
  });
  const bound = server.port ?? port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    stop: async (graceMs) => {
      const drained = server.stop();
      const timer = Promise.withResolvers<void>();
      const timeout = setTimeout(timer.resolve, graceMs);
      await Promise.race([drained, timer.promise]);
      clearTimeout(timeout);
      await server.stop(true);
    },
  };
}
