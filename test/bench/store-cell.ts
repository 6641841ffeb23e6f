/**
 * Measures the replay store of so many entries in a process of its own, and prints the figures as JSON: what it takes of
 * memory when it is full of live entries, and how long an insert takes while as many expire.
 */
import { randomFillSync } from 'node:crypto';
import type { ReplayVerdict } from '../../src/authenticate/replay-store.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { readMemory } from './process-figures.ts';

export interface StoreFigures {
  readonly entries: number;
  /** MiB: all that was set aside, and how much more of it is resident when the store is full. */
  readonly reserved: number;
  readonly resident: number;
  /** While entries come and expire evenly. */
  readonly steady: Latencies;
  /** After all of them have expired in one second. */
  readonly burst: Latencies;
  /** Of nothing, timed the same way: what the machine adds. */
  readonly nothing: Latencies;
}

/** Microseconds of an insert. */
export interface Latencies {
  readonly inserts: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Seconds that an entry lives: maxAge and clockSkew as they are by default. */
const LIFE = 90;
const START = 1_800_000_000;
/** Room for the last second of an entry, which it lives through to the end. */
const FILLED = 0.98;

/** Random keys, each used once. Made in portions, so that they take little memory beside the store. */
function createKeys(): () => Uint8Array {
  const portion = new Uint8Array(65_536);
  const key = new Uint8Array(32);
  let at = portion.length;
  return () => {
    if (at === portion.length) {
      randomFillSync(portion);
      at = 0;
    }
    for (let byte = 0; byte < key.length; byte += 1) key[byte] = portion[at + byte] ?? 0;
    at += key.length;
    return key;
  };
}

function measure(entries: number, inserts: number): StoreFigures {
  const nextKey = createKeys();
  const durations = new Float64Array(inserts).fill(1);
  const insert = (store: MemoryReplayStore, end: number, now: number) => {
    const verdict = store.insert(nextKey(), end, now);
    if (verdict !== 'first') throw new Error(`An insert was ${verdict}.`);
  };
  const time = (act: (key: Uint8Array, now: number) => ReplayVerdict, clock: () => number): Latencies => {
    for (let index = 0; index < inserts; index += 1) {
      const key = nextKey();
      const now = clock();
      const started = Bun.nanoseconds();
      const verdict = act(key, now);
      durations[index] = Bun.nanoseconds() - started;
      if (verdict !== 'first') throw new Error(`An insert was ${verdict}.`);
    }
    return summarise(durations);
  };

  Bun.gc(true);
  const before = readMemory(process.pid).now;
  const store = MemoryReplayStore.create(entries, 0);
  let now = START;
  const step = (LIFE + 1) / (entries * FILLED);
  const clock = () => {
    now += step;
    return now;
  };
  for (let index = 0; index < entries * FILLED; index += 1) insert(store, clock() + LIFE, now);
  Bun.gc(true);
  const resident = readMemory(process.pid).now - before;
  const timed = (key: Uint8Array, now: number) => store.insert(key, now + LIFE, now);
  const steady = time(timed, clock);

  now += 2 * LIFE;
  for (let index = 0; index < entries * FILLED; index += 1) insert(store, now + LIFE, now);
  now += 2 * LIFE;
  const burst = time(timed, clock);
  const nothing = time(() => 'first', clock);
  return { entries, reserved: store.memory.byteLength / 2 ** 20, resident, steady, burst, nothing };
}

function summarise(nanoseconds: Float64Array): Latencies {
  const sorted = nanoseconds.toSorted();
  const at = (part: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0) / 1000;
  return { inserts: sorted.length, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

if (import.meta.main) {
  const [entries = 0, inserts = 0] = process.argv.slice(2).map(Number);
  process.stdout.write(`${JSON.stringify(measure(entries, inserts))}\n`);
}
