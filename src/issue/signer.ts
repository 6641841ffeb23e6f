/** What `issue` needs of a signing key; `keys/` implements it. */
export interface Signer {
  /** Signs the claims as a compact JWS with `typ`, `alg`, `kid` and, where there is a certificate, `x5c`. */
  sign(claims: Readonly<Record<string, unknown>>): string | Promise<string>;
}
