/** A Redis replay store of the test's own, on the clock of the wall: Redis has no other. */
import { randomBytes } from 'node:crypto';
import type { ReplayVerdict } from '../../src/authenticate/replay-store.ts';
import type { RedisTarget } from '../../src/replay/redis-link.ts';
import { type RedisReplayOptions, RedisReplayStore } from '../../src/replay/redis-replay-store.ts';

/** Epoch seconds, fractions included. */
export const now = () => Date.now() / 1000;

export interface OpenStore extends Disposable {
  readonly store: RedisReplayStore;
  /** What it told of its connection so far. */
  readonly changes: (string | null)[];
  /** Default: a random key with a deadline in 60 seconds. */
  readonly insert: (key?: Uint8Array, seconds?: number) => Promise<ReplayVerdict>;
}

export type StoreOptions = Partial<Pick<RedisReplayOptions, 'clock' | 'clockSkew' | 'minReplicas'>>;

/** `target`: a URL, or where else it is. */
export async function openStore(
  target: string | RedisTarget,
  { clock = now, clockSkew = 30, minReplicas = 0 }: StoreOptions = {},
): Promise<OpenStore> {
  const changes: (string | null)[] = [];
  const store = new RedisReplayStore({
    target: typeof target === 'string' ? { kind: 'server', url: target } : target,
    readSecrets: () => ({ password: null, ca: null }),
    minReplicas,
    clockSkew,
    clock,
    onChange: (fault) => void changes.push(fault),
  });
  await store.open();
  const insert = (key: Uint8Array = randomBytes(32), seconds = 60) =>
    store.insert(key, now() + seconds, clock());
  return { store, changes, insert, [Symbol.dispose]: () => store.close() };
}

/** Milliseconds until an insert is taken. */
export async function untilTaken({ insert }: OpenStore, limitMs = 5000): Promise<number> {
  const started = performance.now();
  for (;;) {
    const verdict = await insert();
    const waited = performance.now() - started;
    if (verdict === 'first') return waited;
    if (waited > limitMs) throw new Error(`After ${limitMs} ms it is still ${verdict}.`);
    await Bun.sleep(10);
  }
}
