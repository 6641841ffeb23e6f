/**
 * A bound on the requests that are being answered (`limits.inFlight`). A request waits here for a turn of its own: the
 * event loop reads others meanwhile, so that the queue is as long as the service is behind, and those beyond the bound
 * are told at once rather than after a second in the kernel's buffers.
 */
import { Refusal } from '../refusal.ts';

/** What is left when the request is answered. */
export type Turn = Disposable;

/** Requests that go on in one turn of the event loop: what is read in between costs a system call. */
const PER_TURN = 8;
/** Requests that have had their turn and are still in the array: so many at most. */
const FORGOTTEN = 1024;

export class RunQueue {
  readonly #capacity: number;
  readonly #waiting: (() => void)[] = [];
  #next = 0;
  #running = 0;
  #isScheduled = false;
  readonly #turnTaken: Turn = {
    [Symbol.dispose]: () => {
      this.#running -= 1;
    },
  };

  /** `capacity`: requests that wait or run at a time; Infinity for no bound, and then nobody waits either. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Resolves when it is this request's turn. Throws `overloaded` where too many wait and run already. */
  async enter(): Promise<Turn> {
    if (this.#running + this.#waiting.length - this.#next >= this.#capacity)
      throw new Refusal('overloaded', 'More requests are in progress than limits.inFlight allows.', {
        retryAfter: 1,
      });
    if (this.#capacity !== Number.POSITIVE_INFINITY) await this.#turn();
    this.#running += 1;
    return this.#turnTaken;
  }

  #turn(): Promise<void> {
    this.#schedule();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    this.#isScheduled = false;
    const end = Math.min(this.#next + PER_TURN, this.#waiting.length);
    for (; this.#next < end; this.#next += 1) this.#waiting[this.#next]?.();
    // Not one by one, which would move all that wait each time; and not only when nobody waits, which may never be.
    if (this.#next === this.#waiting.length || this.#next >= FORGOTTEN) {
      this.#waiting.splice(0, this.#next);
      this.#next = 0;
    }
    if (this.#waiting.length > 0) this.#schedule();
  }
}
