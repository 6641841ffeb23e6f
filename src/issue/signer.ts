/** What `issue` needs from a signing key. Implemented in `keys/`. */
export interface Signer {
  /** Signs the claims as a compact JWS with `typ`, `alg`, `kid` and, if there is a certificate, `x5c`. */
  sign(claims: Readonly<Record<string, unknown>>): string | Promise<string>;
}
