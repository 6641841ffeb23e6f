/** How late the event loop is: counted while it works, and not after the end. */
import { expect, test } from 'bun:test';
import { Counters, durationBounds } from '../../src/telemetry/counters.ts';
import { watchEventLoop } from '../../src/telemetry/event-loop.ts';

const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);

test('a loop that was blocked for 300 ms is counted as late by more than 100 ms', async () => {
  const counters = new Counters();
  using _ = watchEventLoop(counters);
  const end = performance.now() + 300;
  while (performance.now() < end);
  await Bun.sleep(10);
  const { counts, sumSeconds } = counters.durations('event-loop');
  expect(sum(counts.slice(durationBounds.indexOf(0.1) + 1))).toBe(1);
  expect(sumSeconds).toBeGreaterThan(0.15);
});

test('nothing is counted after the end', async () => {
  const counters = new Counters();
  watchEventLoop(counters)[Symbol.dispose]();
  await Bun.sleep(150);
  expect(sum(counters.durations('event-loop').counts)).toBe(0);
});
