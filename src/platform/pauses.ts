/** Long work in the thread that answers requests, in slices short enough that none of them waits for it. */

/** Awaited between two steps of long work: null where the slice has not ended yet. */
export type PauseIfDue = () => Promise<void> | null;

/** A request may need several turns of the event loop, and waits for a slice in each. */
const SLICE_MS = 0.5;

/** The slice begins now. */
export function createPauses(sliceMs = SLICE_MS): PauseIfDue {
  let until = performance.now() + sliceMs;
  const pause = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    until = performance.now() + sliceMs;
  };
  return () => (performance.now() < until ? null : pause());
}

/** For what nobody waits beside. */
export const neverPause: PauseIfDue = () => null;
