/** The addresses that `dev` listens on and the peers that its Authority answers: loopback only. */
import { isLoopback } from '../platform/loopback.ts';

export interface LoopbackAddress {
  /** As Bun.serve takes it: no brackets. */
  readonly host: string;
  readonly port: number;
  /** `host:port` as it stands in a URL. */
  readonly text: string;
}

/** `127.0.0.1:8085`, `[::1]:8085` or `localhost:8085`; null for any other host, and for a port outside 1 to 65535. */
export function parseLoopbackAddress(text: string): LoopbackAddress | null {
  const [, host = '', digits] = /^([^[\]:]+|\[[^[\]]+\]):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (!(port >= 1 && port <= 65535) || !isLoopback(host)) return null;
  return { host: host.replace(/[[\]]/g, ''), port, text: text.toLowerCase() };
}

export interface LoopbackListener {
  /** Stops at once; requests under way are aborted. */
  readonly stop: () => Promise<void>;
}

/** Listens on a loopback address and refuses peers that are not on loopback. Throws if the address cannot be bound. */
export function listenOnLoopback(
  { host, port }: LoopbackAddress,
  handle: (request: Request) => Promise<Response>,
): LoopbackListener {
  const server = Bun.serve({
    hostname: host,
    port,
    maxRequestBodySize: 64 * 1024,
    development: false,
    // Bun's default beside `development: false` is to share the port with any listener of the same user.
    reusePort: false,
    fetch: (request, server) =>
      isLoopback(server.requestIP(request)?.address ?? '')
        ? handle(request)
        : Response.json({ error: 'access_denied' }, { status: 403 }),
    error: () => Response.json({ error: 'server_error' }, { status: 500 }),
  });
  return { stop: () => server.stop(true) };
}

/** Whether an address is in use, found by trying to bind it. */
export function isTaken({ host, port }: LoopbackAddress): boolean {
  try {
    Bun.listen({ hostname: host, port, socket: { data: () => {} } }).stop(true);
    return false;
  } catch {
    return true;
  }
}
