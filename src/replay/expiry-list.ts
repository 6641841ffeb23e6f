/**
 * When entries expire: the seconds that have any, in their order, each with the list of its entries. Changed under the
 * lock alone, and of use after any of its writes: a thread that dies between two of them leaves one entry or one second
 * behind that is never used again, and nothing else.
 */
import {
  COUNT,
  EARLIEST,
  ENTRY,
  FIRST_ENTRY,
  FREE_SECOND,
  FREED_UP_TO,
  HINTS,
  NEWEST,
  NEXT_IN_SECOND,
  NEXT_SECOND,
  type ReplayViews,
  SECOND,
  SECONDS,
  USED_SECONDS,
  WHEN,
} from './replay-memory.ts';

export class ExpiryList {
  readonly #state: Uint32Array;
  readonly #hints: Uint32Array;
  readonly #seconds: Uint32Array;
  readonly #entries: Uint32Array;

  constructor({ state, hints, seconds, entries }: ReplayViews) {
    this.#state = state;
    this.#hints = hints;
    this.#seconds = seconds;
    this.#entries = entries;
  }

  /** The second `when`, made where it is not there yet; 0 where there are too many already. */
  secondOf(when: number): number {
    const hinted = this.#hints[when % HINTS] ?? 0;
    if (this.#whenOf(hinted) === when) return hinted;
    let last = this.#nearestBefore(when);
    let next = this.#after(last);
    while (next !== 0 && this.#whenOf(next) < when) {
      last = next;
      next = this.#after(next);
    }
    const second = next !== 0 && this.#whenOf(next) === when ? next : this.#create(when, last, next);
    if (second !== 0) this.#hints[when % HINTS] = second;
    return second;
  }

  add(entry: number, second: number): void {
    const at = second * SECOND;
    // Counted before it is there, and until it is gone: never less than there are.
    this.#seconds[at + COUNT] = (this.#seconds[at + COUNT] ?? 0) + 1;
    this.#entries[entry * ENTRY + NEXT_IN_SECOND] = this.#seconds[at + FIRST_ENTRY] ?? 0;
    this.#seconds[at + FIRST_ENTRY] = entry;
  }

  /** Takes an entry out whose second is before `end`; 0 where there is none. What is taken out is remembered as freed. */
  takeExpired(end: number): number {
    for (;;) {
      const second = this.#state[EARLIEST] ?? 0;
      const at = second * SECOND;
      const when = this.#whenOf(second);
      if (second === 0 || when >= end) return 0;
      const entry = this.#seconds[at + FIRST_ENTRY] ?? 0;
      if (entry !== 0) {
        this.#state[FREED_UP_TO] = Math.max(this.#state[FREED_UP_TO] ?? 0, when);
        this.#seconds[at + FIRST_ENTRY] = this.#entries[entry * ENTRY + NEXT_IN_SECOND] ?? 0;
        this.#seconds[at + COUNT] = (this.#seconds[at + COUNT] ?? 0) - 1;
        return entry;
      }
      // Unused from here on: no hint may lead to a second that is in no list.
      this.#seconds[at + WHEN] = 0;
      this.#state[EARLIEST] = this.#after(second);
      this.#seconds[at + NEXT_SECOND] = this.#state[FREE_SECOND] ?? 0;
      this.#state[FREE_SECOND] = second;
    }
  }

  /** How many entries end at or after `from`. */
  count(from: number): number {
    let sum = 0;
    for (let second = this.#after(0); second !== 0; second = this.#after(second))
      if (this.#whenOf(second) >= from) sum += this.#seconds[second * SECOND + COUNT] ?? 0;
    return sum;
  }

  /** Tells of each entry that ends at or after `from`, in the order in which they end. */
  visit(from: number, found: (entry: number, when: number) => void): void {
    for (let second = this.#after(0); second !== 0; second = this.#after(second)) {
      const when = this.#whenOf(second);
      if (when < from) continue;
      let entry = this.#seconds[second * SECOND + FIRST_ENTRY] ?? 0;
      for (; entry !== 0; entry = this.#entries[entry * ENTRY + NEXT_IN_SECOND] ?? 0) found(entry, when);
    }
  }

  /** Where to look from: seconds come one after another, but for those of clients whose clocks are behind. */
  #nearestBefore(when: number): number {
    const before = this.#hints[(when - 1) % HINTS] ?? 0;
    if (this.#whenOf(before) === when - 1) return before;
    const newest = this.#state[NEWEST] ?? 0;
    const isBefore = this.#whenOf(newest) !== 0 && this.#whenOf(newest) < when;
    return isBefore ? newest : 0;
  }

  #create(when: number, last: number, next: number): number {
    const second = this.#takeUnused();
    if (second === 0) return 0;
    const at = second * SECOND;
    this.#seconds[at + COUNT] = 0;
    this.#seconds[at + NEXT_SECOND] = next;
    if (last === 0) this.#state[EARLIEST] = second;
    else this.#seconds[last * SECOND + NEXT_SECOND] = second;
    // In the list before it has its name: see above.
    this.#seconds[at + WHEN] = when;
    this.#state[NEWEST] = second;
    return second;
  }

  #takeUnused(): number {
    const second = this.#state[FREE_SECOND] ?? 0;
    const used = this.#state[USED_SECONDS] ?? 0;
    if (second !== 0) this.#state[FREE_SECOND] = this.#after(second);
    else if (used < SECONDS) this.#state[USED_SECONDS] = used + 1;
    else return 0;
    return second === 0 ? used + 1 : second;
  }

  /** 0 is before the first. */
  #after(second: number): number {
    return (second === 0 ? this.#state[EARLIEST] : this.#seconds[second * SECOND + NEXT_SECOND]) ?? 0;
  }

  #whenOf(second: number): number {
    return this.#seconds[second * SECOND + WHEN] ?? 0;
  }
}
