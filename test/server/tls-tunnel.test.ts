/** A tunnel's route: it leads to the tunnel while its inner connection is open, and not a moment longer. */
import { describe, expect, test } from 'bun:test';
import type { ClientConnection } from '../../src/request/client-connection.ts';
import { type Routes, routeKey, TlsTunnel, type TunnelSocket } from '../../src/server/tls-tunnel.ts';

class FakeSocket implements TunnelSocket {
  readonly localAddress = '127.0.0.1';
  readonly localPort: number;
  readonly written: number[] = [];
  isPaused = false;
  isFull = false;
  ending: 'none' | 'in order' | 'at once' = 'none';

  constructor(localPort: number) {
    this.localPort = localPort;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  write(bytes: Uint8Array): number {
    if (this.isFull || this.ending !== 'none') return this.ending === 'none' ? 0 : -1;
    this.written.push(...bytes);
    return bytes.length;
  }

  end(): void {
    if (this.ending === 'none') this.ending = 'in order';
  }

  terminate(): void {
    this.ending = 'at once';
  }
}

const LONG_AGO = -1e9;
const alice: ClientConnection = { address: '192.0.2.7', certificate: null };

function openTunnel(port = 40_000, routes: Routes = new Map()) {
  const client = new FakeSocket(443);
  const server = new FakeSocket(port);
  const tunnel = new TlsTunnel(client, routes, {
    handshakeMs: 10_000,
    idleMs: 30_000,
    lifetimeMs: 3_600_000,
    isLastAnswer: () => false,
  });
  const open = () => {
    tunnel.identify(alice);
    tunnel.serverOpened(server);
  };
  return { client, server, tunnel, routes, open, route: () => routes.get(routeKey('127.0.0.1', port)) };
}

/** Looks twice, as a quiet connection needs. */
function lookTwice(tunnel: TlsTunnel): void {
  tunnel.look(LONG_AGO);
  tunnel.look(LONG_AGO);
}

describe('the route of a tunnel', () => {
  test('is there before the first byte of the client goes on', () => {
    const { tunnel, server, route, open } = openTunnel();
    tunnel.identify(alice);
    tunnel.clientSent(Uint8Array.of(1, 2));
    expect(route()).toBeUndefined();
    server.write = () => {
      expect(route()).toBe(tunnel);
      return 2;
    };
    open();
    expect.assertions(2);
  });

  test('is gone with the inner connection, even where the client has not taken its answer yet', () => {
    const { tunnel, client, route, open } = openTunnel();
    open();
    client.isFull = true;
    tunnel.serverSent(Uint8Array.of(1));
    tunnel.serverEnded();
    expect(route()).toBeUndefined();
    expect(client.ending).toBe('none');
    client.isFull = false;
    tunnel.clientDrained();
    expect([client.written, client.ending]).toEqual([[1], 'in order']);
  });

  test.each([
    ['the client is gone', (tunnel: TlsTunnel) => tunnel.terminate(), 'at once'],
    ['the client has ended and all is quiet', endAndLook, 'in order'],
    ['the service stops and all is quiet', retireAndLook, 'in order'],
  ] as const)('is gone when %s, and the inner connection closes in order', (_, act, ending) => {
    const { tunnel, client, server, route, open } = openTunnel();
    open();
    act(tunnel);
    expect(route()).toBeUndefined();
    expect([client.ending, server.ending]).toEqual([ending, 'in order']);
    expect(tunnel.isBusy).toBe(false);
  });

  test('is not taken away by a tunnel that had the port before', () => {
    const routes: Routes = new Map();
    const before = openTunnel(40_000, routes);
    before.open();
    const after = openTunnel(40_000, routes);
    after.open();
    before.tunnel.terminate();
    expect(after.route()).toBe(after.tunnel);
  });

  test('never comes to be where the client was gone first', () => {
    const { tunnel, server, route, open } = openTunnel();
    tunnel.identify(alice);
    tunnel.terminate();
    open();
    expect(route()).toBeUndefined();
    expect(server.ending).toBe('in order');
  });
});

describe('a tunnel', () => {
  test('answers nobody before it knows its client', async () => {
    const { tunnel } = openTunnel();
    expect((await tunnel.answer(async () => new Response('secret'))).status).toBe(403);
  });

  test('reads on from its client when the inner server has taken what waited', () => {
    const { tunnel, client, server, open } = openTunnel();
    open();
    server.isFull = true;
    tunnel.clientSent(Uint8Array.of(1, 2));
    expect(client.isPaused).toBe(true);
    server.isFull = false;
    tunnel.serverDrained();
    expect([client.isPaused, server.written]).toEqual([false, [1, 2]]);
  });

  test('keeps the client that it was given first', async () => {
    const { tunnel, open } = openTunnel();
    open();
    tunnel.identify({ address: '198.51.100.1', certificate: null });
    const answer = await tunnel.answer(async ({ address }) => new Response(address));
    expect(await answer.text()).toBe('192.0.2.7');
  });

  test('that retires waits for the answer of a request that runs, and for its bytes', async () => {
    const { tunnel, client, open } = openTunnel();
    open();
    const gate = Promise.withResolvers<Response>();
    const answered = tunnel.answer(() => gate.promise);
    tunnel.retire();
    for (let look = 0; look < 5; look += 1) tunnel.look(LONG_AGO);
    expect(client.ending).toBe('none');
    gate.resolve(new Response('done'));
    await answered;
    tunnel.look(LONG_AGO);
    expect(client.ending).toBe('none');
    client.isFull = true;
    tunnel.serverSent(Uint8Array.of(1));
    for (let look = 0; look < 5; look += 1) tunnel.look(LONG_AGO);
    expect(client.ending).toBe('none');
    client.isFull = false;
    tunnel.clientDrained();
    lookTwice(tunnel);
    expect([client.written, client.ending]).toEqual([[1], 'in order']);
  });

  test('drops what the client sends after the end, so that its own end is seen', () => {
    const { tunnel, client, server, open } = openTunnel();
    open();
    retireAndLook(tunnel);
    tunnel.clientSent(Uint8Array.of(1, 2, 3));
    expect([server.written, client.isPaused]).toEqual([[], false]);
  });

  test('that has ended is closed for good after the idle time, whatever either side still sends', async () => {
    const { tunnel, client, open } = openTunnel();
    open();
    retireAndLook(tunnel);
    const since = performance.now();
    await Bun.sleep(20);
    tunnel.serverSent(Uint8Array.of(1));
    tunnel.clientSent(Uint8Array.of(1));
    tunnel.look(since + 29_000);
    expect(client.ending).toBe('in order');
    tunnel.look(since + 30_010);
    expect(client.ending).toBe('at once');
  });

  test('gives a client time again whenever it takes some of its answer', () => {
    const { tunnel, client, open } = openTunnel();
    open();
    client.isFull = true;
    tunnel.serverSent(Uint8Array.of(1, 2));
    tunnel.look(performance.now() + 29_000);
    expect(client.ending).toBe('none');
    client.isFull = false;
    tunnel.clientDrained();
    tunnel.look(performance.now() + 31_000);
    expect(client.ending).toBe('none');
  });

  test('does not give a client time again because there is more to take', async () => {
    const { tunnel, client, open } = openTunnel();
    open();
    client.isFull = true;
    tunnel.serverSent(Uint8Array.of(1));
    const since = performance.now();
    await Bun.sleep(20);
    tunnel.serverSent(Uint8Array.of(2));
    tunnel.look(since + 30_010);
    expect(client.ending).toBe('at once');
  });
});

function endAndLook(tunnel: TlsTunnel): void {
  tunnel.clientEnded();
  lookTwice(tunnel);
}

function retireAndLook(tunnel: TlsTunnel): void {
  tunnel.retire();
  lookTwice(tunnel);
}
