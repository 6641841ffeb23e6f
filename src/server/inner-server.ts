/**
 * The Bun.serve behind the TLS listener, on loopback: it reads HTTP and answers. It answers requests of tunnels only, which it
 * recognizes by source address and port; any other connection gets 403.
 */
import { Drain, type ListenOptions, MAX_BODY_BYTES } from './listen.ts';
import { type Routes, routeKey, type TlsTunnel } from './tls-tunnel.ts';

export interface InnerServer {
  readonly routes: Routes;
  /** Opens the tunnel's inner connection. If that fails, the tunnel is closed. */
  readonly carry: (tunnel: TlsTunnel) => void;
  /** Closes each connection with its next answer, until no more requests come or are expected, for at most so long. */
  readonly drain: Drain['start'];
  /** Accepts no more connections; running requests are answered. */
  readonly finish: () => void;
  readonly stop: () => Promise<void>;
}

const HOST = '127.0.0.1';

/** Starts at once, on a free port. */
export function openInnerServer(handle: ListenOptions['handle'], idleSeconds: number): InnerServer {
  const routes: Routes = new Map();
  const drain = new Drain();
  const server = Bun.serve({
    hostname: HOST,
    port: 0,
    maxRequestBodySize: MAX_BODY_BYTES,
    idleTimeout: idleSeconds,
    development: false,
    fetch: async (request, server): Promise<Response> => {
      const source = server.requestIP(request);
      const tunnel = source === null ? undefined : routes.get(routeKey(source.address, source.port));
      if (tunnel === undefined) return new Response(null, { status: 403 });
      return drain.closing(tunnel.answer((connection) => handle(request, connection)));
    },
  });
  const { port } = server;
  if (port === undefined) throw new Error('The inner server has no port.');
  return {
    routes,
    carry: (tunnel) => {
      // Half-open, because the server's last bytes may still wait for the client when its FIN arrives.
      const options = { hostname: HOST, port, allowHalfOpen: true, data: tunnel, socket: tunnelEnd };
      Bun.connect(options).catch(() => tunnel.terminate());
    },
    drain: (mostMs, isExpecting) => drain.start(mostMs, isExpecting),
    finish: () => void server.stop(),
    stop: () => server.stop(true),
  };
}

const tunnelEnd: Bun.SocketHandler<TlsTunnel> = {
  open: (socket) => socket.data.serverOpened(socket),
  data: (socket, bytes) => socket.data.serverSent(bytes),
  drain: (socket) => socket.data.serverDrained(),
  end: (socket) => socket.data.serverEnded(),
  close: (socket) => socket.data.serverEnded(),
  error: (socket) => socket.data.terminate(),
  connectError: (socket) => socket.data.terminate(),
};
