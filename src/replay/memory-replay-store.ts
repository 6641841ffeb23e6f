/** The replay store of one process: memory of a fixed size that all of its threads share, exact until it is full. */
import type { ReplayStore, ReplayVerdict } from '../authenticate/replay-store.ts';
import { ThreadLock } from '../platform/thread-lock.ts';
import { ProofTable } from './proof-table.ts';
import { createReplayMemory, type ReplayMemory, viewReplayMemory } from './replay-memory.ts';

export type { ReplayMemory };

/** The year 2106: the last second that has room in an entry. */
const LAST_SECOND = 2 ** 32 - 1;

/**
 * An entry that may still matter is never evicted: when no entry is free or replaceable, the answer is `full`. 32 bytes an entry, and 4 to 8 for its
 * bucket; what was never used takes no memory of the machine.
 */
export class MemoryReplayStore implements ReplayStore {
  readonly memory: ReplayMemory;
  readonly rememberedSince: number;
  readonly capacity: number;
  readonly #lock: ThreadLock;
  readonly #table: ProofTable;

  private constructor(memory: ReplayMemory, thread: number) {
    const views = viewReplayMemory(memory);
    this.memory = memory;
    this.rememberedSince = views.startedAt;
    this.capacity = views.capacity;
    this.#lock = new ThreadLock(views.lock, thread);
    this.#table = new ProofTable(views);
  }

  /** An empty store, for this thread: its number is 0. `startedAt` in epoch seconds. */
  static create(capacity: number, startedAt: number): MemoryReplayStore {
    return new MemoryReplayStore(createReplayMemory(capacity, startedAt), 0);
  }

  /** The store that another thread has created. `thread`: a number from 1, of no other thread that lives. */
  static open(memory: ReplayMemory, thread: number): MemoryReplayStore {
    return new MemoryReplayStore(memory, thread);
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

  async open(): Promise<void> {}

  async failing(): Promise<null> {
    return null;
  }

  async close(): Promise<void> {}

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
