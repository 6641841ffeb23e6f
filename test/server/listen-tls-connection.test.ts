/** What a TLS connection may do and how long: handshakes, half-closed clients, slow readers, the stop. */
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { connect, type Socket } from 'node:net';
import { MAX_BODY_BYTES } from '../../src/server/listen.ts';
import { type ListenTlsOptions, listenTls, type TlsListener } from '../../src/server/listen-tls.ts';
import { countingBody, readCounting } from '../support/counting-body.ts';
import { describeWith } from '../support/debian-parts.ts';
import { ownSockets } from '../support/own-sockets.ts';
import { createTemporaryFolder, type TemporaryFolder, wallClock } from '../support/processes.ts';
import { connectTls, getRequest } from '../support/tls-client.ts';
import { createSelfSigned, type TlsIdentity } from '../support/tls-identities.ts';
import { sha256 } from '../support/tokens.ts';

setDefaultTimeout(30_000);

const MEBIBYTE = 1024 * 1024;

describeWith(['openssl'], 'the TLS listener', () => {
  let folder: TemporaryFolder;
  let server: TlsIdentity;
  const listeners: TlsListener[] = [];

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    server = await createSelfSigned(folder, 'server');
  });

  afterEach(async () => {
    await Promise.all(listeners.splice(0).map((listener) => listener.stop(0)));
  });

  afterAll(async () => {
    await folder?.[Symbol.asyncDispose]();
  });

  function start(handle: ListenTlsOptions['handle'], more: Partial<ListenTlsOptions> = {}): TlsListener {
    const material = { certificates: server.certificate, key: server.key, clientAuthorities: null };
    const listener = listenTls({ host: '127.0.0.1', port: 0, handle, material, clock: wallClock, ...more });
    listeners.push(listener);
    return listener;
  }

  test('says where it listens, with the port that it got', () => {
    const { url, port } = start(answerOk);
    expect(url).toBe(`https://127.0.0.1:${port}`);
    expect(port).toBeGreaterThan(0);
  });

  test('does not share a port that something has already', async () => {
    const { port } = start(answerOk);
    const codes = [() => start(answerOk, { port }), () => start(answerOk, { port, host: '0.0.0.0' })].map(
      codeOf,
    );
    expect(codes).toEqual(['EADDRINUSE', 'EADDRINUSE']);
    using client = await connectTls(port);
    expect((await client.get('/')).status).toBe(200);
  });

  test('tells an IPv4 client by its own address where it listens on all of IPv6', async () => {
    const { port } = start(async (_request, { address }) => new Response(address), { host: '::' });
    using client = await connectTls(port);
    expect((await client.get('/')).body).toBe('127.0.0.1');
  });

  test.each(['100-continue', '100-Continue', '100-CONTINUE'])(
    'answers Expect: %s with 100 before the body is sent, and leaves other bytes as they are',
    async (expectation) => {
      const { port } = start(async (request) => new Response(await request.text()));
      using client = await connectTls(port);
      const body = 'Expect: 100-Continue and \r\nEXPECT: 200-Continue\r\n';
      const head = ['POST / HTTP/1.1', 'Host: localhost', `Content-Length: ${body.length}`];
      for (const name of ['Expect', 'EXPECT']) {
        client.write(`${head.join('\r\n')}\r\n${name}: ${expectation}\r\n\r\n`);
        const interim = await client.answer();
        expect(interim.head).toStartWith('HTTP/1.1 100');
        client.write(body);
        expect(await client.answer()).toMatchObject({ status: 200, body });
      }
    },
  );

  test('closes a connection whose handshake does not come or does not go on', async () => {
    const { port } = start(answerOk, { limits: { handshakeSeconds: 0.3 } });
    for (const start of [Buffer.alloc(0), Buffer.from([0x16, 3, 1, 2, 0, 1, 0])]) {
      const began = performance.now();
      await closedAfter(port, start);
      const took = performance.now() - began;
      expect(took).toBeGreaterThan(250);
      expect(took).toBeLessThan(2000);
    }
  });

  test('closes a connection that speaks no TLS', async () => {
    const { port } = start(answerOk);
    expect(await closedAfter(port, Buffer.from(getRequest('/')))).not.toContain('HTTP/');
    expect(await closedAfter(port, Buffer.alloc(600, 0xaa))).not.toContain('HTTP/');
  });

  test('closes what comes beyond its connections, and takes more when some have gone', async () => {
    const { port } = start(answerOk, { limits: { connections: 3 } });
    const clients = [await connectTls(port), await connectTls(port)];
    const silent = connect({ host: '127.0.0.1', port });
    await new Promise<void>((resolve) => silent.once('connect', () => resolve()));
    await expect(connectTls(port)).rejects.toThrow();
    expect(await Promise.all(clients.map(async (client) => (await client.get('/')).status))).toEqual([
      200, 200,
    ]);
    // Gone in every way there is: in order, at once, before the handshake, with an answer that nobody reads.
    clients[0]?.write(getRequest('/'));
    clients[0]?.socket.destroy();
    clients[1]?.socket.end();
    silent.resetAndDestroy();
    await Bun.sleep(400);
    const next = [await connectTls(port), await connectTls(port), await connectTls(port)];
    expect(await Promise.all(next.map(async (client) => (await client.get('/')).status))).toEqual([
      200, 200, 200,
    ]);
    for (const client of next) client.socket.destroy();
  });

  test('closes a connection that says nothing for the idle time', async () => {
    const { port } = start(answerOk, { limits: { idleSeconds: 1 } });
    using silent = await connectTls(port);
    using halfway = await connectTls(port);
    for (const client of [silent, halfway]) await client.get('/');
    halfway.write('GET / HTT');
    const both = Promise.all([silent.closed, halfway.closed]).then(() => 'closed');
    expect(await Promise.race([both, Bun.sleep(10_000)])).toBe('closed');
  });

  test('closes a connection with its next answer after its lifetime, and without one a while later', async () => {
    const { port } = start(answerOk, { limits: { lifetimeSeconds: 1, idleSeconds: 4 } });
    using used = await connectTls(port);
    using dripping = await connectTls(port);
    expect((await used.get('/')).head).not.toMatch(/^connection: close/im);
    const drip = setInterval(() => dripping.write('G'), 100);
    await Bun.sleep(1100);
    const { status, head } = await used.get('/');
    expect({ status, head }).toEqual({ status: 200, head: expect.stringMatching(/^connection: close$/im) });
    await used.closed;
    await dripping.closed;
    clearInterval(drip);
    using next = await connectTls(port);
    expect((await next.get('/')).head).not.toMatch(/^connection: close/im);
  });

  test.each(['', 'after its handshake'])('gives a client that half-closes its answer %s', async (when) => {
    const { port } = start(async () => {
      await Bun.sleep(350);
      return new Response('late');
    });
    using client = await connectTls(port, null, { allowHalfOpen: true });
    if (when !== '') await Bun.sleep(50);
    client.socket.end(getRequest('/'));
    expect((await client.answer()).body).toBe('late');
    await client.closed;
  });

  test('closes in order where the service or the client says close', async () => {
    const { port } = start(async (request) => {
      const headers: Record<string, string> = request.url.endsWith('/bye') ? { connection: 'close' } : {};
      return new Response('done', { headers });
    });
    for (const text of [getRequest('/bye'), getRequest('/', 'Connection: close')]) {
      using client = await connectTls(port);
      client.write(text);
      expect((await client.answer()).body).toBe('done');
      await client.closed;
    }
  });

  test('passes a body up to its limit on, byte by byte the same, and refuses a larger one', async () => {
    const { port } = start(
      async (request) => new Response(sha256(new Uint8Array(await request.arrayBuffer()))),
    );
    const body = Buffer.from(Array.from({ length: MAX_BODY_BYTES }, (_, index) => index * 31 + (index >> 8)));
    using client = await connectTls(port);
    for (const size of [0, 1, 65_537, MAX_BODY_BYTES]) {
      client.socket.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${size}\r\n\r\n`);
      client.socket.write(body.subarray(0, size));
      expect((await client.answer()).body).toBe(sha256(body.subarray(0, size)));
    }
    client.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${MAX_BODY_BYTES + 1}\r\n\r\n`);
    expect((await client.answer()).status).toBe(413);
  });

  test('takes a request that comes byte by byte', async () => {
    const { port } = start(answerOk);
    using client = await connectTls(port);
    client.socket.setNoDelay(true);
    for (const byte of getRequest('/')) {
      client.write(byte);
      await Bun.sleep(1);
    }
    expect((await client.answer()).status).toBe(200);
  });

  test('makes no more of an answer than a slow client takes, and loses nothing of it', async () => {
    const size = 96 * MEBIBYTE;
    let made = 0;
    const { port } = start(async () => new Response(countingBody(size, (bytes) => (made += bytes))));
    using client = await connectTls(port);
    client.socket.removeAllListeners('data').pause();
    client.write(getRequest('/'));
    await Bun.sleep(700);
    const madeUnread = made;
    expect(madeUnread).toBeGreaterThan(0);
    expect(madeUnread).toBeLessThan(32 * MEBIBYTE);
    await Bun.sleep(300);
    expect(made).toBe(madeUnread);
    const { length, ordered } = await readCounting(client, size);
    expect({ length, ordered }).toEqual({ length: size, ordered: true });
  });

  test('gives up a client that takes none of its answer for the idle time', async () => {
    let cancelled = false;
    const { port } = start(
      async () =>
        new Response(
          countingBody(
            Infinity,
            () => {},
            () => (cancelled = true),
          ),
        ),
      {
        limits: { idleSeconds: 1 },
      },
    );
    using client = await connectTls(port);
    client.socket.removeAllListeners('data').pause();
    client.write(getRequest('/'));
    // Sooner than the inner server would, which looks at its connections every four seconds.
    for (let waited = 0; waited < 50 && !cancelled; waited += 1) await Bun.sleep(50);
    expect(cancelled).toBe(true);
  });

  test('lets a running request finish at a stop, and takes no new one', async () => {
    const gate = Promise.withResolvers<void>();
    const listener = start(async ({ url }) => {
      if (!url.endsWith('/at-once')) await gate.promise;
      return new Response('finished');
    });
    using busy = await connectTls(listener.port);
    using unused = await connectTls(listener.port);
    using used = await connectTls(listener.port);
    await used.get('/at-once');
    busy.write(getRequest('/'));
    await Bun.sleep(50);
    const began = performance.now();
    const stopped = listener.stop(10_000).then(() => performance.now() - began);
    await Promise.all([unused.closed, used.closed]);
    await expect(connectTls(listener.port)).rejects.toThrow();
    await Bun.sleep(300);
    gate.resolve();
    expect((await busy.answer()).body).toBe('finished');
    const took = await stopped;
    expect(took).toBeGreaterThan(300);
    expect(took).toBeLessThan(2000);
  });

  test('gives up at a stop what is not finished in the grace', async () => {
    const listener = start(async ({ url }) =>
      url.endsWith('/endless') ? new Response(countingBody(Infinity, () => {})) : new Promise(() => {}),
    );
    using waiting = await connectTls(listener.port);
    using unread = await connectTls(listener.port);
    unread.socket.removeAllListeners('data').pause();
    const silent = connect({ host: '127.0.0.1', port: listener.port });
    silent.on('error', () => {});
    waiting.write(getRequest('/'));
    unread.write(getRequest('/endless'));
    await Bun.sleep(200);
    const began = performance.now();
    await listener.stop(300);
    const took = performance.now() - began;
    expect(took).toBeGreaterThan(290);
    expect(took).toBeLessThan(1500);
    await waiting.closed;
    await Bun.sleep(20);
    expect(ownSockets().filter(({ localPort }) => localPort === listener.port)).toEqual([]);
    silent.destroy();
  });
});

async function answerOk(): Promise<Response> {
  return new Response('ok');
}

function codeOf(act: () => unknown): unknown {
  try {
    act();
    return null;
  } catch (cause) {
    return cause instanceof Error && 'code' in cause ? cause.code : cause;
  }
}

/** Sends these bytes over a plain connection, and resolves to what came when it is closed. */
function closedAfter(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket: Socket = connect({ host: '127.0.0.1', port }, () => {
      if (bytes.length > 0) socket.write(bytes);
    });
    socket.on('data', (data) => {
      received += data.toString('latin1');
    });
    socket.on('error', () => {});
    socket.once('close', () => resolve(received));
  });
}
