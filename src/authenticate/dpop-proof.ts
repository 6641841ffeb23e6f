/**
 * The rules of a DPoP proof (RFC 9449 §4.3, §7), the cheap ones: the signature is verified by `signatures.ts`,
 * the replay of a proof is noticed by the replay store.
 */
import { Refusal } from '../refusal.ts';
import { type CompactJws, isJsonObject, type JsonObject, parseCompactJws } from './compact-jws.ts';
import type { Nonces } from './nonce.ts';
import { isNumericDate } from './op-tok.ts';
import { normalizeUrl } from './url.ts';

export interface DpopOptions {
  readonly algorithms: readonly string[];
  /** Seconds. */
  readonly maxAge: number;
  /** Seconds: how far ahead a client's clock may be. */
  readonly clockSkew: number;
  /** The URLs of the token endpoint, normalised: what `htu` may name. Never taken from the Host header. */
  readonly realms: ReadonlySet<string>;
  /** Whether `Bearer` beside a proof is taken for `DPoP`. */
  readonly bearerScheme: 'accept' | 'refuse';
}

export interface DpopProof {
  readonly jws: CompactJws;
  readonly algorithm: string;
  /** The sender's public key as the header has it. */
  readonly jwk: JsonObject;
  readonly jti: string;
  readonly issuedAt: number;
}

export interface ProofExpectations {
  readonly method: string;
  /** base64url SHA-256 of the OpTok as received. */
  readonly tokenHash: string;
  /** null where no nonce is required. */
  readonly nonces: Nonces | null;
  /** Epoch seconds. */
  readonly now: number;
}

const MAX_LENGTH = 8 * 1024;
const MAX_JTI_LENGTH = 256;
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];

/** Parses a proof and checks all of it that needs no cryptography, against the request it came with. */
export function parseDpopProof(text: string, options: DpopOptions, expected: ProofExpectations): DpopProof {
  const jws = parseCompactJws(text, MAX_LENGTH);
  // A repeated header arrives joined by a comma, which is no base64url.
  if (jws === null)
    throw new Refusal('proof-malformed', 'The DPoP header is not one compact JWS in strict base64url.');
  const { typ, alg, crit, jwk } = jws.header;
  if (typ !== 'dpop+jwt') throw new Refusal('proof-type', "The proof's typ is not dpop+jwt.");
  if (typeof alg !== 'string' || !options.algorithms.includes(alg))
    throw new Refusal('proof-algorithm', "The proof's alg is not in senderConstraint.dpop.algorithms.");
  if (crit !== undefined)
    throw new Refusal('proof-malformed', 'The proof has a crit header that is not understood.');
  checkPublicKey(jwk);
  const { jti, iat } = checkClaims(jws.payload, options, expected);
  return { jws, algorithm: alg, jwk, jti, issuedAt: iat };
}

/** Rule 4: a public key, by its own members alone; RSA of 2048 to 8192 bits. */
function checkPublicKey(jwk: unknown): asserts jwk is JsonObject {
  if (!isJsonObject(jwk)) throw new Refusal('proof-key', 'The proof has no jwk.');
  if (PRIVATE_MEMBERS.some((member) => Object.hasOwn(jwk, member)))
    throw new Refusal('proof-key', "The proof's jwk is not a public key.");
  if (jwk.kty !== 'RSA') return;
  const modulus = jwk.n;
  const bits = typeof modulus === 'string' ? modulusBits(modulus) : 0;
  if (bits < 2048 || bits > 8192)
    throw new Refusal('proof-key', "The proof's RSA key is not of 2048 to 8192 bits.");
}

/** The length in bits of a base64url big-endian number. */
function modulusBits(encoded: string): number {
  const bytes = Buffer.from(encoded, 'base64url');
  const first = bytes.findIndex((byte) => byte !== 0);
  return first === -1 ? 0 : (bytes.length - first) * 8 - (Math.clz32(bytes[first] ?? 0) - 24);
}

function checkClaims(payload: JsonObject, options: DpopOptions, expected: ProofExpectations) {
  const { jti, htm, htu, ath, iat, exp, nbf, nonce } = payload;
  const { now } = expected;
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH)
    throw malformed(`jti is not a string of 1 to ${MAX_JTI_LENGTH} characters`);
  if (typeof htm !== 'string') throw malformed('htm is not a string');
  if (typeof htu !== 'string') throw malformed('htu is not a string');
  if (typeof ath !== 'string') throw malformed('ath is not a string');
  if (!isNumericDate(iat)) throw malformed('iat is not a number');
  if (exp !== undefined && !isNumericDate(exp)) throw malformed('exp is not a number');
  if (nbf !== undefined && !isNumericDate(nbf)) throw malformed('nbf is not a number');
  if (htm !== expected.method)
    throw new Refusal('proof-method', `The proof's htm is not ${expected.method}.`);
  // What is normal already stays as it is.
  if (!options.realms.has(htu) && !options.realms.has(normalizeUrl(htu) ?? ''))
    throw new Refusal('proof-url', "The proof's htu is not registry.realm.");
  if (iat < now - options.maxAge)
    throw new Refusal(
      'proof-time',
      `The proof is ${Math.ceil(now - iat)} s old: maxAge is ${options.maxAge} s.`,
    );
  if (Math.max(iat, nbf ?? iat) > now + options.clockSkew)
    throw new Refusal('proof-time', "The proof's iat or nbf is in the future: compare the clocks.");
  if (exp !== undefined && exp <= now - options.clockSkew)
    throw new Refusal('proof-time', "The proof's exp is in the past.");
  if (expected.nonces !== null && !(typeof nonce === 'string' && expected.nonces.isRecent(nonce, now)))
    throw new Refusal('proof-nonce', 'The proof has no nonce of ours, or an old one.');
  if (ath !== expected.tokenHash)
    throw new Refusal('proof-token-hash', "The proof's ath names another access token.");
  return { jti, iat };
}

/** Rule 13: the proof could pass the time check until then, so its entry must live as long. Epoch seconds. */
export function replayDeadline(proof: DpopProof, options: DpopOptions): number {
  return proof.issuedAt + options.maxAge + options.clockSkew;
}

function malformed(fault: string): Refusal {
  return new Refusal('proof-malformed', `The proof's claims are not usable: ${fault}.`);
}
