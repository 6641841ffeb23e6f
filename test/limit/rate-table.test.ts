/** The table of rates: each caller gets what it may have, whatever others do, and the table never grows. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import type { Rate } from '../../src/authenticate/rate-limits.ts';
import { type CallerKey, RateTable } from '../../src/limit/rate-table.ts';

setDefaultTimeout(30_000);

const START = 1_800_000_000;
const create = () => RateTable.create();

/** Callers of one set, which has room for eight. */
const inOneSet = (caller: number): CallerKey => ({ words: [caller, 7, 7, 7], set: 5 });

function takeAll(table: RateTable, key: CallerKey, rate: Rate, now: number): number {
  let taken = 0;
  while (table.take(key, rate, now) === 0) taken += 1;
  return taken;
}

describe('a caller', () => {
  test.each<[string, Rate]>([
    ['50/s', { count: 50, perSeconds: 1 }],
    ['100/m', { count: 100, perSeconds: 60 }],
    ['1000/h', { count: 1000, perSeconds: 3600 }],
    ['10000/s', { count: 10_000, perSeconds: 1 }],
    ['3/s', { count: 3, perSeconds: 1 }],
    ['1/h', { count: 1, perSeconds: 3600 }],
  ])('of %s has so many at once, then one after each part of the time, and all after the time', (_, rate) => {
    const table = create();
    const key = table.keyOf('subject:a');
    const forOne = rate.perSeconds / rate.count;
    for (const later of [0, 3 * 365 * 86_400]) {
      const now = START + later + 0.123;
      expect(takeAll(table, key, rate, now)).toBe(rate.count);
      expect(table.secondsToWait(key, rate, now)).toBeCloseTo(forOne, 5);
      expect(table.take(key, rate, now + forOne / 2)).toBeCloseTo(forOne / 2, 5);
      expect(takeAll(table, key, rate, now + forOne)).toBe(1);
      expect(takeAll(table, key, rate, now + forOne + rate.perSeconds)).toBe(rate.count);
    }
  });

  test('that only looks takes nothing', () => {
    const table = create();
    const [key, rate] = [table.keyOf('subject:a'), { count: 5, perSeconds: 60 }];
    for (let looks = 0; looks < 100; looks += 1) expect(table.secondsToWait(key, rate, START)).toBe(0);
    expect(takeAll(table, key, rate, START)).toBe(5);
    for (let looks = 0; looks < 100; looks += 1)
      expect(table.secondsToWait(key, rate, START)).toBeCloseTo(12, 5);
    expect(takeAll(table, key, rate, START + 12)).toBe(1);
  });

  test('that is given one back has one more, and is owed nothing by that later', () => {
    const table = create();
    const [key, rate] = [table.keyOf('subject:a'), { count: 5, perSeconds: 60 }];
    table.giveBack(key, rate);
    expect(takeAll(table, key, rate, START)).toBe(5);
    table.giveBack(key, rate);
    expect(takeAll(table, key, rate, START)).toBe(1);
    table.giveBack(key, rate);
    expect(takeAll(table, key, rate, START + 3600)).toBe(5);
  });

  test('has nothing to do with another', () => {
    const table = create();
    const rate = { count: 5, perSeconds: 60 };
    for (const caller of ['subject:a', 'subject:b', 'address:a', 'subject:', 'subject:A'])
      expect(takeAll(table, table.keyOf(caller), rate, START)).toBe(5);
  });
});

test('answers as one bucket of tokens for each caller would', () => {
  const rates = fc.record({
    count: fc.integer({ min: 1, max: 12 }),
    perSeconds: fc.constantFrom(1, 60, 3600),
  });
  const step = fc.record({
    caller: fc.nat(4),
    // In parts of what one takes: never where a rounding would decide.
    wait: fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      { weight: 2, arbitrary: fc.integer({ min: 0, max: 30 }).map((tenths) => tenths / 10 + 0.05) },
    ),
    act: fc.constantFrom('take', 'take', 'take', 'look', 'give back'),
  });
  fc.assert(
    fc.property(rates, fc.array(step, { maxLength: 100 }), (rate, steps) => {
      const table = create();
      const buckets = new Map<number, { tokens: number; at: number }>();
      let now = START;
      for (const { caller, wait, act } of steps) {
        now += (wait * rate.perSeconds) / rate.count;
        const key = table.keyOf(`subject:${caller}`);
        const bucket = buckets.get(caller) ?? { tokens: rate.count, at: now };
        buckets.set(caller, bucket);
        bucket.tokens = Math.min(
          rate.count,
          bucket.tokens + ((now - bucket.at) * rate.count) / rate.perSeconds,
        );
        bucket.at = now;
        if (act === 'give back') {
          table.giveBack(key, rate);
          bucket.tokens = Math.min(rate.count, bucket.tokens + 1);
          continue;
        }
        const answer = act === 'take' ? table.take(key, rate, now) : table.secondsToWait(key, rate, now);
        const isThere = bucket.tokens > 0.98;
        const missing = isThere ? 0 : ((1 - bucket.tokens) * rate.perSeconds) / rate.count;
        expect(answer).toBeCloseTo(missing, 4);
        if (act === 'take' && isThere) bucket.tokens -= 1;
      }
    }),
    { numRuns: 500 },
  );
});

describe('a table that is full', () => {
  const rate = { count: 10, perSeconds: 100 };

  test('forgets who owes nothing any more before anybody else', () => {
    const table = create();
    takeAll(table, inOneSet(0), rate, START);
    table.take(inOneSet(1), rate, START);
    for (let caller = 2; caller < 8; caller += 1) takeAll(table, inOneSet(caller), rate, START);
    // Its one has been had again.
    takeAll(table, inOneSet(8), rate, START + 11);
    for (const caller of [0, 2, 3, 4, 5, 6, 7])
      expect(table.secondsToWait(inOneSet(caller), rate, START)).toBeGreaterThan(0);
    expect(table.secondsToWait(inOneSet(8), rate, START + 11)).toBeGreaterThan(0);
  });

  test('forgets who has taken least where all owe something, and gives nobody less than its rate', () => {
    const table = create();
    for (let caller = 0; caller < 8; caller += 1)
      for (let taken = 0; taken < 10 - caller; taken += 1) table.take(inOneSet(caller), rate, START);
    expect(takeAll(table, inOneSet(9), rate, START)).toBe(10);
    expect(takeAll(table, inOneSet(0), rate, START)).toBe(0);
    expect(takeAll(table, inOneSet(6), rate, START)).toBe(6);
    expect(takeAll(table, inOneSet(7), rate, START)).toBe(10);
  });

  test('stays as large as it is, and still limits, after a million callers', () => {
    const table = create();
    const { byteLength } = table.memory;
    expect(byteLength).toBeLessThan(5e6);
    expect(takeAll(table, table.keyOf('subject:busy'), rate, START)).toBe(10);
    for (let caller = 0; caller < 1_000_000; caller += 1)
      table.take({ words: [caller, 1, 2, 3], set: caller % 16_384 }, rate, START + caller / 1e6);
    expect(table.memory.byteLength).toBe(byteLength);
    expect(table.take(table.keyOf('subject:busy'), rate, START + 1)).toBeGreaterThan(0);
  });
});

describe('a clock', () => {
  const rate = { count: 10, perSeconds: 5 };

  test.each([2, 3600, 100_000_000])('that was %d seconds ahead makes nobody wait for it', (ahead) => {
    const table = create();
    const key = table.keyOf('subject:a');
    expect(takeAll(table, key, rate, START + ahead)).toBe(10);
    expect(table.secondsToWait(key, rate, START)).toBeLessThan(1.6);
    expect(takeAll(table, key, rate, START + 5)).toBe(10);
  });

  test('that is read by two threads in turns gives nobody more', () => {
    const table = create();
    const key = table.keyOf('subject:a');
    expect(takeAll(table, key, rate, START)).toBe(10);
    for (let turns = 0; turns < 100; turns += 1) {
      expect(table.take(key, rate, START)).toBeGreaterThan(0);
      expect(table.take(key, rate, START + 0.4)).toBeGreaterThan(0);
    }
  });
});

test('a rate that was lowered counts what was taken before, and a raised one too', () => {
  const table = create();
  const key = table.keyOf('subject:a');
  const [hourly, quick] = [
    { count: 10, perSeconds: 3600 },
    { count: 50, perSeconds: 1 },
  ];
  takeAll(table, key, hourly, START);
  expect(table.secondsToWait(key, quick, START)).toBeCloseTo(0.02, 5);
  expect(takeAll(table, key, quick, START + 1)).toBe(50);
  expect(takeAll(table, key, { count: 10, perSeconds: 5 }, START + 1)).toBe(8);
});

describe('threads', () => {
  test('that take at the same time get together what there is, and not one more', async () => {
    const table = create();
    const rate = { count: 10_000, perSeconds: 3600 };
    const [taken, ready] = [new SharedArrayBuffer(16), new SharedArrayBuffer(4)];
    const task = { memory: table.memory, threads: 3, ready, caller: 'subject:a', rate, now: START, taken };
    const ended = [1, 2, 3].map((thread) => {
      const worker = new Worker(new URL('../support/rate-thread.ts', import.meta.url));
      worker.postMessage({ ...task, thread, tries: 20_000 });
      return new Promise((resolve) => worker.addEventListener('close', resolve, { once: true }));
    });
    await Promise.all(ended);
    expect(new Int32Array(taken).reduce((sum, count) => sum + count)).toBe(10_000);
    expect(table.take(table.keyOf('subject:a'), rate, START)).toBeGreaterThan(0);
  });

  test('while a dead one holds the lock nobody has to wait, and afterwards the limit is there again', () => {
    const table = create();
    const [key, rate] = [table.keyOf('subject:a'), { count: 2, perSeconds: 60 }];
    expect(takeAll(table, key, rate, START)).toBe(2);
    // The lock is the first word.
    new Int32Array(table.memory, 0, 1)[0] = 8;
    expect([table.secondsToWait(key, rate, START), table.take(key, rate, START)]).toEqual([0, 0]);
    table.releaseLockOf(7);
    expect(table.take(key, rate, START)).toBeGreaterThan(0);
  });
});
