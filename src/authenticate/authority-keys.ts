/** An Authority's keys; `authority/` implements them. Times in epoch seconds. */

/** What verifying a token takes. */
export interface VerificationKeys {
  /** Changes whenever one key set replaces another: what an older set verified is then worth nothing. */
  readonly generation: number;
  /**
   * The public keys for this `alg` and `kid`, at least one; several where different keys share a `kid`. Throws
   * `token-key-unknown` where there is none, and `authority-unavailable` while no key set could be fetched.
   */
  find(algorithm: string, keyId: string | null, now: number): Promise<readonly CryptoKey[]>;
}

/** And how the code that opens them keeps them current, judges and closes them. */
export interface AuthorityKeys extends VerificationKeys {
  /** Where the keys come from and what is trusted on the way: keys of one source are the same keys, also over a reload. */
  readonly source: string;
  /** The key set that was fetched last; null while there is none, and for keys that are not fetched. */
  readonly fetched: FetchedKeySet | null;
  /** How the last fetch went; null where nothing was fetched yet, and for keys that are not fetched. */
  readonly lastFetch: LastFetch | null;
  /** Fetches the key set where there is none yet, or where it is old: at the start, and every few seconds. Never rejects. */
  refreshIfNeeded(now: number): Promise<void>;
  /** The key set for a thread that misses a key: fetched anew unless that was done just now. Rejects where there is none. */
  renew(now: number): Promise<FetchedKeySet>;
  /** The same, without regard to age: somebody says that the keys have changed. Never rejects. */
  refresh(now: number): Promise<void>;
  /** Takes over what was fetched from the same source under the configuration before, with its age and its cool-down. */
  inherit(before: AuthorityKeys): void;
  /** Takes a key set that another thread has fetched into use; one of another source is ignored. */
  adopt(keySet: FetchedKeySet): void;
  /** Why no token can be verified now, or why the keys should not be relied on any longer; null: ready. */
  failing(now: number): string | null;
  /** Ends a fetch that is under way, and starts no more. */
  close(): void;
}

export interface LastFetch {
  readonly at: number;
  /** null where it went well. */
  readonly fault: string | null;
  /** Seconds by which the responder's clock is ahead of ours; null if no response had a date. */
  readonly clockAhead: number | null;
}

/** A JWKS document, as threads hand it to each other. */
export interface FetchedKeySet {
  readonly source: string;
  readonly json: string;
  readonly fetchedAt: number;
}
