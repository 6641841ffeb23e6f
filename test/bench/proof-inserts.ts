/** The replay store in memory with so many live entries: what one more costs. */
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { medianOf } from './spread.ts';

const NOW = 1_800_000_000;
const BATCH = 200;
/** As many as make a median that one interruption does not move. */
const BATCHES = 50;

/**
 * Fills a store of its own with `entries` and measures up to a fifth more, again with other stores where that is little.
 * Returns the microseconds of one insert: the median of batches. Throws where an insert is not the first of its proof.
 */
export function measureInserts(entries: number): number {
  const perStore = Math.max(1, Math.min(BATCHES, Math.floor(entries / 5 / BATCH)));
  const stores = Math.ceil(BATCHES / perStore);
  return medianOf(Array.from({ length: stores }, () => measureStore(entries, perStore)).flat());
}

function measureStore(entries: number, batches: number): number[] {
  const store = MemoryReplayStore.create(entries + batches * BATCH, 0);
  const key = new Uint8Array(32);
  const view = new DataView(key.buffer);
  const insert = (index: number) => {
    // Spread like a hash, and different for every index.
    for (let word = 0; word < 8; word += 1) view.setUint32(word * 4, Math.imul(index + word, 0x9e3779b1));
    view.setUint32(4, index);
    if (store.insert(key, NOW + 60, NOW) !== 'first') throw new Error(`Insert ${index} was not the first.`);
  };
  for (let index = 0; index < entries; index += 1) insert(index);
  return Array.from({ length: batches }, (_, batch) => {
    const first = entries + batch * BATCH;
    const began = performance.now();
    for (let index = first; index < first + BATCH; index += 1) insert(index);
    return ((performance.now() - began) * 1000) / BATCH;
  });
}
