/**
 * The signatures of OpToks and proofs, and the memory of what was verified: an OpTok by the hash of its text, a proof
 * key by its thumbprint and algorithm. Both memories are bounded in bytes, hold only what passed, and nothing of the
 * request's text. The first JWS of each key is verified by jose, with its checks of key and algorithm; those after it by
 * node:crypto.
 */
import { hash } from 'node:crypto';
import { compactVerify, errors, importJWK, type JWK } from 'jose';
import { Refusal } from '../refusal.ts';
import { BoundedCache } from './bounded-cache.ts';
import type { CompactJws, JsonObject } from './compact-jws.ts';
import type { DpopProof } from './dpop-proof.ts';
import { createSignatureKey, isSignatureValid, type SignatureKey } from './jws-signature.ts';
import type { OpTok } from './op-tok.ts';

/** Of each memory, in each thread. */
const CAPACITY_BYTES = 24 * 1024 * 1024;
/** Of an OpTok's claims as objects, for each character of its text; and of everything around them. */
const BYTES_PER_CHARACTER = 3;
const BYTES_PER_OP_TOK = 1024;
/** Of an imported key, outside JavaScript's own memory too; RSA keys of 8192 bits are the largest. */
const BYTES_PER_KEY = 4096;

interface RememberedOpTok {
  readonly opTok: OpTok;
  /** Of the key set that verified it. */
  readonly generation: number;
}

export class Signatures {
  readonly #opToks = new BoundedCache<string, RememberedOpTok>(CAPACITY_BYTES);
  readonly #proofKeys = new BoundedCache<string, CryptoKey>(CAPACITY_BYTES);
  /** Of the keys with which jose has verified a JWS of the one algorithm that they are for. */
  readonly #provenKeys = new WeakMap<CryptoKey, SignatureKey>();

  /** The OpTok of this hash, if its signature was verified with the key set in use. Its claims may be outdated. */
  recall(tokenHash: string): OpTok | undefined {
    const remembered = this.#opToks.get(tokenHash);
    if (remembered?.generation !== remembered?.opTok.authority.keys.generation) return undefined;
    return remembered?.opTok;
  }

  /** Throws `token-signature`, `token-key-unknown` or `authority-unavailable`. */
  async verifyOpTok(opTok: OpTok, jws: CompactJws, tokenHash: string, now: number): Promise<void> {
    const { authority, algorithm, keyId } = opTok;
    const { generation } = authority.keys;
    const keys = await authority.keys.find(algorithm, keyId, now);
    if (!(await this.#isSignedByOne(jws, keys, algorithm)))
      throw new Refusal(
        'token-signature',
        `The OpTok's signature does not verify with the key of ${authority.place} that its kid names.`,
        {
          forLog:
            'If the Authority replaced its key under the same kid, reload (SIGHUP), with jwksPath after copying its key set again. Otherwise the OpTok was altered.',
        },
      );
    // A key set that came meanwhile may not hold the key that this was verified with.
    if (generation !== authority.keys.generation) return;
    const bytes = BYTES_PER_OP_TOK + BYTES_PER_CHARACTER * jws.text.length;
    this.#opToks.set(tokenHash, { opTok, generation }, bytes);
  }

  /**
   * Verifies a proof with the key in its own header, whose RFC 7638 thumbprint must be the OpTok's `cnf.jkt`. Throws
   * `proof-key`, `proof-binding` or `proof-signature`.
   */
  async verifyProof(proof: DpopProof, jkt: string): Promise<void> {
    const jwk = pickKeyMembers(proof.jwk);
    const thumbprint = thumbprintOf(jwk);
    const name = `${proof.algorithm} ${thumbprint}`;
    const known = this.#proofKeys.get(name);
    const key = known ?? (await importProofKey(jwk, proof.algorithm));
    if (thumbprint !== jkt)
      throw new Refusal(
        'proof-binding',
        `The OpTok is bound to the key ${jkt}; the proof is signed by ${thumbprint}.`,
      );
    const verdict = await this.#verify(proof.jws, key, proof.algorithm);
    if (verdict !== 'valid')
      throw new Refusal(
        verdict === 'wrong' ? 'proof-signature' : 'proof-key',
        "The proof's signature does not verify with its jwk.",
      );
    if (known === undefined) this.#proofKeys.set(name, key, BYTES_PER_KEY);
  }

  /** Keys that share a `kid` are tried one after the other. */
  async #isSignedByOne(jws: CompactJws, keys: readonly CryptoKey[], algorithm: string): Promise<boolean> {
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
}

async function importProofKey(jwk: JWK, algorithm: string): Promise<CryptoKey> {
  try {
    const key = await importJWK(jwk, algorithm);
    if (!(key instanceof CryptoKey)) throw new TypeError('not an asymmetric key');
    return key;
  } catch {
    // A malformed key makes jose throw a TypeError or a DOMException rather than an error of its own.
    throw new Refusal('proof-key', `The proof's jwk is not a public key for ${algorithm}.`);
  }
}

/** The members of a public JWK that are its key (RFC 7638 §3.2, RFC 8037 §2), in the order of the thumbprint. */
const keyMembers = new Map<unknown, readonly string[]>([
  ['EC', ['crv', 'kty', 'x', 'y']],
  ['OKP', ['crv', 'kty', 'x']],
  ['RSA', ['e', 'kty', 'n']],
]);

/** The other members are not looked at. */
function pickKeyMembers(jwk: JsonObject): JWK {
  const members = keyMembers.get(jwk.kty) ?? ['kty'];
  const present = members.filter((member) => Object.hasOwn(jwk, member));
  return Object.fromEntries(present.map((member) => [member, jwk[member]])) as JWK;
}

/** RFC 7638 §3, SHA-256: of a JWK that has only the members that make its key, in their order. */
function thumbprintOf(jwk: JWK): string {
  return hash('sha256', JSON.stringify(jwk), 'base64url');
}
