/**
 * The TLS listener. Bun.serve can request a client certificate but does not pass it to the handler; a socket of Bun.listen does.
 * TLS therefore ends here, and each connection is forwarded to the inner server, which reads HTTP.
 */
import type { X509Certificate } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { TlsMaterial } from '../keys/tls-material.ts';
import { waitAtMost } from '../platform/wait.ts';
import type { Clock } from '../service.ts';
import { ClientAuthorities, ConnectionCertificate, type TrustInForce } from './client-trust.ts';
import type { DescriptorLevel } from './descriptors.ts';
import { type InnerServer, openInnerServer } from './inner-server.ts';
import {
  checkPortIsFree,
  IDLE_SECONDS,
  LIFETIME_SECONDS,
  type Listener,
  type ListenOptions,
  LOOK_MS,
  listenerUrl,
  peerAddress,
} from './listen.ts';
import { TlsTunnel } from './tls-tunnel.ts';

export interface ListenTlsOptions extends ListenOptions {
  readonly material: TlsMaterial;
  /** By which certificates of clients end. */
  readonly clock: Clock;
  readonly limits?: Partial<TlsLimits>;
}

export type TlsListener = Required<Listener>;

export interface TlsLimits {
  /** From the first byte until a request can be read. A handshake takes three flights; this is enough for slow networks. */
  readonly handshakeSeconds: number;
  readonly idleSeconds: number;
  /** A connection ends with its next answer after this time. */
  readonly lifetimeSeconds: number;
  /**
   * How many may be open at once; a new one beyond is closed unread. Fewer where descriptors are few. Each takes three and one of the
   * 28 000 ports that Linux has for its own connections.
   */
  readonly connections: number;
}

const defaultLimits: TlsLimits = {
  handshakeSeconds: 10,
  idleSeconds: IDLE_SECONDS,
  lifetimeSeconds: LIFETIME_SECONDS,
  connections: 10_000,
};

/** Of each connection: the client's, and both ends of the one to the inner server. */
const DESCRIPTORS_EACH = 3;
/** From this share of its connections on, answers are the last of their connections, and idle connections end. */
const CROWDED_SHARE = 0.9;
/** RFC 9325 §3.1.1: nothing below TLS 1.2. As a number, because Bun.listen ignores the name. */
const TLS_1_2 = 0x0303;
/** SSL_OP_NO_TICKET: every connection proves its key anew, and no verdict on a certificate outlives a reload. */
const NO_SESSION_TICKETS = 0x4000;

/** Listens at once. Throws if the address is taken or the material cannot be used. */
export function listenTls({
  host,
  port,
  handle,
  sharesPort,
  descriptors,
  material,
  clock,
  limits,
}: ListenTlsOptions): TlsListener {
  const bounds = { ...defaultLimits, ...limits };
  const mostConnections = Math.min(
    bounds.connections,
    descriptors?.connectionsOfThread(DESCRIPTORS_EACH) ?? Infinity,
  );
  const tunnels = new Set<TlsTunnel>();
  const allAnswered = Promise.withResolvers<void>();
  let stopping = false;
  let level: DescriptorLevel = 'enough';
  const hasRoom = () => level !== 'none' && tunnels.size < mostConnections;
  const isCrowded = () => level !== 'enough' || tunnels.size >= mostConnections * CROWDED_SHARE;
  let inUse = trustOf(material);
  const inForce = () => ({ authorities: inUse.authorities, now: clock() });

  if (port !== 0 && sharesPort !== true) checkPortIsFree(host, port);
  const inner = openInnerServer(handle, bounds.idleSeconds);
  let current: Bun.TCPSocketListener<TlsTunnel | undefined>;
  const accept = (port: number, trust: Trust) => {
    const isLastAnswer = () => trust !== inUse || isCrowded();
    const end = clientEnd({ tunnels, inner, bounds, trust, inForce, hasRoom, isLastAnswer });
    return Bun.listen(listenerOptions(host, port, trust.material, end));
  };
  try {
    current = accept(port, inUse);
  } catch (cause) {
    void inner.stop();
    throw cause;
  }
  const bound = current.port;

  const looking = setInterval(() => {
    const now = performance.now();
    level = descriptors?.level() ?? 'enough';
    for (const tunnel of tunnels) {
      if (isCrowded()) tunnel.endIfIdle();
      tunnel.look(now);
    }
    if (!stopping || tunnels.values().some(({ isBusy }) => isBusy)) return;
    allAnswered.resolve();
    if (tunnels.size === 0) clearInterval(looking);
  }, LOOK_MS);
  looking.unref();

  return {
    url: listenerUrl('https', host, bound),
    port: bound,
    reload: async (next) => {
      if (stopping || isDeepStrictEqual(next, inUse.material)) return;
      const previous = current;
      const trust = trustOf(next);
      current = accept(bound, trust);
      inUse = trust;
      // Connections that wait in the previous listener's queue are accepted first: stopping it would reset them.
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
    /** At a reload the next listener opens before this one stops. */
    reusePort: true,
    /** A client that half-closes still gets its answer. */
    allowHalfOpen: true,
    tls: {
      cert: certificates,
      key,
      ...(clientAuthorities === null ? {} : { ca: clientAuthorities }),
      requestCert: true,
      /** A client without a certificate, or with an untrusted one, may still be bound by DPoP: the service decides. */
      rejectUnauthorized: false,
      minVersion: TLS_1_2,
      secureOptions: NO_SESSION_TICKETS,
    },
  };
}

/** What connections are made with, and by which their clients' certificates are verified in the handshake. */
interface Trust {
  readonly material: TlsMaterial;
  readonly authorities: ClientAuthorities | null;
}

/** Throws where the authorities cannot be read. */
function trustOf(material: TlsMaterial): Trust {
  const { clientAuthorities } = material;
  return {
    material,
    authorities: clientAuthorities === null ? null : new ClientAuthorities(clientAuthorities),
  };
}

interface ClientEndOptions {
  readonly tunnels: Set<TlsTunnel>;
  readonly inner: InnerServer;
  readonly bounds: TlsLimits;
  /** Of the connections that this end accepts. */
  readonly trust: Trust;
  /** Of the listener, now. */
  readonly inForce: () => TrustInForce;
  /** Whether another connection may be opened. */
  readonly hasRoom: () => boolean;
  readonly isLastAnswer: () => boolean;
}

/** What happens at the client's end of the tunnels. */
function clientEnd({
  tunnels,
  inner,
  bounds: { handshakeSeconds, idleSeconds, lifetimeSeconds },
  trust,
  inForce,
  hasRoom,
  isLastAnswer,
}: ClientEndOptions): Bun.SocketHandler<TlsTunnel | undefined> {
  const options = {
    handshakeMs: handshakeSeconds * 1000,
    idleMs: idleSeconds * 1000,
    lifetimeMs: lifetimeSeconds * 1000,
    isLastAnswer,
  };
  return {
    open: (socket) => {
      if (!hasRoom()) return socket.terminate();
      socket.data = new TlsTunnel(socket, inner.routes, options);
      tunnels.add(socket.data);
    },
    handshake: (socket, completed) => {
      const tunnel = socket.data;
      if (tunnel === undefined || !tunnel.isShakingHands) return;
      if (!completed) return tunnel.refuse();
      const certificate = clientCertificate(socket, trust, inForce);
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

/** The client has proved that it holds the key of this certificate; whether its chain is trusted is another question. */
function clientCertificate(
  socket: Bun.Socket<TlsTunnel | undefined>,
  { authorities }: Trust,
  inForce: () => TrustInForce,
): ConnectionCertificate | null {
  // Undefined if the client presented none, although the type does not say so. `authorized` does not tell the two cases apart.
  const certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  return new ConnectionCertificate(
    { certificate, verifiedBy: socket.authorized ? authorities : null },
    inForce,
  );
}
