/** A Redis replay store of the test's own, on the clock of the wall: Redis has no other. */
import { randomBytes } from 'node:crypto';
import { replayDeadline } from '../../src/authenticate/dpop-proof.ts';
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
  /** Its clock, in epoch seconds. */
  readonly time: () => number;
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
  // Proofs that are dated in the millisecond of the marker are not vouched for.
  await Bun.sleep(3);
  const insert = (key: Uint8Array = randomBytes(32), seconds = 60) =>
    store.insert(key, now() + seconds, clock());
  return { store, changes, insert, time: clock, [Symbol.dispose]: () => store.close() };
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

/** A proof as the replay store sees it. */
export interface SentProof {
  readonly key: Uint8Array;
  /** Epoch seconds. */
  readonly issuedAt: number;
}

/** Whether a service on this store would accept it: it asks in this order, without waiting in between. */
export async function isAccepted({ store, time }: OpenStore, { key, issuedAt }: SentProof): Promise<boolean> {
  if (issuedAt < store.rememberedSince) return false;
  return (await store.insert(key, replayDeadline(issuedAt), time())) === 'first';
}

/** Dated `ahead` seconds ahead. */
export function createProof(ahead = 0): SentProof {
  return { key: randomBytes(32), issuedAt: now() + ahead };
}

export interface SentTwice {
  /** How often each was accepted. */
  readonly accepted: readonly number[];
}

/**
 * Sends proofs for some seconds, each twice and at random times: to one store, and after that to another. Some are dated ahead.
 * `fail` is called while they are sent, after two fifths.
 */
export async function sendTwice(
  count: number,
  seconds: number,
  stores: readonly OpenStore[],
  fail: () => Promise<void>,
): Promise<SentTwice> {
  const accepted = new Array<number>(count).fill(0);
  const send = async (number: number) => {
    await Bun.sleep((number / count) * seconds * 1000);
    const proof = createProof(number % 5 === 0 ? Math.random() * 3 : 0);
    const [one, other] = number % 2 === 0 ? stores : [...stores].reverse();
    for (const [store, wait] of [
      [one, 0],
      [other, Math.random() * 6000],
    ] as const) {
      await Bun.sleep(wait);
      if (store !== undefined && (await isAccepted(store, proof)))
        accepted[number] = (accepted[number] ?? 0) + 1;
    }
  };
  await Promise.all([
    ...Array.from({ length: count }, (_, number) => send(number)),
    Bun.sleep(seconds * 400).then(fail),
  ]);
  return { accepted };
}
