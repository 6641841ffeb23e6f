/** One rate for every caller, kept in a table that outlives it. */
import type { Rate, RateLimits } from '../authenticate/rate-limits.ts';
import type { RateTable } from './rate-table.ts';

export function createRateLimits(table: RateTable, rate: Rate): RateLimits {
  return {
    allowanceOf: (caller) => {
      const key = table.keyOf(caller);
      return {
        secondsToWait: (now) => table.secondsToWait(key, rate, now),
        take: (now) => table.take(key, rate, now),
        giveBack: () => table.giveBack(key, rate),
      };
    },
  };
}
