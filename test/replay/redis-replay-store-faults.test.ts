/** The proof, for a real Redis that is gone, hangs, is full, is read-only or restarted. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import { ask, expectRefusal } from '../support/ask.ts';
import { describeWith } from '../support/debian-parts.ts';
import { findFreePort } from '../support/processes.ts';
import { startRedis } from '../support/redis.ts';
import { now, openStore, untilTaken } from '../support/redis-store.ts';
import { createHarness } from '../support/service.ts';

setDefaultTimeout(20_000);

describeWith(['redis-server'], 'the Redis replay store, proof rule 15: down or full issues nothing', () => {
  test('Redis that is gone makes every verdict unavailable, and is used again within a second of its return', async () => {
    await using redis = await startRedis();
    using opened = await openStore(redis.url);
    expect(await opened.insert()).toBe('first');
    await redis.stop();
    const started = performance.now();
    for (let asked = 0; asked < 20; asked += 1) expect(await opened.insert()).toBe('unavailable');
    expect(performance.now() - started).toBeLessThan(1500);
    expect(await opened.store.failing()).toContain('no connection to Redis');
    await redis.start();
    expect(await untilTaken(opened)).toBeLessThan(1000);
    expect(await opened.store.failing()).toBeNull();
    expect(opened.changes).toEqual([null, expect.stringContaining('no connection'), null]);
  });

  test.concurrent('while Redis is gone a request is 503 with Retry-After, never 401 and never a token', async () => {
    await using redis = await startRedis();
    using opened = await openStore(redis.url);
    const harness = await createHarness({ replayStore: opened.store });
    await redis.stop();
    for (let asked = 0; asked < 5; asked += 1) {
      harness.clock.now = now();
      const answer = await ask(harness);
      expectRefusal(answer, 'replay-unavailable');
      expect(answer.headers.get('retry-after')).toBe('1');
      await Bun.sleep(100);
    }
  });

  test('Redis that was never there is found when it comes', async () => {
    const port = await findFreePort();
    using opened = await openStore(`redis://127.0.0.1:${port}`);
    expect(await opened.insert()).toBe('unavailable');
    expect(await opened.store.failing()).toContain('no connection to Redis');
    await using _ = await startRedis({ port });
    expect(await untilTaken(opened)).toBeLessThan(1000);
  });

  test('before Redis is there, nobody else knows the nonces of a store; then all who share Redis do', async () => {
    const port = await findFreePort();
    using one = await openStore(`redis://127.0.0.1:${port}`);
    using other = await openStore(`redis://127.0.0.1:${port}`);
    expect(one.store.identity).not.toEqual(other.store.identity);
    expect(one.store.identity).toEqual(one.store.identity);
    await using _ = await startRedis({ port });
    await Promise.all([untilTaken(one), untilTaken(other)]);
    expect(one.store.identity).toEqual(other.store.identity);
  });

  test('Redis that hangs is unavailable after a second, then at once, and is used again when it goes on', async () => {
    await using redis = await startRedis();
    using opened = await openStore(redis.url);
    redis.pause();
    const started = performance.now();
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => opened.insert()));
    const waited = performance.now() - started;
    expect(new Set(verdicts)).toEqual(new Set(['unavailable']));
    expect(waited).toBeGreaterThan(900);
    expect(waited).toBeLessThan(1500);
    const again = performance.now();
    for (let asked = 0; asked < 50; asked += 1) expect(await opened.insert()).toBe('unavailable');
    // Less than a single wait.
    expect(performance.now() - again).toBeLessThan(900);
    await Bun.sleep(2600);
    expect(opened.changes).toEqual([null, 'Redis does not answer within 1000 ms']);
    redis.resume();
    expect(await untilTaken(opened)).toBeLessThan(1000);
  });

  test.concurrent('a check tells that Redis hangs though nothing was inserted, once for all who ask', async () => {
    await using redis = await startRedis();
    using opened = await openStore(redis.url);
    const looks = async () =>
      Number(/cmdstat_info:calls=(\d+)/.exec(String(await redis.command('INFO', 'commandstats')))?.[1]);
    const before = await looks();
    const wellAnswers = await Promise.all(Array.from({ length: 20 }, () => opened.store.failing()));
    expect(new Set(wellAnswers)).toEqual(new Set([null]));
    // The question itself is one more, and a look that was due may be another.
    expect(await looks()).toBeLessThanOrEqual(before + 3);
    redis.pause();
    const started = performance.now();
    const faults = await Promise.all(Array.from({ length: 20 }, () => opened.store.failing()));
    expect(new Set(faults)).toEqual(new Set(['Redis does not answer within 1000 ms']));
    expect(performance.now() - started).toBeLessThan(1500);
    redis.resume();
    await untilTaken(opened);
    expect(await opened.store.failing()).toBeNull();
  });

  test.concurrent('an insert that Redis did not answer in time is not taken for the first', async () => {
    await using redis = await startRedis();
    using opened = await openStore(redis.url);
    const key = randomBytes(32);
    redis.pause();
    expect(await opened.insert(key)).toBe('unavailable');
    redis.resume();
    await untilTaken(opened);
    // It was read after all, from the connection that was given up.
    expect(await opened.insert(key)).toBe('replayed');
  });

  test.concurrent('Redis that is full answers full, keeps what it has, and takes more when there is room', async () => {
    await using redis = await startRedis();
    using opened = await openStore(redis.url);
    const key = randomBytes(32);
    expect(await opened.insert(key)).toBe('first');
    await redis.command('CONFIG', 'SET', 'maxmemory', '1');
    expect(await opened.insert()).toBe('full');
    expect(await opened.insert(key)).toBe('full');
    expect(opened.changes).toEqual([null]);
    const harness = await createHarness({ replayStore: opened.store });
    await Bun.sleep(1100);
    harness.clock.now = now();
    const answer = await ask(harness);
    expectRefusal(answer, 'replay-full');
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    using late = await openStore(redis.url);
    expect(await late.insert()).toBe('full');
    await redis.command('CONFIG', 'SET', 'maxmemory', '0');
    expect(await opened.insert()).toBe('first');
    expect(await opened.insert(key)).toBe('replayed');
  });

  test.concurrent.each(['allkeys-lru', 'volatile-ttl', 'allkeys-random'])(
    'Redis that drops entries when it is full (%s) is no replay store',
    async (policy) => {
      await using redis = await startRedis({
        settings: ['--maxmemory', '50mb', '--maxmemory-policy', policy],
      });
      using opened = await openStore(redis.url);
      expect(await opened.insert()).toBe('unavailable');
      expect(await opened.store.failing()).toContain(`maxmemory-policy ${policy}`);
      await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
      expect(await untilTaken(opened)).toBeLessThan(1000);
    },
  );

  test.concurrent('a replica, which cannot be written to, is no replay store', async () => {
    await using redis = await startRedis();
    await using master = await startRedis();
    using opened = await openStore(redis.url);
    await redis.command('REPLICAOF', '127.0.0.1', String(master.port));
    expect(await opened.insert()).toBe('unavailable');
    await Bun.sleep(300);
    expect(await opened.store.failing()).toContain('Redis is a replica: name its master');
    await redis.command('REPLICAOF', 'NO', 'ONE');
    expect(await untilTaken(opened)).toBeLessThan(1000);
    expect(opened.changes.at(-1)).toBeNull();
  });

  test.concurrent('after a restart of Redis, proofs from before it are not vouched for, even where entries were saved', async () => {
    await using redis = await startRedis({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    using opened = await openStore(redis.url);
    const key = randomBytes(32);
    expect(await opened.insert(key)).toBe('first');
    await redis.stop();
    await Bun.sleep(1100);
    const restarted = now();
    await redis.start();
    const settled = now() + (await untilTaken(opened)) / 1000;
    // Another process may still tell of proofs that were dated ahead.
    expect(opened.store.rememberedSince).toBeGreaterThan(now());
    await Bun.sleep(2000);
    expect(opened.store.rememberedSince).toBeGreaterThanOrEqual(restarted);
    expect(opened.store.rememberedSince).toBeLessThanOrEqual(settled);
    expect(await opened.insert(key)).toBe('replayed');
  });

  test.concurrent('another Redis in the place of the last one is not vouched for from before it was met', async () => {
    await using first = await startRedis();
    await using second = await startRedis();
    using opened = await openStore(first.url);
    await Bun.sleep(2500);
    await first.stop();
    const switched = now();
    await using _ = relay(first.port, second.port);
    await untilTaken(opened);
    expect(opened.store.rememberedSince).toBeGreaterThanOrEqual(switched);
  });
});

/** Passes connections to `port` on to another port. */
function relay(port: number, to: number): AsyncDisposable {
  const server = Bun.listen<{ other: Bun.Socket<undefined> | null; early: Buffer[] }>({
    hostname: '127.0.0.1',
    port,
    socket: {
      open: (socket) => {
        socket.data = { other: null, early: [] };
        void Bun.connect({
          hostname: '127.0.0.1',
          port: to,
          socket: {
            open: (other) => {
              socket.data.other = other;
              for (const chunk of socket.data.early) other.write(chunk);
            },
            data: (_, chunk) => void socket.write(chunk),
            close: () => void socket.end(),
          },
        });
      },
      data: ({ data }, chunk) => {
        if (data.other === null) data.early.push(Buffer.from(chunk));
        else data.other.write(chunk);
      },
      close: ({ data }) => void data.other?.end(),
    },
  });
  return { [Symbol.asyncDispose]: async () => server.stop(true) };
}
