/** A thread that brings numbered proofs to a replay store that it shares, as a worker of the service does. */
import type { ReplayVerdict } from '../../src/authenticate/replay-store.ts';
import { MemoryReplayStore, type ReplayMemory } from '../../src/replay/memory-replay-store.ts';
import { keyOf } from './replay-reference.ts';

declare const self: Worker;

export const verdicts: readonly ReplayVerdict[] = ['first', 'replayed', 'full', 'unavailable'];

export interface ReplayTask {
  readonly memory: ReplayMemory;
  readonly thread: number;
  /** Two words: the time in seconds, which the test sets, and how many threads are ready. */
  readonly clock: SharedArrayBuffer;
  /** How many threads begin together. */
  readonly threads: number;
  /** A byte for each proof: 1 + the index of its verdict. */
  readonly answers: SharedArrayBuffer;
  /** `once` each proof in an order of this thread's own; `by the clock` those of the second that it is. */
  readonly bring: 'once' | 'by the clock';
}

/** By the clock, so many proofs are of a second. */
export const PER_SECOND = 40;
/** How long a proof is good. */
export const LIFE = 3;

if (!Bun.isMainThread)
  self.onmessage = ({ data }: { data: ReplayTask }) => {
    const store = MemoryReplayStore.open(data.memory, data.thread, 0);
    const clock = new Int32Array(data.clock);
    const answers = new Uint8Array(data.answers);
    Atomics.add(clock, 1, 1);
    while (Atomics.load(clock, 1) < data.threads) Bun.sleepSync(1);
    const bring = (proof: number, end: number, now: number) => {
      if (answers[proof] !== 0) return;
      answers[proof] = 1 + verdicts.indexOf(store.insert(keyOf(proof), end, now));
    };
    if (data.bring === 'once') {
      // Each thread goes through them by a step of its own, so that they meet now here and now there.
      const step = [1, 7919, 104_729][data.thread % 3] ?? 1;
      for (let turn = 0; turn < answers.length; turn += 1) bring((turn * step) % answers.length, 1000, 0);
    } else {
      const seconds = answers.length / PER_SECOND;
      for (let now = 0; now < seconds; now = Atomics.load(clock, 0))
        for (let ago = 0; ago < Math.min(LIFE, now + 1); ago += 1) {
          const proof = (now - ago) * PER_SECOND + Math.floor(Math.random() * PER_SECOND);
          bring(proof, now - ago + LIFE, now);
        }
    }
    process.exit();
  };
