/** How late an event loop is: what every request in it waits for, beside its own work. */
import type { Counters } from './counters.ts';

const PERIOD_MS = 100;

/** Counts, ten times a second, how much later than due this thread comes to a timer. Disposed of, it stops. */
export function watchEventLoop(counters: Counters): Disposable {
  let due = performance.now() + PERIOD_MS;
  const look = () => {
    const now = performance.now();
    counters.eventLoopDelayed(Math.max(0, now - due) / 1000);
    due = now + PERIOD_MS;
    timer = setTimeout(look, PERIOD_MS);
  };
  let timer = setTimeout(look, PERIOD_MS);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}
