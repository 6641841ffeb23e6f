/**
 * What each caller has taken of its rate lately: a table of a fixed size that the threads of this process share. When
 * there are more callers than it has room for, those who have taken least are forgotten: a caller may get more than its
 * rate by that, and never less.
 */
import { createHash } from 'node:crypto';
import type { Rate } from '../authenticate/rate-limits.ts';
import { fillSecret, SECRET_WORDS, secretHash } from '../platform/secret-hash.ts';
import { ThreadLock } from '../platform/thread-lock.ts';

/** What another thread opens the table by. */
export type RateMemory = SharedArrayBuffer;

/** A caller, as the table knows it: 128 bits of a hash, and the set of places that are its own. */
export interface CallerKey {
  readonly words: readonly [number, number, number, number];
  readonly set: number;
}

/** 131,072 callers. A set is looked through whole. */
const SET_BITS = 14;
const WAYS = 8;
const PLACES = 2 ** SET_BITS * WAYS;
const KEY_WORDS = 4;
/** Of each place: the seconds that were owed, and when that was. */
const DEBT = 2;
/** A line of the processor's cache each have the lock, and the secret. */
const SECRET_AT = 64;
const DEBTS_AT = 128;
const KEYS_AT = DEBTS_AT + PLACES * DEBT * Float64Array.BYTES_PER_ELEMENT;
const BYTES = KEYS_AT + PLACES * KEY_WORDS * Uint32Array.BYTES_PER_ELEMENT;
/** Of the time for one: numbers with fractions are not exact. */
const ROUNDING = 0.01;
/** Seconds: threads may have read the clock one after the other and come here the other way round. */
const SET_BACK = 1;

/**
 * A bucket of tokens for each caller, kept as the time that it takes until it is full again: each token is worth
 * `perSeconds / count`, and all of them `perSeconds`.
 *
 * If the lock cannot be acquired, nobody has to wait: a limit that cannot be looked up refuses nobody.
 */
export class RateTable {
  readonly memory: RateMemory;
  readonly #lock: ThreadLock;
  readonly #secret: Uint32Array;
  readonly #debts: Float64Array;
  readonly #keys: Uint32Array;

  private constructor(memory: RateMemory, thread: number) {
    this.memory = memory;
    this.#lock = new ThreadLock(new Int32Array(memory, 0, 1), thread);
    this.#secret = new Uint32Array(memory, SECRET_AT, SECRET_WORDS);
    this.#debts = new Float64Array(memory, DEBTS_AT, PLACES * DEBT);
    this.#keys = new Uint32Array(memory, KEYS_AT, PLACES * KEY_WORDS);
  }

  /** An empty table, for this thread: its number is 0. */
  static create(): RateTable {
    const memory = new SharedArrayBuffer(BYTES);
    fillSecret(new Uint32Array(memory, SECRET_AT, SECRET_WORDS));
    return new RateTable(memory, 0);
  }

  /** The table that another thread has created. `thread`: a number from 1, of no other thread that lives. */
  static open(memory: RateMemory, thread: number): RateTable {
    return new RateTable(memory, thread);
  }

  keyOf(caller: string): CallerKey {
    const hash = createHash('sha256').update(caller).digest();
    const words = [0, 4, 8, 12].map((at) => hash.readUInt32LE(at)) as [number, number, number, number];
    return { words, set: secretHash(this.#secret, SET_BITS, ...words) };
  }

  /** How long the caller has to wait; takes nothing. `now` in epoch seconds. */
  secondsToWait(key: CallerKey, rate: Rate, now: number): number {
    return this.#locked(0, () => secondsToWait(this.#debtOf(this.#placeOf(key), rate, now), rate));
  }

  /** Takes one and returns 0, or takes none and returns how long the caller has to wait. */
  take(key: CallerKey, rate: Rate, now: number): number {
    return this.#locked(0, () => {
      const known = this.#placeOf(key);
      const debt = this.#debtOf(known, rate, now);
      const wait = secondsToWait(debt, rate);
      if (wait === 0) this.#owe(known ?? this.#makePlace(key), debt + rate.perSeconds / rate.count, now);
      return wait;
    });
  }

  /** Gives back one that was taken. */
  giveBack(key: CallerKey, rate: Rate): void {
    this.#locked(undefined, () => {
      const place = this.#placeOf(key);
      if (place !== null) this.#debts[place * DEBT] = this.#owed(place) - rate.perSeconds / rate.count;
    });
  }

  /** Must be called when a thread has died, and only then: it may have held the lock. */
  releaseLockOf(thread: number): void {
    this.#lock.releaseFor(thread);
  }

  #locked<Answer>(otherwise: Answer, act: () => Answer): Answer {
    if (!this.#lock.acquire()) return otherwise;
    try {
      return act();
    } finally {
      this.#lock.release();
    }
  }

  /** Seconds until the caller has all of its rate again. */
  #debtOf(place: number | null, rate: Rate, now: number): number {
    if (place === null) return 0;
    const passed = now - this.#owedAt(place);
    // Nobody owes more than all: the rate may have been another when it was taken.
    const debt = Math.max(Math.min(this.#owed(place), rate.perSeconds) - Math.max(passed, 0), 0);
    // Nobody waits until a clock that was set back is there again.
    if (passed < -SET_BACK) this.#owe(place, debt, now);
    return debt;
  }

  #owe(place: number, seconds: number, now: number): void {
    this.#debts[place * DEBT] = seconds;
    this.#debts[place * DEBT + 1] = now;
  }

  #owed(place: number): number {
    return this.#debts[place * DEBT] ?? 0;
  }

  #owedAt(place: number): number {
    return this.#debts[place * DEBT + 1] ?? 0;
  }

  #placeOf({ words: [a, b, c, d], set }: CallerKey): number | null {
    const keys = this.#keys;
    for (let place = set * WAYS; place < (set + 1) * WAYS; place += 1) {
      const at = place * KEY_WORDS;
      if (keys[at] === a && keys[at + 1] === b && keys[at + 2] === c && keys[at + 3] === d) return place;
    }
    return null;
  }

  /** The place of who owes least: nobody, somebody who owes nothing any more, or else the next to get there. */
  #makePlace({ words, set }: CallerKey): number {
    const endOf = (place: number) => this.#owedAt(place) + this.#owed(place);
    let least = set * WAYS;
    for (let place = least + 1; place < (set + 1) * WAYS; place += 1)
      if (endOf(place) < endOf(least)) least = place;
    // First nobody's: a thread that dies halfway leaves a place without debt.
    this.#owe(least, 0, 0);
    this.#keys.set(words, least * KEY_WORDS);
    return least;
  }
}

function secondsToWait(debt: number, { count, perSeconds }: Rate): number {
  const forOne = perSeconds / count;
  const wait = debt + forOne - perSeconds;
  return wait > forOne * ROUNDING ? wait : 0;
}
