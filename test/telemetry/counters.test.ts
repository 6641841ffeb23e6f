/** Counts that threads share: nothing is lost between them, and a request can add to a count but never make one. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { reasons } from '../../src/refusal.ts';
import { Counters, durationBounds } from '../../src/telemetry/counters.ts';

const COUNTER = new URL('../support/counting-thread.ts', import.meta.url);

test('threads that count at the same time lose nothing, nor does one that ends', async () => {
  const counters = new Counters();
  counters.announcePlans(['community', 'enterprise']);
  const rounds = 20_000;
  const threads = Array.from({ length: 3 }, () => {
    const thread = new Worker(COUNTER);
    thread.postMessage({ memory: counters.memory, plans: counters.plans, rounds });
    return new Promise((resolve) => thread.addEventListener('close', resolve, { once: true }));
  });
  await Promise.all(threads);
  expect(counters.countIssued('enterprise')).toBe(3 * rounds);
  expect(counters.countIssued('community')).toBe(0);
  expect(counters.countRejected('plan-denied')).toBe(3 * rounds);
  expect(counters.durations('issued').counts.reduce((sum, count) => sum + count)).toBe(3 * rounds);
  expect(counters.durations('issued').sumSeconds).toBeCloseTo(3 * rounds * 0.002);
});

test('every reason has a count of its own', () => {
  const counters = new Counters();
  for (const [index, reason] of reasons.entries())
    for (let count = 0; count <= index; count += 1) counters.rejected(reason, 0);
  expect(reasons.map((reason) => counters.countRejected(reason))).toEqual(
    reasons.map((_, index) => index + 1),
  );
});

test('a duration is in the first bucket whose bound it does not exceed', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.constantFrom(...durationBounds), fc.double({ min: 0, max: 10, noNaN: true })),
      (seconds) => {
        const counters = new Counters();
        counters.rejected('internal', seconds);
        const expected = durationBounds.findIndex((bound) => seconds <= bound);
        const at = expected === -1 ? durationBounds.length : expected;
        expect(counters.durations('rejected').counts.map((count) => count === 1)).toEqual(
          Array.from({ length: durationBounds.length + 1 }, (_, bucket) => bucket === at),
        );
        expect(counters.durations('issued').sumSeconds).toBe(0);
      },
    ),
  );
});

test('plans that were announced stay where they are when others come', () => {
  const counters = new Counters();
  counters.announcePlans(['a']);
  counters.issued('a', 0);
  counters.announcePlans(['b', 'a']);
  counters.issued('b', 0);
  counters.issued('b', 0);
  expect(counters.plans).toEqual(['a', 'b']);
  expect([counters.countIssued('a'), counters.countIssued('b')]).toEqual([1, 2]);
});

test('more plans than there is room for share one count, and touch no other', () => {
  const counters = new Counters();
  const plans = Array.from({ length: 65_600 }, (_, index) => `plan-${index}`);
  counters.announcePlans(plans);
  for (const plan of plans.slice(-60)) counters.issued(plan, 0);
  expect(counters.plans).toHaveLength(65_536);
  expect(counters.countIssued('plan-0')).toBe(0);
  expect(counters.countIssued('plan-65599')).toBe(60);
});
