/**
 * A thread may die between any two writes. Here it does, at each of them: nothing that was accepted is accepted again,
 * and no more than one entry is lost.
 */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { ProofTable } from '../../src/replay/proof-table.ts';
import { createReplayMemory, type ReplayViews, viewReplayMemory } from '../../src/replay/replay-memory.ts';
import { keyOf } from '../support/replay-reference.ts';

class Death extends Error {}

/** The same memory, of which each use is told before it is made. */
function watched(views: ReplayViews, onUse: (kind: 'read' | 'write') => void): ReplayViews {
  const watch = (words: Uint32Array) =>
    new Proxy(words, {
      // The members of a typed array want the array itself.
      get: (target, name) => {
        onUse('read');
        return Reflect.get(target, name, target);
      },
      set: (target, name, value) => {
        onUse('write');
        return Reflect.set(target, name, value, target);
      },
    });
  const { state, hints, seconds, buckets, entries } = views;
  return {
    ...views,
    state: watch(state),
    hints: watch(hints),
    seconds: watch(seconds),
    buckets: watch(buckets),
    entries: watch(entries),
  };
}

/** The same memory, in which this many writes succeed; the next is the end of who tries. */
function mortal(views: ReplayViews, writes: number): ReplayViews {
  let left = writes;
  return watched(views, (kind) => {
    if (kind === 'read') return;
    if (left === 0) throw new Death();
    left -= 1;
  });
}

interface Step {
  readonly key: number;
  readonly life: number;
  readonly wait: number;
  /** After how many writes the thread dies; null where it lives on. */
  readonly death: number | null;
}

const step: fc.Arbitrary<Step> = fc.record({
  key: fc.nat(12),
  life: fc.nat(6),
  wait: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat(4) }),
  death: fc.option(fc.nat(25), { freq: 2 }),
});

test('whichever write a thread dies at, what was accepted stays used and one entry at most is lost', () => {
  const diedAt = new Set<number>();
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.array(step, { maxLength: 60 }), (spare, steps) => {
      const deaths = steps.filter(({ death }) => death !== null).length;
      const capacity = deaths + spare;
      const views = viewReplayMemory(createReplayMemory(capacity));
      const table = new ProofTable(views);
      const accepted = new Map<number, number>();
      let lost = 0;
      let now = 1000;
      for (const { key, life, wait, death } of steps) {
        now += wait;
        const alive = [...accepted].filter(([, end]) => end >= now);
        const wasUsed = (accepted.get(key) ?? 0) >= now;
        let verdict = 'died';
        try {
          const by = death === null ? table : new ProofTable(mortal(views, death));
          verdict = by.insert(keyOf(key), now + life, now);
        } catch (cause) {
          if (!(cause instanceof Death)) throw cause;
          diedAt.add(death ?? 0);
          lost += 1;
          // Whether it was recorded is not known; nobody was told that it was the first.
          if (!wasUsed) accepted.delete(key);
        }
        if (verdict === 'first') accepted.set(key, now + life);
        if (wasUsed && verdict !== 'replayed' && verdict !== 'died')
          throw new Error(`accepted again: ${key}`);
        if (verdict === 'full' && alive.length + lost < capacity)
          throw new Error(`${lost} deaths have cost ${capacity - alive.length} entries`);
        for (const [other, end] of accepted)
          if (end >= now) expect(table.insert(keyOf(other), end, now)).toBe('replayed');
      }
      now += 100;
      let taken = 0;
      while (table.insert(keyOf(`new ${taken}`), now + 5, now) === 'first') taken += 1;
      expect(taken).toBeWithin(capacity - lost, capacity + 1);
    }),
    { numRuns: 1500 },
  );
  // An insert that frees two entries and makes a second has about twenty writes.
  expect([...diedAt].sort((a, b) => a - b).slice(0, 16)).toEqual(
    Array.from({ length: 16 }, (_, write) => write),
  );
});

test('the count of live entries is never less than there are, and right again when they have expired', () => {
  for (let death = 0; death < 25; death += 1) {
    const views = viewReplayMemory(createReplayMemory(10));
    const table = new ProofTable(views);
    for (let key = 0; key < 4; key += 1) table.insert(keyOf(key), 110, 100);
    const dying = new ProofTable(mortal(views, death));
    try {
      expect(dying.insert(keyOf('dies'), 110, 100)).toBe('first');
    } catch (cause) {
      if (!(cause instanceof Death)) throw cause;
    }
    expect(table.count(100)).toBeWithin(4, 6);
    for (let key = 0; key < 4; key += 1) table.insert(keyOf(`later ${key}`), 210, 200);
    expect(table.count(200)).toBe(4);
  }
});

test.each([
  ['in one second', 1],
  ['in as many seconds as there can be', 4200],
])('an insert does as little as ever after thousands of entries have expired %s', (_, seconds) => {
  const capacity = 8400;
  const views = viewReplayMemory(createReplayMemory(capacity));
  const table = new ProofTable(views);
  for (let entry = 0; entry < capacity; entry += 1)
    expect(table.insert(keyOf(entry), 5000 + (entry % seconds), 1000)).toBe('first');
  let uses = 0;
  const counting = new ProofTable(
    watched(views, () => {
      uses += 1;
    }),
  );
  let most = 0;
  for (let entry = 0; entry < capacity; entry += 1) {
    uses = 0;
    expect(counting.insert(keyOf(`later ${entry}`), 1_000_010, 1_000_000)).toBe('first');
    most = Math.max(most, uses);
  }
  expect(most).toBeLessThan(200);
});
