/**
 * The requests that wait for the processor. Each waits here for a turn of its own while the event loop reads others, so that
 * the queue is as long as the service is behind, and requests beyond its bounds are refused at once rather than after a
 * second in the kernel's buffers.
 *
 * There are two bounds. One is a number (`limits.inFlight`). The other adapts to whatever the requests cost (controlled
 * delay, RFC 8289 §4): a burst is served whole, but once the queue has not been empty for a second, no request is
 * admitted while the first in the queue has waited for 5 ms.
 */
import { Refusal } from '../refusal.ts';

/** What is left when the request is answered. */
export type Turn = Disposable;

/** Requests that go on in one turn of the event loop, without waiting if they are the first: what is read in between costs a system call. */
const PER_TURN = 8;
/** Requests that have had their turn and are still in the array: so many at most. */
const FORGOTTEN = 1024;
/** A queue that empties within this time was a burst. */
const BURST_MS = 1000;
/** How long a request may wait once it is no burst. */
const MOST_WAIT_MS = 5;

interface Waiting {
  /** In milliseconds of the queue's clock. */
  readonly since: number;
  readonly resume: () => void;
}

export class RunQueue {
  readonly #capacity: number;
  readonly #now: () => number;
  readonly #waiting: Waiting[] = [];
  #next = 0;
  #running = 0;
  /** Turns given since the event loop last looked at the queue. */
  #given = 0;
  #isScheduled = false;
  /** When the queue was last empty. */
  #busySince = 0;
  readonly #turnTaken: Turn = {
    [Symbol.dispose]: () => {
      this.#running -= 1;
    },
  };

  /** `capacity`: requests that wait or run at a time; Infinity for no such bound. `now` in milliseconds, never set back. */
  constructor(capacity: number, now: () => number = () => performance.now()) {
    this.#capacity = capacity;
    this.#now = now;
  }

  /** Throws `overloaded` if `enter` would. Costs next to nothing: call it before any work on the request. */
  checkRoom(): void {
    if (this.#running + this.#waiting.length - this.#next >= this.#capacity)
      throw new Refusal('overloaded', 'More requests are in progress than limits.inFlight allows.', {
        retryAfter: 1,
      });
    const first = this.#waiting[this.#next];
    if (first === undefined) return;
    const now = this.#now();
    if (now - this.#busySince > BURST_MS && now - first.since > MOST_WAIT_MS)
      throw new Refusal(
        'overloaded',
        `More requests arrive than the service can answer: for ${BURST_MS / 1000} s some have been waiting.`,
        { retryAfter: 1 },
      );
  }

  /** Resolves when it is this request's turn. Throws `overloaded`. */
  async enter(): Promise<Turn> {
    this.checkRoom();
    this.#schedule();
    if (this.#next === this.#waiting.length && this.#given < PER_TURN) this.#given += 1;
    else await this.#turn();
    this.#running += 1;
    return this.#turnTaken;
  }

  #turn(): Promise<void> {
    const since = this.#now();
    if (this.#next === this.#waiting.length) this.#busySince = since;
    return new Promise((resume) => this.#waiting.push({ since, resume }));
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    this.#isScheduled = false;
    const end = Math.min(this.#next + PER_TURN, this.#waiting.length);
    this.#given = end - this.#next;
    for (; this.#next < end; this.#next += 1) this.#waiting[this.#next]?.resume();
    // Not one by one, which would move all that wait each time; and not only when nobody waits, which may never be.
    if (this.#next === this.#waiting.length || this.#next >= FORGOTTEN) {
      this.#waiting.splice(0, this.#next);
      this.#next = 0;
    }
    if (this.#given > 0) this.#schedule();
  }
}
