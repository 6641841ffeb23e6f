/** What `authenticate` needs to notice a proof used before; `replay/` implements it. */
export interface ReplayStore {
  /** Epoch seconds: it knows no proof that was used earlier. 0 for a store that outlives this process. */
  readonly rememberedSince: number;
  /**
   * Records a 32-byte key until `deadline`, in one atomic step. Times in epoch seconds. `full` and `unavailable`
   * mean that nothing is known of the key, so no token may be issued for it.
   */
  insert(key: Uint8Array, deadline: number, now: number): ReplayVerdict | Promise<ReplayVerdict>;
}

export type ReplayVerdict = 'first' | 'replayed' | 'full' | 'unavailable';
