/** Several measurements of one thing. */

export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** Throws where there is none. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[0], sorted.at(-1)];
  if (low === undefined || high === undefined) throw new Error('Nothing was measured.');
  const upper = sorted[Math.floor(sorted.length / 2)] ?? low;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? low;
  return { median: (lower + upper) / 2, low, high };
}

export function medianOf(values: readonly number[]): number {
  return spreadOf(values).median;
}
