/** What `authenticate` needs of the Authority's key set; `authority/` implements it. */
export interface AuthorityKeys {
  /** Changes whenever one key set replaces another: what an older set verified is then worth nothing. */
  readonly generation: number;
  /**
   * The public keys for this `alg` and `kid`, at least one; several where different keys share a `kid`. Throws
   * `token-key-unknown` where there is none, and `authority-unavailable` while no key set could be had. `now` in epoch
   * seconds.
   */
  find(algorithm: string, keyId: string | null, now: number): Promise<readonly CryptoKey[]>;
}
