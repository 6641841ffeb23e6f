/**
 * The used proofs themselves: a hash table of a fixed size, exact until it is full. Changed under the lock alone, and of
 * use after any of its writes: a thread that dies between two of them leaves one entry behind that is never used again.
 * It can still be found, so what was answered `first` is never accepted again.
 */
import { replayDeadline } from '../authenticate/dpop-proof.ts';
import type { ReplayVerdict } from '../authenticate/replay-store.ts';
import { secretHash } from '../platform/secret-hash.ts';
import { ExpiryList } from './expiry-list.ts';
import {
  ENTRY,
  EXPIRES,
  FREE_ENTRY,
  FREED_UP_TO,
  NEXT_IN_BUCKET,
  type ReplayViews,
  USED_ENTRIES,
} from './replay-memory.ts';
import { type ReplayState, SAVED_ENTRY } from './replay-state.ts';

/**
 * More than come in, so that what has expired is freed in time: none is left where there is no room. Few, so that no
 * single request pays for a burst.
 */
const FREED_PER_INSERT = 2;

export class ProofTable {
  readonly #capacity: number;
  readonly #state: Uint32Array;
  readonly #secret: Uint32Array;
  readonly #buckets: Uint32Array;
  readonly #bucketBits: number;
  readonly #entries: Uint32Array;
  readonly #expiry: ExpiryList;

  constructor(views: ReplayViews) {
    this.#capacity = views.capacity;
    this.#state = views.state;
    this.#secret = views.secret;
    this.#buckets = views.buckets;
    this.#bucketBits = views.bucketBits;
    this.#entries = views.entries;
    this.#expiry = new ExpiryList(views);
  }

  /**
   * Of the key 128 bits count. `when` is a whole second, not before `now`, through which the entry lives. Where no entry
   * is free, one that ends before `replaceable` is.
   */
  insert(key: Uint8Array, when: number, now: number, replaceable = now): ReplayVerdict {
    for (let freed = 0; freed < FREED_PER_INSERT; freed += 1) if (!this.#freeExpired(now)) break;
    const a = wordAt(key, 0);
    const b = wordAt(key, 4);
    const c = wordAt(key, 8);
    const d = wordAt(key, 12);
    const bucket = secretHash(this.#secret, this.#bucketBits, a, b, c, d);
    if (this.#isRemembered(bucket, a, b, c, d, now)) return 'replayed';
    // An entry like this one may have been freed too early: the clock was ahead, or there was no room.
    if (when <= (this.#state[FREED_UP_TO] ?? 0)) return 'unavailable';
    const second = this.#expiry.secondOf(when);
    let entry = second === 0 ? 0 : this.#takeUnused();
    if (entry === 0 && second !== 0 && this.#freeExpired(replaceable)) entry = this.#takeUnused();
    if (entry === 0) return 'full';
    this.#add(entry, second, bucket, [a, b, c, d], when);
    return 'first';
  }

  /** Proofs dated up to then cannot be told from those whose entries were freed. Epoch seconds. */
  get unknownUpTo(): number {
    return (this.#state[FREED_UP_TO] ?? 0) - replayDeadline(0);
  }

  forgetFreed(): void {
    this.#state[FREED_UP_TO] = 0;
  }

  /** The entries that end at or after `from`, SAVED_ENTRY words each, and up to when others were freed. */
  save(from: number): Pick<ReplayState, 'entries' | 'freedUpTo'> {
    const saved = new Uint32Array(this.count(from) * SAVED_ENTRY);
    let at = 0;
    this.#expiry.visit(from, (entry) => {
      saved.set(this.#entries.subarray(entry * ENTRY, entry * ENTRY + SAVED_ENTRY), at);
      at += SAVED_ENTRY;
    });
    return { entries: saved.subarray(0, at), freedUpTo: this.#freedBefore(from) };
  }

  /** Adds saved entries that end at or after `from` to an empty table. False where there is no room for all of them. */
  restore({ entries, freedUpTo }: Pick<ReplayState, 'entries' | 'freedUpTo'>, from: number): boolean {
    this.#state[FREED_UP_TO] = freedUpTo;
    // Those that are left out below: the clock may be set back.
    this.#state[FREED_UP_TO] = this.#freedBefore(from);
    for (let at = 0; at < entries.length; at += SAVED_ENTRY) {
      const [a = 0, b = 0, c = 0, d = 0, when = 0] = entries.subarray(at, at + SAVED_ENTRY);
      if (when < from) continue;
      const second = this.#expiry.secondOf(when);
      const entry = second === 0 ? 0 : this.#takeUnused();
      if (entry === 0) return false;
      this.#add(entry, second, secretHash(this.#secret, this.#bucketBits, a, b, c, d), [a, b, c, d], when);
    }
    return true;
  }

  /** What was freed, where nothing that ends before `from` is kept. */
  #freedBefore(from: number): number {
    return Math.max(this.#state[FREED_UP_TO] ?? 0, Math.ceil(from) - 1);
  }

  #add(
    entry: number,
    second: number,
    bucket: number,
    [a, b, c, d]: readonly [number, number, number, number],
    when: number,
  ): void {
    const at = entry * ENTRY;
    this.#entries[at] = a;
    this.#entries[at + 1] = b;
    this.#entries[at + 2] = c;
    this.#entries[at + 3] = d;
    this.#entries[at + EXPIRES] = when;
    this.#entries[at + NEXT_IN_BUCKET] = this.#buckets[bucket] ?? 0;
    this.#buckets[bucket] = entry;
    this.#expiry.add(entry, second);
  }

  /** How many entries end at or after `from`. */
  count(from: number): number {
    return this.#expiry.count(from);
  }

  /** An entry that has expired and was not freed yet does not count. */
  #isRemembered(bucket: number, a: number, b: number, c: number, d: number, now: number): boolean {
    const entries = this.#entries;
    for (let entry = this.#buckets[bucket] ?? 0; entry !== 0; ) {
      const at = entry * ENTRY;
      const isSame =
        entries[at] === a && entries[at + 1] === b && entries[at + 2] === c && entries[at + 3] === d;
      if (isSame && (entries[at + EXPIRES] ?? 0) >= now) return true;
      entry = entries[at + NEXT_IN_BUCKET] ?? 0;
    }
    return false;
  }

  /** 0 where all are used. */
  #takeUnused(): number {
    const entry = this.#state[FREE_ENTRY] ?? 0;
    const used = this.#state[USED_ENTRIES] ?? 0;
    if (entry !== 0) this.#state[FREE_ENTRY] = this.#entries[entry * ENTRY + NEXT_IN_BUCKET] ?? 0;
    else if (used < this.#capacity) this.#state[USED_ENTRIES] = used + 1;
    else return 0;
    return entry === 0 ? used + 1 : entry;
  }

  /** Frees one that ends before `end`; false where there is none. */
  #freeExpired(end: number): boolean {
    const entry = this.#expiry.takeExpired(end);
    if (entry === 0) return false;
    const at = entry * ENTRY;
    const entries = this.#entries;
    const bucket = secretHash(
      this.#secret,
      this.#bucketBits,
      entries[at] ?? 0,
      entries[at + 1] ?? 0,
      entries[at + 2] ?? 0,
      entries[at + 3] ?? 0,
    );
    const next = entries[at + NEXT_IN_BUCKET] ?? 0;
    let before = this.#buckets[bucket] ?? 0;
    if (before === entry) this.#buckets[bucket] = next;
    else {
      while (before !== 0 && entries[before * ENTRY + NEXT_IN_BUCKET] !== entry)
        before = entries[before * ENTRY + NEXT_IN_BUCKET] ?? 0;
      if (before !== 0) entries[before * ENTRY + NEXT_IN_BUCKET] = next;
    }
    entries[at + NEXT_IN_BUCKET] = this.#state[FREE_ENTRY] ?? 0;
    this.#state[FREE_ENTRY] = entry;
    return true;
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  const low = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
  const high = (bytes[at + 2] ?? 0) | ((bytes[at + 3] ?? 0) << 8);
  return (low | (high << 16)) >>> 0;
}
