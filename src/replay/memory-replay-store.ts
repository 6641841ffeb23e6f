/** The replay store of one process: memory of a fixed size that all of its threads share, exact until it is full. */
import type { ReplayStore, ReplayVerdict } from '../authenticate/replay-store.ts';
import { ThreadLock } from '../platform/thread-lock.ts';
import { formatTime } from '../platform/time.ts';
import { ProofTable } from './proof-table.ts';
import { createReplayMemory, type ReplayMemory, viewReplayMemory } from './replay-memory.ts';
import { noteClockSkew, SAVED_ENTRY, saveReplayState, takeReplayState } from './replay-state.ts';

export type { ReplayMemory };

export interface RestoredState {
  readonly entries: number;
  /** Why proofs that were used before are not known; null if they are. */
  readonly fault: string | null;
  /** Seconds until the date up to which proofs need a nonce; 0 if new ones need none. */
  readonly doubted: number;
  /** Seconds by which the clock is behind that of the former process. */
  readonly setBack: number;
}

export interface StoreOptions {
  readonly kept?: KeptState | null;
  readonly clock?: () => number;
  /** Seconds by which the clock was set ahead since the store was created or opened. */
  readonly clockShift?: () => number;
}

/** Where the store is kept from a planned stop to the next start. */
export interface KeptState {
  readonly path: string;
  readonly onRestored: (found: RestoredState) => void;
  /** The next process would not know by how much proofs were dated ahead. */
  readonly onNotNoted: (fault: string) => void;
  /** `fault` is null if the file was written. */
  readonly onSaved: (saved: { readonly entries: number; readonly fault: string | null }) => void;
}

/** The year 2106: the last second that has room in an entry. */
const LAST_SECOND = 2 ** 32 - 1;

/**
 * An entry that may still matter is never evicted: when no entry is free or replaceable, the answer is `full`. 32 bytes an entry, and 4 to 8 for its
 * bucket; what was never used takes no memory of the machine.
 */
export class MemoryReplayStore implements ReplayStore {
  readonly memory: ReplayMemory;
  readonly capacity: number;
  readonly identity: Uint8Array;
  readonly #lock: ThreadLock;
  readonly #table: ProofTable;
  readonly #kept: KeptState | null;
  readonly #clock: () => number;
  readonly #clockShift: () => number;
  /** By the clock as it was when this thread opened the store. */
  #rememberedSince: number;
  /** Whom a state is saved for. */
  #owner: Buffer = Buffer.alloc(0);
  /** The largest that this process has accepted. */
  #clockSkew = 0;

  private constructor(
    memory: ReplayMemory,
    thread: number,
    rememberedSince: number,
    { kept = null, clock = () => 0, clockShift = () => 0 }: StoreOptions,
  ) {
    const views = viewReplayMemory(memory);
    this.memory = memory;
    this.#kept = kept;
    this.#clock = clock;
    this.#clockShift = clockShift;
    this.#rememberedSince = rememberedSince;
    this.capacity = views.capacity;
    this.identity = views.identity;
    this.#lock = new ThreadLock(views.lock, thread);
    this.#table = new ProofTable(views);
  }

  /** An empty store, for this thread: its number is 0. `rememberedSince` in epoch seconds. */
  static create(capacity: number, rememberedSince: number, options: StoreOptions = {}): MemoryReplayStore {
    return new MemoryReplayStore(createReplayMemory(capacity), 0, rememberedSince, options);
  }

  /**
   * The store that another thread has created. `thread`: a number from 1, of no other thread that lives. `rememberedSince`:
   * what it is for that thread now.
   */
  static open(
    memory: ReplayMemory,
    thread: number,
    rememberedSince: number,
    options: Pick<StoreOptions, 'clockShift'> = {},
  ): MemoryReplayStore {
    return new MemoryReplayStore(memory, thread, rememberedSince, options);
  }

  /**
   * `unavailable` also if the lock cannot be acquired, if the deadline has passed, and for entries that may have
   * been freed too early by a clock that was ahead.
   */
  insert(key: Uint8Array, deadline: number, now: number, replaceable = now): ReplayVerdict {
    const when = Math.max(1, Math.ceil(deadline));
    if (!(now <= when && when <= LAST_SECOND)) return 'unavailable';
    if (!this.#lock.acquire()) return 'unavailable';
    try {
      return this.#table.insert(key, when, now, replaceable);
    } finally {
      this.#lock.release();
    }
  }

  /**
   * Moves with the clock: where that was behind at the start and is corrected, the former process recorded proofs that are
   * dated later than the start seemed to be.
   */
  get rememberedSince(): number {
    return this.#rememberedSince + Math.max(0, this.#clockShift());
  }

  /**
   * Without a state to take over, a proof dated before the start is not known, and neither is one dated ahead: the former
   * process may have recorded it.
   */
  restore(clockSkew: number): void {
    if (this.#kept === null) return;
    const { path, onRestored } = this.#kept;
    const now = this.#clock();
    const { found, owner, former } = takeReplayState(path, now, clockSkew);
    this.#owner = owner;
    this.#clockSkew = clockSkew;
    const isWhole = 'entries' in found && this.#table.restore(found, now);
    let doubted = isWhole ? 0 : Math.max(clockSkew, former?.clockSkew ?? 0);
    this.#rememberedSince = isWhole ? found.rememberedSince : now + doubted;
    const { unknownUpTo } = this.#table;
    if (isWhole && unknownUpTo >= now) {
      // Those that were freed have no nonce of this memory, by which new ones are told from them.
      this.#table.forgetFreed();
      this.#rememberedSince = Math.max(this.#rememberedSince, unknownUpTo + 1);
      doubted = unknownUpTo + 1 - now;
    }
    const noRoom = 'it has more proofs than senderConstraint.replay.capacity';
    const fault = 'fault' in found ? found.fault : isWhole ? null : noRoom;
    const lastSeen = 'savedAt' in found ? found.savedAt : (former?.startedAt ?? now);
    const setBack = Math.max(0, lastSeen - now);
    onRestored({ entries: this.#table.count(now), fault, doubted, setBack });
  }

  admitAhead(clockSkew: number): void {
    if (this.#kept === null || clockSkew <= this.#clockSkew) return;
    this.#clockSkew = clockSkew;
    const fault = noteClockSkew(this.#kept.path, this.#owner, clockSkew);
    if (fault !== null) this.#kept.onNotNoted(fault);
  }

  async open(): Promise<void> {}

  /** Proofs like those that were freed while the clock was ahead cannot be told from them. */
  async failing(): Promise<string | null> {
    const { unknownUpTo } = this.#table;
    if (unknownUpTo < this.#clock()) return null;
    return `the clock was set back, and proofs dated up to ${formatTime(unknownUpTo)} are refused: restart the service`;
  }

  /** Called after the last request was answered: what is recorded later would be missing in the file. */
  async close(): Promise<void> {
    if (this.#kept === null) return;
    const { path, onSaved } = this.#kept;
    const savedAt = this.#clock();
    if (!this.#lock.acquire()) return onSaved({ entries: 0, fault: 'its lock cannot be acquired' });
    const saved = this.#table.save(savedAt);
    // The lock is kept: nothing may be recorded from here on.
    const fault = saveReplayState(path, {
      owner: this.#owner,
      savedAt,
      rememberedSince: this.rememberedSince,
      ...saved,
    });
    onSaved({ entries: saved.entries.length / SAVED_ENTRY, fault });
  }

  /** null if the lock cannot be acquired. */
  count(from: number): number | null {
    if (!this.#lock.acquire()) return null;
    try {
      return this.#table.count(from);
    } finally {
      this.#lock.release();
    }
  }

  releaseLockOf(thread: number): void {
    this.#lock.releaseFor(thread);
  }
}
