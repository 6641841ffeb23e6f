/**
 * What the threads of this process need to change memory that they share: a lock, and a hash under a secret. What is in
 * that memory belongs to the folders that keep it.
 */

/** Tries before a thread sleeps: what a lock is held for is a microsecond's work. */
const SPINS = 200;
const SLEEP_MS = 0.1;
/** A holder takes so long only where it was stopped or has died. */
const LONGEST_WAIT_MS = 100;
/** And this often: after the whole process was suspended, the holder must get its turn first. */
const FEWEST_SLEEPS = 100;
/** No value that the word ever has: waiting for its end is over at once. */
const FREE_MEANWHILE = -1;

/**
 * One word of shared memory: 0 while it is free, else the number of the thread that holds it, plus 1. A thread that is killed
 * while it holds the lock still holds it, until `releaseFor` is called for that thread; so what is changed under the lock
 * must be of use after any of its writes.
 */
export class ThreadLock {
  readonly #word: Int32Array;
  readonly #holder: number;

  /** `thread`: a number from 0, of this thread alone. */
  constructor(word: Int32Array, thread: number) {
    this.#word = word;
    this.#holder = thread + 1;
  }

  /** False if it cannot be acquired within about 100 ms. Not for a thread that already holds it. */
  acquire(): boolean {
    if (this.#spin()) return true;
    const until = performance.now() + LONGEST_WAIT_MS;
    for (let sleeps = 0; sleeps < FEWEST_SLEEPS || performance.now() < until; sleeps += 1) {
      // Nobody wakes a sleeper: a release that had to look for one would cost every request more than this ever does.
      Atomics.wait(this.#word, 0, Atomics.load(this.#word, 0) || FREE_MEANWHILE, SLEEP_MS);
      if (this.#spin()) return true;
    }
    return false;
  }

  release(): void {
    this.releaseFor(this.#holder - 1);
  }

  /** Takes the lock from a thread that has died; does nothing where that thread does not hold it. */
  releaseFor(thread: number): void {
    Atomics.compareExchange(this.#word, 0, thread + 1, 0);
  }

  #spin(): boolean {
    for (let tries = 0; tries < SPINS; tries += 1) {
      if (Atomics.load(this.#word, 0) !== 0) continue;
      if (Atomics.compareExchange(this.#word, 0, 0, this.#holder) === 0) return true;
    }
    return false;
  }
}
