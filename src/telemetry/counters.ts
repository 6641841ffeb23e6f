/**
 * What is counted at each request: numbers in memory that all threads of the process add to, so that a thread that
 * ends takes none of them along. Labels come from closed sets: a request can add to a count, and never make one.
 */
import { type Reason, reasons } from '../refusal.ts';

export type Outcome = 'issued' | 'rejected';

export const outcomes: readonly Outcome[] = ['issued', 'rejected'];

/** What durations are counted of: requests by their outcome, and how late the event loops are. */
type Timed = Outcome | 'event-loop';
const timed: readonly Timed[] = [...outcomes, 'event-loop'];

/** Upper bounds of the histogram's buckets in seconds; one more bucket has what is above the last. */
export const durationBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** Names that fit: a configuration has far fewer plans, and a process sees few configurations. */
const MAX_PLANS = 65_536;
/** For each histogram: a count for each bucket, and the sum of all durations in microseconds. */
const HISTOGRAM = durationBounds.length + 2;
const FIRST_HISTOGRAM = reasons.length;
const FIRST_PLAN = FIRST_HISTOGRAM + timed.length * HISTOGRAM;

const slotOfReason = new Map(reasons.map((reason, slot) => [reason, slot]));

export interface Histogram {
  /** One for each bound, and one more; not cumulative. */
  readonly counts: readonly number[];
  readonly sumSeconds: number;
}

export class Counters {
  readonly memory: SharedArrayBuffer;
  readonly #counts: BigInt64Array;
  readonly #slotOfPlan = new Map<string, number>();

  /** Without memory it makes its own; with that of another thread's it adds to the same counts. */
  constructor(memory = new SharedArrayBuffer((FIRST_PLAN + MAX_PLANS) * BigInt64Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#counts = new BigInt64Array(memory);
  }

  /** Every plan that was announced, in the order of their counts: another thread's counters must be told the same. */
  get plans(): readonly string[] {
    return [...this.#slotOfPlan.keys()];
  }

  /** The names that may be counted from now on. Beyond 65,536 the rest share the count of the last. */
  announcePlans(names: readonly string[]): void {
    for (const name of names)
      if (!this.#slotOfPlan.has(name) && this.#slotOfPlan.size < MAX_PLANS)
        this.#slotOfPlan.set(name, FIRST_PLAN + this.#slotOfPlan.size);
  }

  /** A token was issued under this plan; `seconds` = how long the request took. */
  issued(plan: string, seconds: number): void {
    this.#add(this.#slotOfPlan.get(plan) ?? FIRST_PLAN + MAX_PLANS - 1, 1n);
    this.#addDuration('issued', seconds);
  }

  rejected(reason: Reason, seconds: number): void {
    this.#add(slotOfReason.get(reason) ?? 0, 1n);
    this.#addDuration('rejected', seconds);
  }

  /** An event loop came `seconds` later to a timer than it was due. */
  eventLoopDelayed(seconds: number): void {
    this.#addDuration('event-loop', seconds);
  }

  countIssued(plan: string): number {
    return this.#read(this.#slotOfPlan.get(plan) ?? FIRST_PLAN + MAX_PLANS - 1);
  }

  countRejected(reason: Reason): number {
    return this.#read(slotOfReason.get(reason) ?? 0);
  }

  durations(of: Timed): Histogram {
    const first = histogramOf(of);
    const counts = Array.from({ length: durationBounds.length + 1 }, (_, bucket) =>
      this.#read(first + bucket),
    );
    return { counts, sumSeconds: this.#read(first + HISTOGRAM - 1) / 1e6 };
  }

  #addDuration(of: Timed, seconds: number): void {
    const first = histogramOf(of);
    let bucket = 0;
    // Prometheus's bounds are inclusive.
    while (seconds > (durationBounds[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1;
    this.#add(first + bucket, 1n);
    this.#add(first + HISTOGRAM - 1, BigInt(Math.round(seconds * 1e6)));
  }

  #add(slot: number, count: bigint): void {
    Atomics.add(this.#counts, slot, count);
  }

  #read(slot: number): number {
    return Number(Atomics.load(this.#counts, slot));
  }
}

function histogramOf(of: Timed): number {
  return FIRST_HISTOGRAM + timed.indexOf(of) * HISTOGRAM;
}
