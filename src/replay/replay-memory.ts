/**
 * The layout of the memory of used proofs: one piece that threads share. Zero is the value of everything unused, so that
 * what was never used takes no memory of the machine.
 *
 * Entries are numbered from 1, and so are seconds. Each entry is in two lists: the chain of its bucket, by which it is
 * found, and the list of the second in which it expires, by which it is freed.
 */
import { randomBytes } from 'node:crypto';
import { fillSecret, SECRET_WORDS } from '../platform/secret-hash.ts';

/** What another thread opens the store by; structured cloning hands it over without a copy. */
export type ReplayMemory = SharedArrayBuffer;

/** Words of an entry: its key, then these, and one to spare. */
export const ENTRY = 8;
export const EXPIRES = 4;
export const NEXT_IN_BUCKET = 5;
export const NEXT_IN_SECOND = 6;

/** Words of a second: when it is (0 = unused), its first entry, the second after it, and how many entries it has. */
export const SECOND = 4;
export const WHEN = 0;
export const FIRST_ENTRY = 1;
export const NEXT_SECOND = 2;
export const COUNT = 3;

/**
 * Seconds with entries: those of one clock are 900 at most (maxAge and clockSkew of 5 min, and a proof dated ahead), those of a clock that was set
 * back stay beside the new ones.
 */
export const SECONDS = 65_536;
/** Where a second probably is, by its last bits. */
export const HINTS = 8192;

/** Words of the state. */
export const FREE_ENTRY = 0;
export const USED_ENTRIES = 1;
export const FREE_SECOND = 2;
export const USED_SECONDS = 3;
export const EARLIEST = 4;
/** The latest second of which an entry was freed. */
export const FREED_UP_TO = 5;
/** The second that was made last. */
export const NEWEST = 6;
const STATE = 7;

export interface ReplayViews {
  readonly capacity: number;
  /** 32 random bytes. */
  readonly identity: Uint8Array;
  /** One word. */
  readonly lock: Int32Array;
  readonly state: Uint32Array;
  readonly secret: Uint32Array;
  /** From 0: each a first entry. A power of two, at least as many as there may be entries. */
  readonly buckets: Uint32Array;
  readonly bucketBits: number;
  /** From 0: each a second. */
  readonly hints: Uint32Array;
  readonly seconds: Uint32Array;
  readonly entries: Uint32Array;
}

const WORD = Uint32Array.BYTES_PER_ELEMENT;
/** A line of the processor's cache: the lock has one to itself, and an entry never lies across two. */
const LINE = 64;
/** At the beginning is the capacity, as a number. */
const LOCK_AT = LINE;
const STATE_AT = 2 * LINE;
const SECRET_AT = 3 * LINE;
const IDENTITY_AT = 4 * LINE;
const IDENTITY = 32;
const HINTS_AT = 5 * LINE;
const SECONDS_AT = HINTS_AT + HINTS * WORD;
const BUCKETS_AT = Math.ceil((SECONDS_AT + (SECONDS + 1) * SECOND * WORD) / LINE) * LINE;

export function createReplayMemory(capacity: number): ReplayMemory {
  const buckets = 2 ** bucketBitsOf(capacity);
  const memory = new SharedArrayBuffer(BUCKETS_AT + buckets * WORD + (capacity + 1) * ENTRY * WORD);
  new Float64Array(memory, 0, 1)[0] = capacity;
  fillSecret(new Uint32Array(memory, SECRET_AT, SECRET_WORDS));
  new Uint8Array(memory, IDENTITY_AT, IDENTITY).set(randomBytes(IDENTITY));
  return memory;
}

export function viewReplayMemory(memory: ReplayMemory): ReplayViews {
  const [capacity = 0] = new Float64Array(memory, 0, 1);
  const bucketBits = bucketBitsOf(capacity);
  const buckets = 2 ** bucketBits;
  return {
    capacity,
    identity: new Uint8Array(memory, IDENTITY_AT, IDENTITY),
    lock: new Int32Array(memory, LOCK_AT, 1),
    state: new Uint32Array(memory, STATE_AT, STATE),
    secret: new Uint32Array(memory, SECRET_AT, SECRET_WORDS),
    hints: new Uint32Array(memory, HINTS_AT, HINTS),
    seconds: new Uint32Array(memory, SECONDS_AT, (SECONDS + 1) * SECOND),
    buckets: new Uint32Array(memory, BUCKETS_AT, buckets),
    bucketBits,
    entries: new Uint32Array(memory, BUCKETS_AT + buckets * WORD, (capacity + 1) * ENTRY),
  };
}

function bucketBitsOf(capacity: number): number {
  return Math.max(1, Math.ceil(Math.log2(capacity)));
}
