/** A thread that inserts proofs of its own into a replay store that it shares, for as long as it is told to. */
import { MemoryReplayStore, type ReplayMemory } from '../../src/replay/memory-replay-store.ts';

declare const self: Worker;

export interface InsertingTask {
  readonly memory: ReplayMemory;
  readonly thread: number;
  /** How many threads begin together. */
  readonly threads: number;
  /** Three words: threads that are ready, whether it is over, inserts that were made. */
  readonly words: SharedArrayBuffer;
}

const NOW = 1_800_000_000;
/** Between two looks at the words. */
const BATCH = 64;

if (!Bun.isMainThread)
  self.onmessage = ({ data: { memory, thread, threads, words: shared } }: { data: InsertingTask }) => {
    const store = MemoryReplayStore.open(memory, thread, 0);
    const words = new Int32Array(shared);
    const key = new Uint8Array(32);
    const view = new DataView(key.buffer);
    Atomics.add(words, 0, 1);
    while (Atomics.load(words, 0) < threads) Bun.sleepSync(1);
    for (let index = 0; Atomics.load(words, 1) === 0; ) {
      for (let count = 0; count < BATCH; count += 1, index += 1) {
        for (let word = 0; word < 8; word += 1) view.setUint32(word * 4, Math.imul(index + word, 0x9e3779b1));
        view.setUint32(4, index);
        view.setUint32(8, thread);
        if (store.insert(key, NOW + 60, NOW) !== 'first') throw new Error('An insert was not the first.');
      }
      Atomics.add(words, 2, BATCH);
    }
    process.exit();
  };
