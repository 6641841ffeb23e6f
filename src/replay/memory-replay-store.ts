/** The replay store of one process: memory of a fixed size that all of its threads share, exact until it is full. */
import type { ReplayStore, ReplayVerdict } from '../authenticate/replay-store.ts';
import { ThreadLock } from '../platform/thread-lock.ts';
import { ProofTable } from './proof-table.ts';
import {
  createReplayMemory,
  type ReplayMemory,
  type ReplayViews,
  viewReplayMemory,
} from './replay-memory.ts';
import { SAVED_ENTRY, saveReplayState, takeReplayState } from './replay-state.ts';

export type { ReplayMemory };

export interface RestoredState {
  readonly entries: number;
  readonly fault: string | null;
  readonly setBack: number;
}

/** Where the store is kept from a planned stop to the next start. */
export interface KeptState {
  readonly path: string;
  /** Seconds by which a proof may be dated ahead. */
  readonly clockSkew: number;
  readonly clock: () => number;
  /** `fault`: why proofs that were used before are not known. `setBack`: seconds by which the clock is behind that of the stop. */
  readonly onRestored: (found: RestoredState) => void;
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
  readonly #views: ReplayViews;
  readonly #kept: KeptState | null;
  /** Whom a state is saved for. */
  #owner: Buffer = Buffer.alloc(0);

  private constructor(memory: ReplayMemory, thread: number, kept: KeptState | null) {
    const views = viewReplayMemory(memory);
    this.memory = memory;
    this.#views = views;
    this.#kept = kept;
    this.capacity = views.capacity;
    this.identity = views.identity;
    this.#lock = new ThreadLock(views.lock, thread);
    this.#table = new ProofTable(views);
  }

  /** An empty store, for this thread: its number is 0. `startedAt` in epoch seconds. */
  static create(capacity: number, startedAt: number, kept: KeptState | null = null): MemoryReplayStore {
    return new MemoryReplayStore(createReplayMemory(capacity, startedAt), 0, kept);
  }

  /** The store that another thread has created. `thread`: a number from 1, of no other thread that lives. */
  static open(memory: ReplayMemory, thread: number): MemoryReplayStore {
    return new MemoryReplayStore(memory, thread, null);
  }

  /**
   * `unavailable` also where the lock is not to be had, where the deadline has passed, and for entries that may have
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

  get rememberedSince(): number {
    return this.#views.since[0] ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Without a state to take over, a proof dated before the start is not known, and neither is one dated ahead by the process
   * before: it may have recorded proofs up to `clockSkew` from now.
   */
  restore(): void {
    if (this.#kept === null) return;
    const { path, clockSkew, clock, onRestored } = this.#kept;
    const now = clock();
    const { found, owner } = takeReplayState(path, now);
    this.#owner = owner;
    const isWhole = 'entries' in found && this.#table.restore(found, now);
    this.#views.since[0] = isWhole ? found.rememberedSince : now + clockSkew;
    const noRoom = 'it has more proofs than senderConstraint.replay.capacity';
    const fault = 'fault' in found ? found.fault : isWhole ? null : noRoom;
    const setBack = 'savedAt' in found ? Math.max(0, found.savedAt - now) : 0;
    onRestored({ entries: this.#table.count(now), fault, setBack });
  }

  async open(): Promise<void> {}

  async failing(): Promise<null> {
    return null;
  }

  /** Called after the last request was answered: what is recorded later would be missing in the file. */
  async close(): Promise<void> {
    if (this.#kept === null) return;
    const { path, clock, onSaved } = this.#kept;
    const savedAt = clock();
    if (!this.#lock.acquire()) return onSaved({ entries: 0, fault: 'its lock is not to be had' });
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

  /** null where the lock is not to be had. */
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
