/** A Redis replay store of the test's own, on the clock of the wall: Redis has no other. */
import { randomBytes } from 'node:crypto';
import type { ReplayVerdict } from '../../src/authenticate/replay-store.ts';
import { RedisReplayStore } from '../../src/replay/redis-replay-store.ts';

/** Epoch seconds, fractions included. */
export const now = () => Date.now() / 1000;

export interface OpenStore extends Disposable {
  readonly store: RedisReplayStore;
  /** What it told of its connection so far. */
  readonly changes: (string | null)[];
  /** Default: a random key with a deadline in 60 seconds. */
  readonly insert: (key?: Uint8Array, seconds?: number) => Promise<ReplayVerdict>;
}

export async function openStore(url: string): Promise<OpenStore> {
  const changes: (string | null)[] = [];
  const store = new RedisReplayStore({ url, clock: now, onChange: (fault) => void changes.push(fault) });
  await store.open();
  const insert = (key: Uint8Array = randomBytes(32), seconds = 60) =>
    store.insert(key, now() + seconds, now());
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
