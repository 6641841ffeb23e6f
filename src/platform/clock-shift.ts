/** Seconds of a clock that cannot be set. Each thread has its own zero. */
export const steadyClock = () => performance.now() / 1000;

/** Returns how far `clock` was set ahead since this call, in seconds; negative if it was set back. Both return seconds. */
export function createClockShift(clock: () => number, steady: () => number): () => number {
  const offset = () => clock() - steady();
  const first = offset();
  return () => offset() - first;
}
