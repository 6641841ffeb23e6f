/** The memory store under a clock that is set ahead and back: what it does not know, it does not vouch for. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { createClockShift } from '../../src/platform/clock-shift.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { keyOf } from '../support/replay-reference.ts';

test('a proof is never accepted twice though the clock was ahead in between', () => {
  const store = MemoryReplayStore.create(1000, 0);
  expect(store.insert(keyOf('a'), 190, 100)).toBe('first');
  expect(store.insert(keyOf('b'), 890, 800)).toBe('first');
  expect(store.insert(keyOf('a'), 190, 105)).toBe('unavailable');
});

test('after the clock was ahead, proofs that end later than all that was freed are accepted', () => {
  const store = MemoryReplayStore.create(1000, 0);
  expect(store.insert(keyOf('a'), 190, 100)).toBe('first');
  expect(store.insert(keyOf('b'), 890, 800)).toBe('first');
  expect(store.insert(keyOf('c'), 195, 105)).toBe('first');
  expect(store.insert(keyOf('c'), 195, 105)).toBe('replayed');
});

test('entries of a clock that was years ahead are kept beside those of the right one, which expire as ever', () => {
  const store = MemoryReplayStore.create(300, 0);
  const ahead = 100_000_000;
  for (let index = 0; index < 100; index += 1)
    expect(store.insert(keyOf(`ahead ${index}`), ahead + index, ahead)).toBe('first');
  for (let now = 1000; now < 20_000; now += 10) {
    for (let index = 0; index < 20; index += 1)
      expect(store.insert(keyOf(`${now} ${index}`), now + 90, now)).toBe('first');
    expect(store.insert(keyOf(`${now} 3`), now + 90, now)).toBe('replayed');
  }
  for (let index = 0; index < 100; index += 1)
    expect(store.insert(keyOf(`ahead ${index}`), ahead + index, 20_000)).toBe('replayed');
});

describe('a clock that was behind when the store began', () => {
  const steps = () => {
    const steady = { now: 5 };
    const wall = { now: 1000 };
    const clockShift = createClockShift(
      () => wall.now,
      () => steady.now,
    );
    const pass = (seconds: number, step = 0) => {
      steady.now += seconds;
      wall.now += seconds + step;
    };
    return { clockShift, pass };
  };

  test('takes the beginning with it when it is corrected: what was used before it is in doubt', () => {
    const { clockShift, pass } = steps();
    const store = MemoryReplayStore.create(10, 1030, { clockShift });
    pass(10);
    expect(store.rememberedSince).toBe(1030);
    pass(5, 86_400);
    expect(store.rememberedSince).toBe(1030 + 86_400);
    pass(100);
    expect(store.rememberedSince).toBe(1030 + 86_400);
  });

  test('one that is set back takes nothing with it', () => {
    const { clockShift, pass } = steps();
    const store = MemoryReplayStore.create(10, 1030, { clockShift });
    pass(10, -500);
    expect(store.rememberedSince).toBe(1030);
  });

  test('a thread that opens the store later takes over what the others know', () => {
    const { clockShift, pass } = steps();
    const store = MemoryReplayStore.create(10, 1030, { clockShift });
    pass(5, 600);
    const later = MemoryReplayStore.open(store.memory, 1, store.rememberedSince, { clockShift: () => 0 });
    expect(later.rememberedSince).toBe(1630);
  });
});

interface Step {
  readonly clock: 'runs' | 'is set';
  readonly to: number;
  /** A proof that was brought before, counted back from the last; null for a new one that lives `life` seconds. */
  readonly again: number | null;
  readonly life: number;
}

test('whatever the clock does, each answer is one that the past allows', () => {
  const step: fc.Arbitrary<Step> = fc.record({
    clock: fc.oneof(
      { weight: 5, arbitrary: fc.constant('runs' as const) },
      { weight: 1, arbitrary: fc.constant('is set' as const) },
    ),
    to: fc.oneof({ weight: 5, arbitrary: fc.nat(100) }, { weight: 1, arbitrary: fc.nat(100_000_000) }),
    again: fc.option(fc.nat(20)),
    life: fc.nat(40),
  });
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 150 }), (capacity, steps) => {
      const store = MemoryReplayStore.create(capacity, 0);
      const ends: number[] = [];
      const accepted = new Set<number>();
      let now = 1000;
      let latest = now;
      for (const { clock, to, again, life } of steps) {
        now = clock === 'is set' ? 1000 + to : now + (to % 5);
        const proof =
          again === null || again >= ends.length ? ends.push(now + life) - 1 : ends.length - 1 - again;
        const end = ends[proof] ?? 0;
        const verdict = store.insert(keyOf(proof), end, now);
        const live = [...accepted].filter((other) => (ends[other] ?? 0) >= now).length;
        const words = `${verdict} to proof ${proof}, good until ${end}, at ${now}`;
        if (verdict === 'first' && accepted.has(proof)) throw new Error(`the second ${words}`);
        if (verdict === 'replayed' && !accepted.has(proof)) throw new Error(`for the first time ${words}`);
        if (verdict === 'full' && live < capacity)
          throw new Error(`with room for ${capacity - live} ${words}`);
        latest = Math.max(latest, now);
        if (verdict === 'unavailable' && end >= latest)
          throw new Error(`the clock was never there: ${words}`);
        if (verdict === 'first') accepted.add(proof);
        seen.add(`${verdict} ${end < latest ? 'after' : 'without'} a step back`);
      }
    }),
    { numRuns: 500 },
  );
  expect([...seen].sort()).toEqual([
    'first after a step back',
    'first without a step back',
    'full after a step back',
    'full without a step back',
    'replayed after a step back',
    'replayed without a step back',
    'unavailable after a step back',
  ]);
});
