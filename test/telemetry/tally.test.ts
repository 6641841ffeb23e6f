/** Counts that threads share: nothing is lost between them, and a request can add to a count but never make one. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { reasons } from '../../src/refusal.ts';
import { durationBounds, Tally } from '../../src/telemetry/tally.ts';

const COUNTER = new URL('../support/counting-thread.ts', import.meta.url);

test('threads that count at the same time lose nothing, nor does one that ends', async () => {
  const tally = new Tally();
  tally.announcePlans(['community', 'enterprise']);
  const rounds = 20_000;
  const threads = Array.from({ length: 3 }, () => {
    const thread = new Worker(COUNTER);
    thread.postMessage({ memory: tally.memory, plans: tally.plans, rounds });
    return new Promise((resolve) => thread.addEventListener('close', resolve, { once: true }));
  });
  await Promise.all(threads);
  expect(tally.countIssued('enterprise')).toBe(3 * rounds);
  expect(tally.countIssued('community')).toBe(0);
  expect(tally.countRejected('plan-denied')).toBe(3 * rounds);
  expect(tally.durations('issued').counts.reduce((sum, count) => sum + count)).toBe(3 * rounds);
  expect(tally.durations('issued').sumSeconds).toBeCloseTo(3 * rounds * 0.002);
});

test('every reason has a count of its own', () => {
  const tally = new Tally();
  for (const [index, reason] of reasons.entries())
    for (let count = 0; count <= index; count += 1) tally.rejected(reason, 0);
  expect(reasons.map((reason) => tally.countRejected(reason))).toEqual(reasons.map((_, index) => index + 1));
});

test('a duration is in the first bucket whose bound it does not exceed', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.constantFrom(...durationBounds), fc.double({ min: 0, max: 10, noNaN: true })),
      (seconds) => {
        const tally = new Tally();
        tally.rejected('internal', seconds);
        const expected = durationBounds.findIndex((bound) => seconds <= bound);
        const at = expected === -1 ? durationBounds.length : expected;
        expect(tally.durations('rejected').counts.map((count) => count === 1)).toEqual(
          Array.from({ length: durationBounds.length + 1 }, (_, bucket) => bucket === at),
        );
        expect(tally.durations('issued').sumSeconds).toBe(0);
      },
    ),
  );
});

test('plans that were announced stay where they are when others come', () => {
  const tally = new Tally();
  tally.announcePlans(['a']);
  tally.issued('a', 0);
  tally.announcePlans(['b', 'a']);
  tally.issued('b', 0);
  tally.issued('b', 0);
  expect(tally.plans).toEqual(['a', 'b']);
  expect([tally.countIssued('a'), tally.countIssued('b')]).toEqual([1, 2]);
});

test('more plans than there is room for share one count, and touch no other', () => {
  const tally = new Tally();
  const plans = Array.from({ length: 65_600 }, (_, index) => `plan-${index}`);
  tally.announcePlans(plans);
  for (const plan of plans.slice(-60)) tally.issued(plan, 0);
  expect(tally.plans).toHaveLength(65_536);
  expect(tally.countIssued('plan-0')).toBe(0);
  expect(tally.countIssued('plan-65599')).toBe(60);
});
