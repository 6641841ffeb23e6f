/** The rate limits that `authenticate` applies to each caller. Implemented in `limit/`. */
import { Refusal } from '../refusal.ts';

/** `count` requests in `perSeconds` seconds, and at most `count` at once. */
export interface Rate {
  readonly count: number;
  readonly perSeconds: number;
}

export interface RateLimits {
  /** `caller` is `subject:` or `address:` and the value. */
  allowanceOf(caller: string): Allowance;
}

/**
 * The requests that one caller has left. `now` is in epoch seconds. A result is the number of seconds until the next request
 * is allowed, or 0.
 *
 * Looking is allowed as soon as the OpTok's signature is verified, to save work for a caller at its limit. Taking is only
 * for a caller whose sender constraint is verified too: otherwise someone with a stolen OpTok could use up the owner's
 * requests.
 */
export interface Allowance {
  /** How long to wait; takes nothing. */
  secondsToWait(now: number): number;
  /** Takes one and returns 0, or takes none and returns how long to wait. */
  take(now: number): number;
  /** Returns what was taken for a request that then failed. */
  giveBack(): void;
}

/** Throws `rate-limited` if `seconds` is more than 0; undefined means that there is no limit. */
export function checkWait(seconds = 0): void {
  if (seconds > 0)
    throw new Refusal('rate-limited', 'The caller sends more requests than limits.perSubject allows.', {
      retryAfter: seconds,
    });
}
