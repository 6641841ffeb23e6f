/**
 * The listener: Bun.serve around `handle`. It knows sockets and their addresses, and nothing of tokens.
 */
import type { Server } from 'bun';
import type { TlsMaterial } from '../keys/tls-material.ts';
import { waitAtMost } from '../platform/wait.ts';
import type { ClientConnection } from '../request/client-connection.ts';
import type { Descriptors } from './descriptors.ts';

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly handle: (request: Request, connection: ClientConnection) => Promise<Response>;
  /** Whether other threads of this process listen on the same port; a port that another process has is refused anyway. */
  readonly sharesPort?: boolean;
  /** While they are few, this listener has fewer connections. Without it, the listener accepts all that come. */
  readonly descriptors?: Descriptors;
}

export interface ListenPlainOptions extends ListenOptions {
  /** Default `LIFETIME_SECONDS`. */
  readonly lifetimeSeconds?: number;
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
/** After this time a connection is closed with its next answer. */
export const LIFETIME_SECONDS = 3600;

/** How often the listeners look whether descriptors are few. */
export const LOOK_MS = 100;

/** Listens at once. Throws if the address cannot be used. */
export function listen({
  host,
  port,
  handle,
  sharesPort = false,
  descriptors,
  lifetimeSeconds = LIFETIME_SECONDS,
}: ListenPlainOptions): Listener {
  const drain = new Drain();
  const ages = new ConnectionAges(lifetimeSeconds * 1000);
  let isShedding = false;
  const open = (port: number): Server<undefined> =>
    Bun.serve({
      hostname: host,
      port,
      maxRequestBodySize: MAX_BODY_BYTES,
      idleTimeout: IDLE_SECONDS,
      development: false,
      // With `development: false` Bun shares the port by default: two services would do so silently.
      reusePort: sharesPort,
      fetch: (request, server): Promise<Response> => {
        const peer = server.requestIP(request);
        const isOld = peer !== null && ages.isOld(peer, performance.now());
        const answer = handle(request, { address: peerAddress(peer?.address), certificate: null });
        return drain.closing(answer, () => isOld || isShedding);
      },
    });
  let server: Server<undefined> | null = open(port);
  const bound = server.port ?? port;
  /** Those that accept no connection any more, until their last one is closed. */
  const paused = new Set<Server<undefined>>();
  const pause = () => {
    if (server === null) return;
    const ending = server;
    server = null;
    paused.add(ending);
    // Closes idle connections too.
    void ending.stop().then(() => paused.delete(ending));
  };
  const resume = () => {
    try {
      server ??= open(bound);
    } catch {
      // Another process has the port, or there is no descriptor: the next look tries again.
    }
  };
  const look = (descriptors: Descriptors) => {
    const level = descriptors.level();
    isShedding = level !== 'enough';
    if (level === 'none') pause();
    else if (level === 'few') server?.closeIdleConnections();
    else resume();
  };
  const looking = descriptors === undefined ? null : setInterval(() => look(descriptors), LOOK_MS);
  looking?.unref();
  return {
    url: listenerUrl('http', host, bound),
    port: bound,
    stop: async (graceMs) => {
      const end = performance.now() + graceMs;
      if (looking !== null) clearInterval(looking);
      await drain.start(graceMs);
      const servers = server === null ? [...paused] : [server, ...paused];
      await waitAtMost(end - performance.now(), Promise.all(servers.map((each) => each.stop())));
      await Promise.all(servers.map((each) => each.stop(true)));
    },
  };
}

/** Longer than a connection may be idle, so that no connection in use is forgotten. */
const FORGET_MS = 60_000;
/** Beyond, connections are forgotten sooner, and may live longer: about 5 MB. */
const MAX_REMEMBERED = 25_000;

/**
 * Since when connections are in use. Bun.serve tells the address and port of a request's client, and nothing more of its
 * connection; a new connection from a port that was used within two minutes counts as the one before.
 */
class ConnectionAges {
  readonly #lifetimeMs: number;
  #recent = new Map<string, number>();
  #former = new Map<string, number>();
  #turnedAt = 0;

  constructor(lifetimeMs: number) {
    this.#lifetimeMs = lifetimeMs;
  }

  /** Whether this connection should be closed, and is then forgotten. `now` in milliseconds of `performance.now()`. */
  isOld({ address, port }: { readonly address: string; readonly port: number }, now: number): boolean {
    const key = `${address} ${port}`;
    const known = this.#recent.get(key);
    const since = known ?? this.#former.get(key) ?? now;
    if (now - since > this.#lifetimeMs) {
      this.#recent.delete(key);
      this.#former.delete(key);
      return true;
    }
    if (known === undefined) this.#remember(key, since, now);
    return false;
  }

  #remember(key: string, since: number, now: number): void {
    if (this.#recent.size >= MAX_REMEMBERED || now - this.#turnedAt > FORGET_MS) {
      this.#former = this.#recent;
      this.#recent = new Map();
      this.#turnedAt = now;
    }
    this.#recent.set(key, since);
  }
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
const DRAIN_LOOK_MS = 5;

/**
 * Graceful stop, first phase: requests already on their way over open connections are answered, and each answer closes
 * its connection. Bun.serve's own stop closes idle connections at once and loses what their clients have already sent.
 */
export class Drain {
  #isDraining = false;
  /** In milliseconds of `performance.now()`. */
  #lastRequest = 0;

  /** Returns the answer; with `Connection: close` while the listener drains, and where `isLast` returns true by then. */
  async closing(answer: Promise<Response>, isLast: () => boolean = () => false): Promise<Response> {
    if (this.#isDraining) this.#lastRequest = performance.now();
    const response = await answer;
    if (this.#isDraining || isLast()) response.headers.set('Connection', 'close');
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
      await Bun.sleep(DRAIN_LOOK_MS);
    }
  }
}
