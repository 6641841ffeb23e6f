/**
 * The checks of a DPoP proof (RFC 9449 §4.3, §7) that need no cryptography. `signatures.ts` verifies the signature, and
 * `use-proof.ts` detects replay.
 */
import { found } from '../platform/escape.ts';
import { Refusal } from '../refusal.ts';
import { type CompactJws, isJsonObject, type JsonObject, parseCompactJws } from './compact-jws.ts';
import type { Nonces } from './nonce.ts';
import { isNumericDate } from './op-tok.ts';
import { normalizeUrl } from './url.ts';

export interface DpopOptions {
  readonly algorithms: readonly string[];
  /** Seconds. */
  readonly maxAge: number;
  /** Seconds, the largest that an Authority has. */
  readonly clockSkew: number;
  /** The normalised URLs of the token endpoint that `htu` may name. Never taken from the Host header. */
  readonly realms: ReadonlySet<string>;
  /** Whether the scheme `Bearer` is accepted together with a proof. */
  readonly bearerScheme: 'accept' | 'refuse';
}

export interface DpopProof {
  readonly jws: CompactJws;
  readonly algorithm: string;
  /** The sender's public key as the header has it. */
  readonly jwk: JsonObject;
  readonly jti: string;
  readonly issuedAt: number;
  readonly nonce: string | null;
}

export interface ProofExpectations {
  readonly method: string;
  /** base64url SHA-256 of the OpTok as received. */
  readonly tokenHash: string;
  /** Seconds by which a client's clock may be ahead. */
  readonly clockSkew: number;
  /** null if no nonce is required. */
  readonly nonces: Nonces | null;
  /** Accepted in place of those, because a client can send only the last one that it got. */
  readonly restartNonces: Nonces;
  /** Whether a proof dated so needs one of those: asked for at once, it is the only nonce that the client has to fetch. */
  readonly needsRestartNonce: (issuedAt: number) => boolean;
  /** Epoch seconds. */
  readonly now: number;
}

/** The largest values, in seconds, that a configuration may set. RFC 9449 §11.1 has seconds or minutes in mind. */
export const LARGEST_MAX_AGE = 300;
export const LARGEST_CLOCK_SKEW = 300;

const MAX_LENGTH = 8 * 1024;
const MAX_JTI_LENGTH = 256;
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];

/** Parses a proof and checks it against its request, except for signature and replay. */
export function parseDpopProof(text: string, options: DpopOptions, expected: ProofExpectations): DpopProof {
  const jws = parseCompactJws(text, MAX_LENGTH);
  // Bun joins a repeated header with a comma, which is not base64url.
  if (jws === null)
    throw new Refusal('proof-malformed', 'The DPoP header is not a single compact JWS in strict base64url.');
  const { typ, alg, crit, jwk } = jws.header;
  if (typ !== 'dpop+jwt') throw new Refusal('proof-type', `The proof's typ is ${found(typ)}, not dpop+jwt.`);
  if (typeof alg !== 'string' || !options.algorithms.includes(alg))
    throw new Refusal(
      'proof-algorithm',
      `The proof's alg is ${found(alg)}; senderConstraint.dpop.algorithms is [${options.algorithms.join(', ')}].`,
      { forLog: 'Use a key for one of these, or add the algorithm.' },
    );
  if (crit !== undefined)
    throw new Refusal('proof-malformed', 'The proof has a crit header, and no extension is supported.');
  checkPublicKey(jwk);
  const { jti, iat, nonce } = checkClaims(jws.payload, options, expected);
  return { jws, algorithm: alg, jwk, jti, issuedAt: iat, nonce };
}

/** The `jwk` has no private member, and an RSA key has 2048 to 8192 bits. */
function checkPublicKey(jwk: unknown): asserts jwk is JsonObject {
  if (!isJsonObject(jwk)) throw new Refusal('proof-key', 'The proof has no jwk.');
  if (PRIVATE_MEMBERS.some((member) => Object.hasOwn(jwk, member)))
    throw new Refusal('proof-key', "The proof's jwk is not a public key.");
  if (jwk.kty !== 'RSA') return;
  const modulus = jwk.n;
  const bits = typeof modulus === 'string' ? modulusBits(modulus) : 0;
  if (bits < 2048 || bits > 8192)
    throw new Refusal('proof-key', `The proof's RSA key has ${bits} bits; 2048 to 8192 are allowed.`);
}

/** The length in bits of a base64url big-endian number. */
function modulusBits(encoded: string): number {
  const bytes = Buffer.from(encoded, 'base64url');
  const first = bytes.findIndex((byte) => byte !== 0);
  return first === -1 ? 0 : (bytes.length - first) * 8 - (Math.clz32(bytes[first] ?? 0) - 24);
}

function checkClaims(payload: JsonObject, options: DpopOptions, expected: ProofExpectations) {
  const { jti, htm, htu, ath, iat, exp, nbf, nonce } = payload;
  const { now, clockSkew } = expected;
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI_LENGTH)
    throw malformed(`jti is not a string of 1 to ${MAX_JTI_LENGTH} characters`);
  if (typeof htm !== 'string') throw malformed('htm is not a string');
  if (typeof htu !== 'string') throw malformed('htu is not a string');
  if (typeof ath !== 'string') throw malformed('ath is not a string');
  if (!isNumericDate(iat)) throw malformed('iat is not a number');
  if (exp !== undefined && !isNumericDate(exp)) throw malformed('exp is not a number');
  if (nbf !== undefined && !isNumericDate(nbf)) throw malformed('nbf is not a number');
  if (htm !== expected.method)
    throw new Refusal('proof-method', `The proof's htm is ${found(htm)}, not ${expected.method}.`);
  // What is normal already stays as it is.
  if (!options.realms.has(htu) && !options.realms.has(normalizeUrl(htu) ?? ''))
    throw new Refusal(
      'proof-url',
      `The proof's htu is ${found(htu.replace(/[?#].*$/s, ''))}; registry.realm is ${[...options.realms].join(', ')}.`,
      { forLog: 'If clients use that URL, add it there.' },
    );
  if (iat < now - options.maxAge)
    throw new Refusal(
      'proof-time',
      `The proof is ${Math.ceil(now - iat)} s old; senderConstraint.dpop.maxAge is ${options.maxAge} s.`,
      { forLog: 'Make a new proof for each request, and compare the clocks (NTP).' },
    );
  if (Math.max(iat, nbf ?? iat) > now + clockSkew)
    throw new Refusal(
      'proof-time',
      `The proof's iat or nbf is ${Math.ceil(Math.max(iat, nbf ?? iat) - now)} s ahead: compare the clocks.`,
    );
  if (exp !== undefined && exp <= now - clockSkew)
    throw new Refusal('proof-time', "The proof's exp is in the past.");
  const given = typeof nonce === 'string' ? nonce : null;
  checkNonce(given, iat, expected);
  if (ath !== expected.tokenHash)
    throw new Refusal('proof-token-hash', "The proof's ath belongs to another access token.");
  return { jti, iat, nonce: given };
}

function checkNonce(nonce: string | null, issuedAt: number, expected: ProofExpectations): void {
  const { nonces, restartNonces, needsRestartNonce, now } = expected;
  if (nonces === null) return;
  if (nonce !== null && (nonces.isRecent(nonce, now) || restartNonces.isRecent(nonce, now))) return;
  throw new Refusal('proof-nonce', 'The proof has no nonce from this service, or an old one.', {
    dpopNonce: (needsRestartNonce(issuedAt) ? restartNonces : nonces).current(now),
  });
}

/**
 * Until then a proof could pass the time check of some configuration, so its entry must live as long: the configuration may
 * change while the entry is there, and processes that share a store may have different ones. Epoch seconds.
 */
export function replayDeadline(issuedAt: number): number {
  return issuedAt + LARGEST_MAX_AGE + LARGEST_CLOCK_SKEW;
}

/** Entries with an earlier deadline are of proofs that these options refuse for their age: they may make room. */
export function replaceableBefore({ maxAge, clockSkew }: DpopOptions, now: number): number {
  return replayDeadline(now - maxAge - clockSkew);
}

function malformed(fault: string): Refusal {
  return new Refusal('proof-malformed', `The proof's claims are not usable: ${fault}.`);
}
