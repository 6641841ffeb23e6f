/** The replay store of one process: a hash table in typed arrays, of a fixed size, exact until it is full. */
import type { ReplayStore, ReplayVerdict } from '../authenticate/replay-store.ts';

const NONE = -1;
/** Entries freed by one insert while there is room, so that no single request pays for a burst long ago. */
const FREED_PER_INSERT = 64;

/**
 * Every live entry is in two lists: the chain of its hash bucket, by which it is found, and the list of the second
 * in which it expires, by which it is freed. A live entry is never evicted: when no slot is free, the answer is
 * `full`. 28 bytes an entry, and 4 to 8 for its bucket.
 */
export class MemoryReplayStore implements ReplayStore {
  readonly rememberedSince: number;
  readonly capacity: number;
  #size = 0;

  /** 128 bits of each key, four words an entry. */
  readonly #keys: Uint32Array;
  readonly #bucketHeads: Int32Array;
  readonly #nextInBucket: Int32Array;
  readonly #nextInSecond: Int32Array;
  /** The first entry of each second that has live entries, and the earliest such second. */
  readonly #secondHeads = new Map<number, number>();
  #earliest = Number.POSITIVE_INFINITY;
  /** The latest second of which an entry was freed. */
  #freedUpTo = Number.NEGATIVE_INFINITY;
  /** Unused slots: those never used, from `#untouched` on, and those given back, as a list through `#nextInBucket`. */
  #untouched = 0;
  #free = NONE;

  /** `startedAt` in epoch seconds. */
  constructor(capacity: number, startedAt: number) {
    this.capacity = capacity;
    this.rememberedSince = startedAt;
    this.#keys = new Uint32Array(capacity * 4);
    this.#bucketHeads = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(capacity, 2)))).fill(NONE);
    this.#nextInBucket = new Int32Array(capacity);
    this.#nextInSecond = new Int32Array(capacity);
  }

  /** Entries held, expired ones that were not freed yet included. */
  get size(): number {
    return this.#size;
  }

  insert(key: Uint8Array, deadline: number, now: number): ReplayVerdict {
    this.#expire(now, FREED_PER_INSERT);
    const words = new DataView(key.buffer, key.byteOffset, 16);
    const [a, b, c, d] = [words.getUint32(0), words.getUint32(4), words.getUint32(8), words.getUint32(12)];
    const bucket = a & (this.#bucketHeads.length - 1);
    if (this.#has([a, b, c, d], bucket)) {
      // It may have expired without having been freed yet.
      this.#expire(now, this.capacity);
      if (this.#has([a, b, c, d], bucket)) return 'replayed';
    }
    // The clock was ahead: an entry like this one may have been freed too early.
    if (Math.ceil(deadline) <= this.#freedUpTo) return 'unavailable';
    const slot = this.#takeSlot();
    if (slot === NONE) return 'full';
    this.#keys.set([a, b, c, d], slot * 4);
    this.#nextInBucket[slot] = this.#bucketHeads[bucket] ?? NONE;
    this.#bucketHeads[bucket] = slot;
    const second = Math.ceil(deadline);
    this.#nextInSecond[slot] = this.#secondHeads.get(second) ?? NONE;
    this.#secondHeads.set(second, slot);
    this.#earliest = Math.min(this.#earliest, second);
    this.#size += 1;
    return 'first';
  }

  #has([a, b, c, d]: readonly [number, number, number, number], bucket: number): boolean {
    const keys = this.#keys;
    let slot = this.#bucketHeads[bucket] ?? NONE;
    while (slot !== NONE) {
      const at = slot * 4;
      if (keys[at] === a && keys[at + 1] === b && keys[at + 2] === c && keys[at + 3] === d) return true;
      slot = this.#nextInBucket[slot] ?? NONE;
    }
    return false;
  }

  /** Frees at most `limit` entries whose second has passed. */
  #expire(now: number, limit: number): void {
    let freed = 0;
    while (this.#earliest < now && freed < limit) {
      this.#freedUpTo = Math.max(this.#freedUpTo, this.#earliest);
      let slot = this.#secondHeads.get(this.#earliest) ?? NONE;
      while (slot !== NONE && freed < limit) {
        const next = this.#nextInSecond[slot] ?? NONE;
        this.#release(slot);
        freed += 1;
        slot = next;
      }
      if (slot !== NONE) this.#secondHeads.set(this.#earliest, slot);
      else {
        this.#secondHeads.delete(this.#earliest);
        this.#earliest = Math.min(Number.POSITIVE_INFINITY, ...this.#secondHeads.keys());
      }
    }
  }

  #release(slot: number): void {
    const bucket = (this.#keys[slot * 4] ?? 0) & (this.#bucketHeads.length - 1);
    const next = this.#nextInBucket[slot] ?? NONE;
    let before = this.#bucketHeads[bucket] ?? NONE;
    if (before === slot) this.#bucketHeads[bucket] = next;
    else {
      while (this.#nextInBucket[before] !== slot) before = this.#nextInBucket[before] ?? NONE;
      this.#nextInBucket[before] = next;
    }
    this.#nextInBucket[slot] = this.#free;
    this.#free = slot;
    this.#size -= 1;
  }

  #takeSlot(): number {
    const slot = this.#free;
    if (slot !== NONE) {
      this.#free = this.#nextInBucket[slot] ?? NONE;
      return slot;
    }
    if (this.#untouched === this.capacity) return NONE;
    this.#untouched += 1;
    return this.#untouched - 1;
  }
}
