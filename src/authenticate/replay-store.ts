/** The memory of used proofs; `replay/` implements it. Times in epoch seconds. */

/** What noticing a proof that was used before takes. */
export interface UsedProofs {
  /** Of a proof dated earlier it cannot tell whether it was used. */
  readonly rememberedSince: number;
  /**
   * Records a 32-byte key until `deadline`, in one atomic step. Entries with a deadline before `replaceable` may make
   * room where there is none; keys with such a deadline are then not accepted any more. `full` and `unavailable` mean
   * that nothing is known of the key, so no token may be issued for it.
   */
  insert(
    key: Uint8Array,
    deadline: number,
    now: number,
    replaceable?: number,
  ): ReplayVerdict | Promise<ReplayVerdict>;
}

/** And how the code that opens the store judges and closes it. */
export interface ReplayStore extends UsedProofs {
  /** Takes over what the process before kept. Called once, in the main thread, before the first insert and `admitAhead`. */
  restore(clockSkew: number): void;
  /** Called in the main thread before proofs are accepted that are dated up to `clockSkew` seconds ahead. */
  admitAhead(clockSkew: number): void;
  /** A secret of this memory, 32 bytes: another one where entries may have been lost. */
  readonly identity: Uint8Array;
  /** Makes the first connection, where there is one to make, or fails to: either way it goes on trying. Never rejects. */
  open(): Promise<void>;
  /** Why no proof can be recorded now; null: ready. Never rejects. */
  failing(): Promise<string | null>;
  /** How many entries have a deadline at or after `from`; null where that is not known here. */
  count(from: number): number | null;
  /** How many entries fit; null where another program bounds them. */
  readonly capacity: number | null;
  /** What another thread of this process opens the same store by; null where each thread has a connection of its own. */
  readonly memory: SharedArrayBuffer | null;
  /** Must be called when a thread has died, and only then: it may have held a lock. */
  releaseLockOf(thread: number): void;
  /** Keeps what the next process can take over, where there is a place for it. */
  close(): Promise<void>;
}

export type ReplayVerdict = 'first' | 'replayed' | 'full' | 'unavailable';
