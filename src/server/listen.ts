/**
 * The listener: Bun.serve around `handle`. It knows sockets and their addresses, and nothing of tokens.
 */
import type { Server } from 'bun';
import type { TlsMaterial } from '../keys/tls-material.ts';
import { waitAtMost } from '../platform/wait.ts';
import type { ClientConnection } from '../request/client-connection.ts';

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
   * Of a TLS listener alone. New connections get this material when it resolves; open ones are closed with their next answer.
   * Client certificates are judged by it from the call on, also those of open connections. Rejects where it cannot be used:
   * everything then stays as it was.
   */
  readonly reload?: (material: TlsMaterial) => Promise<void>;
}

/** A body larger than this is cut off by Bun itself; `request/` refuses smaller ones with a document. */
export const MAX_BODY_BYTES = 1024 * 1024;
/** A connection that is idle for this long is closed; a client that is still there opens a new one. */
export const IDLE_SECONDS = 30;
/** After this time a connection is closed with its next answer, so that no connection outlives what it was made with for long. */
export const LIFETIME_SECONDS = 3600;

/** Listens at once. Throws where the address cannot be had. */
export function listen({ host, port, handle, sharesPort = false }: ListenOptions): Listener {
  const drain = new Drain();
  const server: Server<undefined> = Bun.serve({
    hostname: host,
    port,
    maxRequestBodySize: MAX_BODY_BYTES,
    idleTimeout: IDLE_SECONDS,
    development: false,
    // With `development: false` Bun shares the port by default: two services would do so silently.
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

/** Throws if something already listens there: two services that allow sharing a port would otherwise share it silently. */
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

/** A client that reuses its connection sends the next request sooner than this. */
const QUIET_MS = 100;
/** If requests never pause, the listener stops waiting after this time. */
const LONGEST_MS = 1000;
const LOOK_MS = 5;

/**
 * Graceful stop, first phase: requests already on their way over open connections are answered, and each answer closes
 * its connection. Bun.serve's own stop closes idle connections at once and loses what their clients have already sent.
 */
export class Drain {
  #isDraining = false;
  /** In milliseconds of `performance.now()`. */
  #lastRequest = 0;

  /** Returns the answer; while the listener drains, with `Connection: close`. */
  async closing(answer: Promise<Response>): Promise<Response> {
    if (this.#isDraining) this.#lastRequest = performance.now();
    const response = await answer;
    if (this.#isDraining) response.headers.set('Connection', 'close');
    return response;
  }

  /** Whether answers close their connections. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  /**
   * Resolves when no request has arrived for QUIET_MS, at the latest after `mostMs`; `isExpecting` says whether there are
   * connections whose first request cannot be read yet.
   */
  async start(mostMs: number, isExpecting: () => boolean = () => false): Promise<void> {
    const began = performance.now();
    this.#isDraining = true;
    this.#lastRequest = began;
    const end = began + Math.min(mostMs, LONGEST_MS);
    for (let now = began; now < end && now < this.#lastRequest + QUIET_MS; now = performance.now()) {
      if (isExpecting()) this.#lastRequest = now;
      await Bun.sleep(LOOK_MS);
    }
  }
}
