/** The memory store: exact until it is full, and never a live entry evicted. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { viewReplayMemory } from '../../src/replay/replay-memory.ts';
import { keyOf, ReferenceStore } from '../support/replay-reference.ts';

interface Step {
  readonly key: number;
  readonly life: number;
  readonly wait: number;
}

/** Both stores are asked the same; their answers are compared. */
function compare(
  capacity: number,
  steps: readonly Step[],
  keyAt: (key: number) => Uint8Array,
  store = MemoryReplayStore.create(capacity, 0),
): void {
  const reference = new ReferenceStore(capacity);
  let now = 1_800_000_000;
  for (const { key, life, wait } of steps) {
    now += wait;
    const expected = reference.insert(keyAt(key), now + life, now);
    expect(store.insert(keyAt(key), now + life, now)).toBe(expected);
    expect(store.count(now)).toBe(reference.count(now));
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

  test('with keys that all share a bucket', () => {
    const step = fc.record({ key: fc.nat(12), life, wait });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const store = MemoryReplayStore.create(8, 0);
        viewReplayMemory(store.memory).secret.fill(0);
        compare(8, steps, keyOf, store);
      }),
      { numRuns: 200 },
    );
  });

  test('with lives of an hour, and pauses of any length', () => {
    const long = fc.oneof(fc.integer({ min: 0, max: 4200 }), fc.double({ min: 0, max: 4200, noNaN: true }));
    const pause = fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      { weight: 3, arbitrary: fc.integer({ min: 0, max: 900 }) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 10_000_000 }) },
    );
    const step = fc.record({ key: fc.nat(30), life: long, wait: pause });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.array(step, { maxLength: 120 }), (capacity, steps) =>
        compare(capacity, steps, keyOf),
      ),
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
    const store = MemoryReplayStore.create(1000, 0);
    for (let index = 0; index < 1000; index += 1) expect(store.insert(keyOf(index), 100, 0)).toBe('first');
    expect(store.insert(keyOf('more'), 100, 0)).toBe('full');
    for (let index = 0; index < 1000; index += 1)
      expect(store.insert(keyOf(index), 100, 50)).toBe('replayed');
    expect([store.count(50), store.capacity]).toEqual([1000, 1000]);
  });

  test('is had again after expiry, over and over', () => {
    const store = MemoryReplayStore.create(100, 0);
    for (let round = 0; round < 50; round += 1) {
      const now = round * 10;
      for (let index = 0; index < 100; index += 1)
        expect(store.insert(keyOf(`${round}/${index}`), now + 5, now)).toBe('first');
      expect(store.insert(keyOf('more'), now + 5, now + 5)).toBe('full');
    }
  });

  test('an entry lives through the whole of the second of its deadline', () => {
    const store = MemoryReplayStore.create(10, 0);
    expect(store.insert(keyOf('a'), 100.2, 10)).toBe('first');
    expect(store.insert(keyOf('a'), 100.2, 100.2)).toBe('replayed');
    expect(store.insert(keyOf('a'), 100.2, 101)).toBe('replayed');
    expect(store.insert(keyOf('a'), 200, 101.1)).toBe('first');
  });

  test('an entry that expired long ago in a burst is not taken for a replay', () => {
    const store = MemoryReplayStore.create(1000, 0);
    for (let index = 0; index < 500; index += 1) store.insert(keyOf(index), 10, 0);
    for (let index = 499; index >= 0; index -= 1) expect(store.insert(keyOf(index), 100, 50)).toBe('first');
  });

  test('no live entry is evicted by a flood', () => {
    const store = MemoryReplayStore.create(50, 0);
    expect(store.insert(keyOf('kept'), 1000, 0)).toBe('first');
    for (let index = 0; index < 5000; index += 1) store.insert(keyOf(index), 10 + index / 100, index / 100);
    expect(store.insert(keyOf('kept'), 1000, 999)).toBe('replayed');
  });

  test('keys that differ late are two keys', () => {
    const store = MemoryReplayStore.create(10, 0);
    const one = Buffer.alloc(32, 1);
    const other = Buffer.from(one);
    other[15] = 2;
    expect([store.insert(one, 10, 0), store.insert(other, 10, 0)]).toEqual(['first', 'first']);
  });

  test('a key inside a larger buffer is read from its own bytes', () => {
    const store = MemoryReplayStore.create(10, 0);
    const buffer = Buffer.concat([keyOf('x'), keyOf('y')]);
    expect(store.insert(buffer.subarray(32), 10, 0)).toBe('first');
    expect(store.insert(keyOf('y'), 10, 0)).toBe('replayed');
    expect(store.insert(keyOf('x'), 10, 0)).toBe('first');
  });

  test('a key whose deadline has passed is not vouched for, and takes no room', () => {
    const store = MemoryReplayStore.create(10, 0);
    expect(store.insert(keyOf('late'), 99, 99.5)).toBe('unavailable');
    expect(store.insert(keyOf('never'), Number.NaN, 99.5)).toBe('unavailable');
    expect(store.insert(keyOf('no time'), 99, Number.NaN)).toBe('unavailable');
    expect(store.insert(keyOf('after 2106'), 2 ** 32, 99.5)).toBe('unavailable');
    expect(store.count(0)).toBe(0);
  });
});

describe('memory', () => {
  test.each([
    [1_000_000, 64e6],
    [10_000_000, 640e6],
  ])('of %d entries is less than %d bytes', (capacity, most) => {
    expect(MemoryReplayStore.create(capacity, 0).memory.byteLength).toBeLessThan(most);
  });

  test('that was never used is not resident', () => {
    const before = process.memoryUsage.rss();
    const store = MemoryReplayStore.create(50_000_000, 0);
    for (let index = 0; index < 1000; index += 1) store.insert(keyOf(index), 100, 0);
    expect(store.memory.byteLength).toBeGreaterThan(1.6e9);
    expect(process.memoryUsage.rss() - before).toBeLessThan(100e6);
  });
});
