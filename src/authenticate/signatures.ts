/**
 * The signatures of OpToks and proofs, and the memory of what was verified: an OpTok by the hash of its text, a proof
 * key by the proof's header. Both memories are bounded and hold only what passed. The first JWS of each key is verified
 * by jose, with its checks of key and algorithm; those after it by node:crypto.
 */
import { calculateJwkThumbprint, compactVerify, errors, importJWK, type JWK } from 'jose';
import { Refusal } from '../refusal.ts';
import type { VerificationKeys } from './authority-keys.ts';
import { BoundedCache } from './bounded-cache.ts';
import type { CompactJws, JsonObject } from './compact-jws.ts';
import type { DpopProof } from './dpop-proof.ts';
import { createSignatureKey, isSignatureValid, type SignatureKey } from './jws-signature.ts';
import type { OpTok } from './op-tok.ts';

interface ProofKey {
  readonly key: CryptoKey;
  /** RFC 7638, SHA-256, base64url. */
  readonly thumbprint: string;
}

const CAPACITY = 10_000;
/** The members of a public JWK that are its key (RFC 7638 §3.2, RFC 8037); the others are not looked at. */
const KEY_MEMBERS = ['kty', 'crv', 'x', 'y', 'n', 'e'] as const;

export class Signatures {
  readonly #authorityKeys: VerificationKeys;
  readonly #opToks = new BoundedCache<string, OpTok>(CAPACITY);
  readonly #proofKeys = new BoundedCache<string, ProofKey>(CAPACITY);
  /** Of the keys with which jose has verified a JWS of the one algorithm that they are for. */
  readonly #provenKeys = new WeakMap<CryptoKey, SignatureKey>();
  #generation: number;

  constructor(authorityKeys: VerificationKeys) {
    this.#authorityKeys = authorityKeys;
    this.#generation = authorityKeys.generation;
  }

  /** The OpTok of this hash, if its signature was verified with the key set in use. Its claims may be outdated. */
  recall(tokenHash: string): OpTok | undefined {
    this.#forgetOldKeySet();
    return this.#opToks.get(tokenHash);
  }

  /** Throws `token-signature`, `token-key-unknown` or `authority-unavailable`. */
  async verifyOpTok(opTok: OpTok, tokenHash: string, now: number): Promise<void> {
    const generation = this.#authorityKeys.generation;
    const keys = await this.#authorityKeys.find(opTok.algorithm, opTok.keyId, now);
    if (!(await this.#isSignedByOne(opTok, keys)))
      throw new Refusal('token-signature', "The OpTok's signature does not verify with the Authority's key.");
    this.#forgetOldKeySet();
    // A key set that came meanwhile may not hold the key that this was verified with.
    if (generation === this.#generation) this.#opToks.set(tokenHash, opTok);
  }

  /**
   * Verifies a proof with the key in its own header, whose RFC 7638 thumbprint must be the OpTok's `cnf.jkt`. Throws
   * `proof-key`, `proof-binding` or `proof-signature`.
   */
  async verifyProof(proof: DpopProof, jkt: string): Promise<void> {
    const known = this.#proofKeys.get(proof.jws.encodedHeader);
    const proofKey = known ?? (await importProofKey(proof));
    if (proofKey.thumbprint !== jkt)
      throw new Refusal('proof-binding', 'The OpTok is bound to another key than that of the proof.');
    const verdict = await this.#verify(proof.jws, proofKey.key, proof.algorithm);
    if (verdict !== 'valid')
      throw new Refusal(
        verdict === 'wrong' ? 'proof-signature' : 'proof-key',
        "The proof's signature does not verify with its jwk.",
      );
    if (known === undefined) this.#proofKeys.set(proof.jws.encodedHeader, proofKey);
  }

  /** Keys that share a `kid` are tried one after the other. */
  async #isSignedByOne({ jws, algorithm }: OpTok, keys: readonly CryptoKey[]): Promise<boolean> {
    for (const key of keys) if ((await this.#verify(jws, key, algorithm)) === 'valid') return true;
    return false;
  }

  /** `unfit`: the key is none for this algorithm. A key is imported for one algorithm and never used with another. */
  async #verify(jws: CompactJws, key: CryptoKey, algorithm: string): Promise<'valid' | 'wrong' | 'unfit'> {
    const proven = this.#provenKeys.get(key);
    if (proven !== undefined) return isSignatureValid(jws, proven) ? 'valid' : 'wrong';
    try {
      await compactVerify(jws.text, key, { algorithms: [algorithm] });
    } catch (cause) {
      // A key that does not fit the algorithm makes jose throw a TypeError.
      return cause instanceof errors.JWSSignatureVerificationFailed ? 'wrong' : 'unfit';
    }
    const signatureKey = createSignatureKey(key, algorithm);
    if (signatureKey !== null) this.#provenKeys.set(key, signatureKey);
    return 'valid';
  }

  #forgetOldKeySet(): void {
    if (this.#generation === this.#authorityKeys.generation) return;
    this.#generation = this.#authorityKeys.generation;
    this.#opToks.clear();
  }
}

async function importProofKey({ jwk, algorithm }: DpopProof): Promise<ProofKey> {
  const publicJwk = pickKeyMembers(jwk);
  try {
    const key = await importJWK(publicJwk, algorithm);
    if (!(key instanceof CryptoKey)) throw new TypeError('not an asymmetric key');
    return { key, thumbprint: await calculateJwkThumbprint(publicJwk) };
  } catch {
    // A malformed key makes jose throw a TypeError or a DOMException rather than an error of its own.
    throw new Refusal('proof-key', `The proof's jwk is no public key for ${algorithm}.`);
  }
}

function pickKeyMembers(jwk: JsonObject): JWK {
  const members = KEY_MEMBERS.filter((member) => Object.hasOwn(jwk, member)).map((member) => [
    member,
    jwk[member],
  ]);
  return Object.fromEntries(members) as JWK;
}
