/** The memory store: exact until it is full, and never a live entry evicted. */
import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type { ReplayVerdict } from '../../src/authenticate/replay-store.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';

const keyOf = (name: string | number) => createHash('sha256').update(String(name)).digest();

/** What the store is: a map of keys to the second in which they expire, of a fixed size. */
class ReferenceStore {
  readonly #entries = new Map<string, number>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  insert(key: Uint8Array, deadline: number, now: number): ReplayVerdict {
    for (const [name, second] of this.#entries) if (second < now) this.#entries.delete(name);
    const name = Buffer.from(key).toString('hex');
    if (this.#entries.has(name)) return 'replayed';
    if (this.#entries.size === this.#capacity) return 'full';
    this.#entries.set(name, Math.ceil(deadline));
    return 'first';
  }
}

interface Step {
  readonly key: number;
  readonly life: number;
  readonly wait: number;
}

/** Both stores are asked the same; their answers are compared. */
function compare(capacity: number, steps: readonly Step[], keyAt: (key: number) => Uint8Array): void {
  const store = new MemoryReplayStore(capacity, 0);
  const reference = new ReferenceStore(capacity);
  let now = 1_800_000_000;
  for (const { key, life, wait } of steps) {
    now += wait;
    const expected = reference.insert(keyAt(key), now + life, now);
    expect(store.insert(keyAt(key), now + life, now)).toBe(expected);
    expect(store.size).toBeLessThanOrEqual(capacity);
  }
}

describe('the memory store answers as a plain map with a size limit would', () => {
  const life = fc.oneof(fc.integer({ min: 0, max: 6 }), fc.double({ min: 0, max: 6, noNaN: true }));
  const wait = fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: fc.double({ min: 0, max: 3, noNaN: true }) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 20 }) },
  );

  test('while small and full most of the time', () => {
    const step = fc.record({ key: fc.nat(9), life, wait });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.array(step, { maxLength: 80 }), (capacity, steps) =>
        compare(capacity, steps, keyOf),
      ),
      { numRuns: 300 },
    );
  });

  test('with keys that share a bucket', () => {
    const sameBucket = (key: number) => Buffer.concat([Buffer.alloc(4, 7), keyOf(key).subarray(0, 28)]);
    const step = fc.record({ key: fc.nat(12), life, wait });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => compare(8, steps, sameBucket)),
      { numRuns: 200 },
    );
  });

  test('after bursts that expire all at once', () => {
    const burst = fc.record({ key: fc.nat(400), life: fc.integer({ min: 0, max: 2 }), wait: fc.constant(0) });
    const pause = fc.record({ key: fc.nat(400), life, wait: fc.integer({ min: 1, max: 5 }) });
    const steps = fc.array(fc.oneof({ weight: 60, arbitrary: burst }, { weight: 1, arbitrary: pause }), {
      minLength: 300,
      maxLength: 600,
    });
    fc.assert(
      fc.property(steps, (all) => compare(250, all, keyOf)),
      { numRuns: 30 },
    );
  });
});

describe('capacity', () => {
  test('is exact: so many entries and not one more', () => {
    const store = new MemoryReplayStore(1000, 0);
    for (let index = 0; index < 1000; index += 1) expect(store.insert(keyOf(index), 100, 0)).toBe('first');
    expect(store.insert(keyOf('more'), 100, 0)).toBe('full');
    for (let index = 0; index < 1000; index += 1)
      expect(store.insert(keyOf(index), 100, 50)).toBe('replayed');
    expect([store.size, store.capacity]).toEqual([1000, 1000]);
  });

  test('is had again after expiry, over and over', () => {
    const store = new MemoryReplayStore(100, 0);
    for (let round = 0; round < 50; round += 1) {
      const now = round * 10;
      for (let index = 0; index < 100; index += 1)
        expect(store.insert(keyOf(`${round}/${index}`), now + 5, now)).toBe('first');
      expect(store.insert(keyOf('more'), now + 5, now + 5)).toBe('full');
    }
  });

  test('an entry lives through the whole of the second of its deadline', () => {
    const store = new MemoryReplayStore(10, 0);
    expect(store.insert(keyOf('a'), 100.2, 10)).toBe('first');
    expect(store.insert(keyOf('a'), 100.2, 100.2)).toBe('replayed');
    expect(store.insert(keyOf('a'), 100.2, 101)).toBe('replayed');
    expect(store.insert(keyOf('a'), 200, 101.1)).toBe('first');
  });

  test('an entry that expired long ago in a burst is not taken for a replay', () => {
    const store = new MemoryReplayStore(1000, 0);
    for (let index = 0; index < 500; index += 1) store.insert(keyOf(index), 10, 0);
    for (let index = 499; index >= 0; index -= 1) expect(store.insert(keyOf(index), 100, 50)).toBe('first');
  });

  test('no live entry is evicted by a flood', () => {
    const store = new MemoryReplayStore(50, 0);
    expect(store.insert(keyOf('kept'), 1000, 0)).toBe('first');
    for (let index = 0; index < 5000; index += 1) store.insert(keyOf(index), 10 + index / 100, index / 100);
    expect(store.insert(keyOf('kept'), 1000, 999)).toBe('replayed');
  });

  test('keys that differ late are two keys', () => {
    const store = new MemoryReplayStore(10, 0);
    const one = Buffer.alloc(32, 1);
    const other = Buffer.from(one);
    other[15] = 2;
    expect([store.insert(one, 10, 0), store.insert(other, 10, 0)]).toEqual(['first', 'first']);
  });

  test('a key inside a larger buffer is read from its own bytes', () => {
    const store = new MemoryReplayStore(10, 0);
    const buffer = Buffer.concat([keyOf('x'), keyOf('y')]);
    expect(store.insert(buffer.subarray(32), 10, 0)).toBe('first');
    expect(store.insert(keyOf('y'), 10, 0)).toBe('replayed');
    expect(store.insert(keyOf('x'), 10, 0)).toBe('first');
  });
});
