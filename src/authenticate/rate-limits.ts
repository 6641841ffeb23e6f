/** What `authenticate` needs to bound how often one caller is answered; `limit/` implements it. */
import { Refusal } from '../refusal.ts';

/** So many in so many seconds, and no more than `count` at once. */
export interface Rate {
  readonly count: number;
  readonly perSeconds: number;
}

export interface RateLimits {
  /** Of this caller: `subject:` or `address:`, and who it is. */
  allowanceOf(caller: string): Allowance;
}

/**
 * What one caller may still have. Times in epoch seconds; where one has to wait, the seconds until the next is allowed,
 * and otherwise 0.
 *
 * To look takes nothing, and may be done as soon as the OpTok is known to be the Authority's, before work that a caller
 * at its limit is not worth. To take is for a caller whose OpTok and sender have both been verified: a subject is only a
 * name until then, and whoever brings another's OpTok without its key would use up what belongs to another.
 */
export interface Allowance {
  /** How long to wait; takes nothing. */
  secondsToWait(now: number): number;
  /** Takes one and returns 0, or takes none and returns how long to wait. */
  take(now: number): number;
  /** Gives back what was taken for a request that then came to nothing. */
  giveBack(): void;
}

/** Throws `rate-limited` where `seconds` are to be waited; nothing is limited where there is no number. */
export function checkWait(seconds = 0): void {
  if (seconds > 0)
    throw new Refusal('rate-limited', 'More requests than limits.perSubject allows.', {
      retryAfter: seconds,
    });
}
