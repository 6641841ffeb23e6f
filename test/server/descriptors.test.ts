/** Listeners while the process has few file descriptors left, and what is kept for reloads. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { DescriptorReserve, Descriptors } from '../../src/server/descriptors.ts';
import { type Listener, listen } from '../../src/server/listen.ts';
import { listenTls } from '../../src/server/listen-tls.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, type TemporaryFolder, wallClock } from '../support/processes.ts';
import { openSocket, untilOpen } from '../support/raw-client.ts';
import { getRequest } from '../support/tls-client.ts';
import { createSelfSigned, type TlsIdentity } from '../support/tls-identities.ts';

setDefaultTimeout(30_000);

const LIMIT = 1000;
const [ENOUGH, FEW, NONE] = [899, 900, 950];

/** A client of one connection. */
class Client implements Disposable {
  readonly socket: Socket;
  readonly #target: { readonly port: number; readonly tls: boolean };
  received = '';

  constructor(port: number, tls: boolean) {
    this.#target = { port, tls };
    this.socket = openSocket(this.#target);
    this.socket.on('data', (bytes) => {
      this.received += bytes.toString('latin1');
    });
  }

  async open(): Promise<this> {
    await untilOpen(this.socket, this.#target);
    return this;
  }

  /** The head of the next answer; empty where the connection is closed without one. */
  async get(): Promise<string> {
    this.received = '';
    this.socket.write(getRequest('/'));
    await this.until(() => this.received.includes('\r\n\r\n') || this.socket.closed);
    return this.received;
  }

  async until(condition: () => boolean): Promise<void> {
    for (let tries = 0; !condition() && tries < 500; tries += 1) await Bun.sleep(20);
    expect(condition()).toBe(true);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

describeWith(['openssl'], 'file descriptors', () => {
  let folder: TemporaryFolder;
  let server: TlsIdentity;
  let count = ENOUGH;
  let listener: Listener;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    server = await createSelfSigned(folder, 'server');
  });

  afterAll(() => folder?.[Symbol.asyncDispose]());

  describe.each(['plain HTTP', 'TLS'])('of a listener for %s', (kind) => {
    const tls = kind === 'TLS';

    function start(): void {
      count = ENOUGH;
      const options = {
        host: '127.0.0.1',
        port: 0,
        handle: async () => new Response('ok'),
        descriptors: new Descriptors({ limit: LIMIT, count: () => count }),
      };
      const material = { certificates: server.certificate, key: server.key, clientAuthorities: null };
      listener = tls ? listenTls({ ...options, material, clock: wallClock }) : listen(options);
    }

    afterEach(() => listener.stop(0));

    const connect = () => new Client(listener.port, tls).open();

    test('while nine tenths are taken: idle connections end, new ones get one answer', async () => {
      start();
      using idle = await connect();
      expect(await idle.get()).not.toMatch(/^connection: close\r$/im);
      count = FEW;
      await idle.until(() => idle.socket.closed);
      using next = await connect();
      await Bun.sleep(500);
      const answer = await next.get();
      expect(answer).toStartWith('HTTP/1.1 200 ');
      expect(answer).toMatch(/^connection: close\r$/im);
      await next.until(() => next.socket.closed);
      count = ENOUGH;
      await Bun.sleep(300);
      using later = await connect();
      for (let times = 0; times < 2; times += 1)
        expect(await later.get()).not.toMatch(/^connection: close\r$/im);
    });

    test('while none are left: no connection is taken, and later all is as before', async () => {
      start();
      count = NONE;
      await Bun.sleep(300);
      using refused = await connect();
      expect(await refused.get()).toBe('');
      count = FEW - 10;
      await Bun.sleep(300);
      using taken = await connect();
      expect(await taken.get()).toStartWith('HTTP/1.1 200 ');
    });
  });

  test('are counted as the kernel has them', () => {
    const open = readdirSync('/proc/self/fd').length;
    const exactly = new Descriptors({ limit: open + 15 });
    expect(exactly.level()).not.toBe('enough');
    expect(new Descriptors({ limit: 2 * open + 64 }).level()).toBe('enough');
    expect(new Descriptors().limit).toBeGreaterThan(open);
  });

  test('are kept for a reload, and given free while one runs', async () => {
    const open = () => readdirSync('/proc/self/fd').length;
    const before = open();
    const reserve = new DescriptorReserve(new Descriptors(), 10);
    expect(open()).toBe(before + 10);
    const during = reserve.lend(async () => {
      await Bun.sleep(20);
      return open();
    });
    expect(await Promise.all([during, reserve.lend(async () => open())])).toEqual([before, before]);
    expect(open()).toBe(before + 10);
    await expect(
      reserve.lend(async () => {
        throw new Error('failed');
      }),
    ).rejects.toThrow('failed');
    expect(open()).toBe(before + 10);
    reserve[Symbol.dispose]();
    expect(open()).toBe(before);
  });
});

test('closes a plain connection with its next answer after its lifetime', async () => {
  const listener = listen({
    host: '127.0.0.1',
    port: 0,
    handle: async () => new Response('ok'),
    lifetimeSeconds: 1,
  });
  using used = await new Client(listener.port, false).open();
  expect(await used.get()).not.toMatch(/^connection: close\r$/im);
  expect(await used.get()).not.toMatch(/^connection: close\r$/im);
  await Bun.sleep(1100);
  expect(await used.get()).toMatch(/^connection: close\r$/im);
  await used.until(() => used.socket.closed);
  using next = await new Client(listener.port, false).open();
  expect(await next.get()).not.toMatch(/^connection: close\r$/im);
  await listener.stop(0);
});
