/** Tokens and refusals of each minute of the last hour, from the counters that all threads share. */
import { type Reason, reasons } from '../refusal.ts';
import type { Counters } from '../telemetry/counters.ts';

export interface Minute {
  /** Epoch seconds. */
  readonly at: number;
  readonly issued: number;
  /** Those that occurred. */
  readonly refused: Readonly<Partial<Record<Reason, number>>>;
}

const MINUTES = 60;

interface Counts {
  readonly issued: number;
  readonly refused: ReadonlyMap<Reason, number>;
}

export class LastHour {
  readonly #counters: Pick<Counters, 'plans' | 'countIssued' | 'countRejected'>;
  readonly #minutes = new Map<number, { issued: number; refused: Map<Reason, number> }>();
  #before: Counts;

  constructor(counters: Pick<Counters, 'plans' | 'countIssued' | 'countRejected'>) {
    this.#counters = counters;
    this.#before = this.#read();
  }

  /** Adds what was counted since the last call to the minute of `now`, in epoch seconds: called several times a minute. */
  sample(now: number): void {
    const minute = Math.floor(now / 60);
    const counts = this.#read();
    const current = this.#minutes.get(minute) ?? { issued: 0, refused: new Map<Reason, number>() };
    current.issued += counts.issued - this.#before.issued;
    for (const [reason, count] of counts.refused) {
      const more = count - (this.#before.refused.get(reason) ?? 0);
      if (more > 0) current.refused.set(reason, (current.refused.get(reason) ?? 0) + more);
    }
    this.#before = counts;
    this.#minutes.set(minute, current);
    // Also those that a clock that was set back has left in the future.
    for (const known of this.#minutes.keys())
      if (known <= minute - MINUTES || known > minute) this.#minutes.delete(known);
  }

  /** Sixty, the oldest first; the last one is not over. */
  minutes(now: number): readonly Minute[] {
    this.sample(now);
    const last = Math.floor(now / 60);
    return Array.from({ length: MINUTES }, (_, index) => {
      const minute = last - MINUTES + 1 + index;
      const counted = this.#minutes.get(minute);
      return {
        at: minute * 60,
        issued: counted?.issued ?? 0,
        refused: Object.fromEntries(counted?.refused ?? []),
      };
    });
  }

  #read(): Counts {
    const { plans } = this.#counters;
    return {
      issued: plans.reduce((sum, plan) => sum + this.#counters.countIssued(plan), 0),
      refused: new Map(reasons.map((reason) => [reason, this.#counters.countRejected(reason)])),
    };
  }
}
