/**
 * The TLS listener. Bun.serve asks for a client certificate and does not hand it to the handler; a Bun.listen socket
 * does. So TLS ends here, and each connection is carried to the inner server, which reads HTTP.
 */
import { isDeepStrictEqual } from 'node:util';
import type { TlsMaterial } from '../keys/tls-material.ts';
import { waitAtMost } from '../platform/wait.ts';
import type { ClientCertificate } from '../request/client-connection.ts';
import { type InnerServer, openInnerServer } from './inner-server.ts';
import {
  checkPortIsFree,
  IDLE_SECONDS,
  type Listener,
  type ListenOptions,
  listenerUrl,
  peerAddress,
} from './listen.ts';
import { TlsTunnel } from './tls-tunnel.ts';

export interface ListenTlsOptions extends ListenOptions {
  readonly material: TlsMaterial;
  readonly limits?: Partial<TlsLimits>;
}

export type TlsListener = Required<Listener>;

export interface TlsLimits {
  /** Until the first request can be read. A handshake is three flights; who needs longer only holds the place. */
  readonly handshakeSeconds: number;
  readonly idleSeconds: number;
  /**
   * How many may be open at once; a new one beyond is closed unread. Each takes three descriptors and one of the
   * 28 000 ports that Linux has for its own connections.
   */
  readonly connections: number;
}

const defaultLimits: TlsLimits = { handshakeSeconds: 10, idleSeconds: IDLE_SECONDS, connections: 10_000 };

/** How often connections are looked after; a client that has hung up is let go within two of these. */
const LOOK_MS = 100;
/** RFC 9325 §3.1.1: nothing below TLS 1.2. As a number, because Bun.listen ignores the name. */
const TLS_1_2 = 0x0303;
/** SSL_OP_NO_TICKET: every connection proves its key anew, and no verdict on a certificate outlives a reload. */
const NO_SESSION_TICKETS = 0x4000;

/** Listens at once. Throws where the address cannot be had or the material cannot be used. */
export function listenTls({
  host,
  port,
  handle,
  sharesPort,
  material,
  limits,
}: ListenTlsOptions): TlsListener {
  const bounds = { ...defaultLimits, ...limits };
  const tunnels = new Set<TlsTunnel>();
  const allAnswered = Promise.withResolvers<void>();
  let stopping = false;
  let inUse = material;

  if (port !== 0 && sharesPort !== true) checkPortIsFree(host, port);
  const inner = openInnerServer(handle, bounds.idleSeconds);
  let current: Bun.TCPSocketListener<TlsTunnel | undefined>;
  const accept = (port: number, material: TlsMaterial) =>
    Bun.listen(listenerOptions(host, port, material, clientEnd(tunnels, inner, bounds, material)));
  try {
    current = accept(port, material);
  } catch (cause) {
    void inner.stop();
    throw cause;
  }
  const bound = current.port;

  const looking = setInterval(() => {
    const now = performance.now();
    for (const tunnel of tunnels) tunnel.look(now);
    if (!stopping || tunnels.values().some(({ isBusy }) => isBusy)) return;
    allAnswered.resolve();
    if (tunnels.size === 0) clearInterval(looking);
  }, LOOK_MS);
  looking.unref();

  return {
    url: listenerUrl('https', host, bound),
    port: bound,
    reload: async (next) => {
      if (stopping || isDeepStrictEqual(next, inUse)) return;
      const previous = current;
      current = accept(bound, next);
      inUse = next;
      // What came for the previous listener in the meantime is accepted first: stopped, it would reset it.
      await Bun.sleep(0);
      previous.stop();
    },
    stop: async (graceMs) => {
      const end = performance.now() + graceMs;
      stopping = true;
      await inner.drain(graceMs, () => tunnels.values().some(({ isShakingHands }) => isShakingHands));
      current.stop();
      for (const tunnel of tunnels) tunnel.retire();
      inner.finish();
      await waitAtMost(end - performance.now(), allAnswered.promise);
      for (const tunnel of tunnels) if (tunnel.isBusy) tunnel.terminate();
      await inner.stop();
    },
  };
}

function listenerOptions(
  hostname: string,
  port: number,
  { certificates, key, clientAuthorities }: TlsMaterial,
  socket: Bun.SocketHandler<TlsTunnel | undefined>,
) {
  return {
    hostname,
    port,
    socket,
    data: undefined,
    /** So that the next listener is there before this one stops. */
    reusePort: true,
    /** A client that half-closes still waits for its answer. */
    allowHalfOpen: true,
    tls: {
      cert: certificates,
      key,
      ...(clientAuthorities === null ? {} : { ca: clientAuthorities }),
      requestCert: true,
      /** Who shows no certificate, or a strange one, may still be bound by DPoP: the service decides. */
      rejectUnauthorized: false,
      minVersion: TLS_1_2,
      secureOptions: NO_SESSION_TICKETS,
    },
  };
}

/** What happens at the client's end of the tunnels. */
function clientEnd(
  tunnels: Set<TlsTunnel>,
  inner: InnerServer,
  { handshakeSeconds, idleSeconds, connections }: TlsLimits,
  { clientAuthorities }: TlsMaterial,
): Bun.SocketHandler<TlsTunnel | undefined> {
  const options = { handshakeMs: handshakeSeconds * 1000, idleMs: idleSeconds * 1000 };
  return {
    open: (socket) => {
      if (tunnels.size >= connections) return socket.terminate();
      socket.data = new TlsTunnel(socket, inner.routes, options);
      tunnels.add(socket.data);
    },
    handshake: (socket, completed) => {
      const tunnel = socket.data;
      if (tunnel === undefined || !tunnel.isShakingHands) return;
      if (!completed) return tunnel.refuse();
      const certificate = clientCertificate(socket, clientAuthorities !== null);
      tunnel.identify({ address: peerAddress(socket.remoteAddress), certificate });
      inner.carry(tunnel);
    },
    data: (socket, bytes) => socket.data?.clientSent(bytes),
    drain: (socket) => socket.data?.clientDrained(),
    end: (socket) => socket.data?.clientEnded(),
    error: (socket) => socket.data?.terminate(),
    close: (socket) => {
      socket.data?.terminate();
      if (socket.data !== undefined) tunnels.delete(socket.data);
    },
  };
}

/** The client has proved that it holds the key of this certificate; the chain is another question. */
function clientCertificate(
  socket: Bun.Socket<TlsTunnel | undefined>,
  isVerified: boolean,
): ClientCertificate | null {
  // Undefined where the client showed none, whatever the type says. `authorized` alone would not tell.
  const certificate: { readonly raw: Uint8Array } | undefined = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  return { der: certificate.raw, trusted: !isVerified || socket.authorized };
}
