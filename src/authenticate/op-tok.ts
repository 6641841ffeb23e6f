/**
 * The rules of an OpTok: an OAuth 2.0 access token as a JWT (RFC 9068 §4). These are the cheap ones, read off the
 * text; the signature is verified by `signatures.ts`, the sender by `dpop-proof.ts` and `certificate.ts`.
 */
import { found } from '../platform/escape.ts';
import { Refusal } from '../refusal.ts';
import { type ClaimPath, claimAt, formatClaimPath } from './claim-path.ts';
import { type CompactJws, isJsonObject, type JsonObject, parseCompactJws } from './compact-jws.ts';

export interface OpTokOptions {
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly requiredScopes: readonly string[];
  readonly algorithms: readonly string[];
  /** Lower case, without `application/`; `absent` admits an OpTok without `typ`. */
  readonly tokenTypes: readonly string[];
  /** The claim that names the subject; `sub` by RFC 9068 §2.2. */
  readonly subjectClaim: ClaimPath;
  /** Seconds. */
  readonly clockSkew: number;
}

/** The `cnf` of an OpTok: to what its sender is bound. Both null: to nothing. */
export interface Confirmation {
  /** RFC 9449 §6.1: the RFC 7638 SHA-256 thumbprint of the sender's DPoP key. */
  readonly jkt: string | null;
  /** RFC 8705 §3.1: the SHA-256 of the sender's certificate. */
  readonly x5tS256: string | null;
}

export interface OpTok {
  readonly jws: CompactJws;
  readonly algorithm: string;
  readonly keyId: string | null;
  readonly subject: string;
  readonly confirmation: Confirmation;
}

const MAX_LENGTH = 16 * 1024;

/**
 * Parses an OpTok and checks its header: `typ`, `alg`, `crit`, `kid`. Keys in the header (`jwk`, `x5c`, `jku`,
 * `x5u`) are not looked at: the key comes from the Authority's key set alone.
 */
export function parseOpTok(text: string, options: OpTokOptions): OpTok {
  const jws = parseCompactJws(text, MAX_LENGTH);
  if (jws === null) throw new Refusal('token-malformed', describeNoJws(text));
  const { typ, alg, kid, crit } = jws.header;
  if (!isTypeAdmitted(typ, options.tokenTypes))
    throw new Refusal(
      'token-type',
      `The OpTok's typ is ${found(typ)}; authority.tokenTypes is [${options.tokenTypes.join(', ')}].`,
    );
  if (typeof alg !== 'string' || !options.algorithms.includes(alg))
    throw new Refusal(
      'token-algorithm',
      `The OpTok's alg is ${found(alg)}; authority.algorithms is [${options.algorithms.join(', ')}].`,
    );
  if (crit !== undefined)
    throw new Refusal('token-malformed', 'The OpTok has a crit header that is not understood.');
  if (kid !== undefined && typeof kid !== 'string')
    throw new Refusal('token-malformed', "The OpTok's kid is not a string.");
  const subject = claimAt(jws.payload, options.subjectClaim);
  if (typeof subject !== 'string' || subject === '')
    throw claims(`${formatClaimPath(options.subjectClaim)} is ${found(subject)}, not a non-empty string`);
  return {
    jws,
    algorithm: alg,
    keyId: kid ?? null,
    subject,
    confirmation: parseConfirmation(jws.payload.cnf),
  };
}

/** What a text is that is no JWS, and what to change at the Authority. */
export function describeNoJws(text: string): string {
  if (text.length > MAX_LENGTH) return `The OpTok is longer than ${MAX_LENGTH} characters.`;
  const parts = text.split('.', 6).length;
  if (parts === 5)
    return 'The OpTok is encrypted (five parts, a JWE), and only the Authority can read it. Switch off the encryption of access tokens there (OpenIddict: DisableAccessTokenEncryption).';
  if (parts === 1)
    return 'The OpTok is opaque: it is no JWT, and only the Authority knows what it means. Let the Authority issue JWT access tokens (Hydra: strategies.access_token: jwt; Auth0: ask for the audience of an API), and check that it is not a password.';
  return 'The OpTok is no compact JWS in strict base64url.';
}

function isTypeAdmitted(typ: unknown, tokenTypes: readonly string[]): boolean {
  if (typ === undefined) return tokenTypes.includes('absent');
  if (typeof typ !== 'string') return false;
  const type = mediaType(typ);
  // RFC 9449 §4.2: the type of a proof; `absent` is no type, but the word for none.
  return type !== 'dpop+jwt' && type !== 'absent' && tokenTypes.includes(type);
}

/** RFC 7515 §4.1.9: letter case and the prefix `application/` do not count. */
function mediaType(typ: string): string {
  return typ.toLowerCase().replace(/^application\//, '');
}

/**
 * Unknown members are ignored (RFC 7800 §3.1). A `cnf` that is no object, or has no binding that is known here, is
 * refused: it is never taken for no `cnf`.
 */
function parseConfirmation(cnf: unknown): Confirmation {
  if (cnf === undefined) return { jkt: null, x5tS256: null };
  if (!isJsonObject(cnf)) throw claims('cnf is not an object');
  const confirmation = { jkt: thumbprintOf(cnf, 'jkt'), x5tS256: thumbprintOf(cnf, 'x5t#S256') };
  if (confirmation.jkt === null && confirmation.x5tS256 === null)
    throw claims(`cnf has neither jkt nor x5t#S256, but [${found(Object.keys(cnf).join(', '))}]`);
  return confirmation;
}

function thumbprintOf(cnf: JsonObject, member: string): string | null {
  const value = Object.hasOwn(cnf, member) ? cnf[member] : undefined;
  if (value === undefined) return null;
  if (typeof value !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(value))
    throw claims(`cnf.${member} is not a SHA-256 in base64url`);
  return value;
}

/** Checks issuer, audience and time. `now` in epoch seconds. */
export function checkOpTokClaims({ jws: { payload } }: OpTok, options: OpTokOptions, now: number): void {
  const { iss, aud, exp, iat, nbf } = payload;
  if (iss !== options.issuer)
    throw new Refusal(
      'token-issuer',
      `The OpTok's iss is ${found(iss)}; authority.issuer is ${options.issuer}.`,
    );
  const audiences: unknown = typeof aud === 'string' ? [aud] : aud;
  const named = Array.isArray(audiences) && audiences.every((audience) => typeof audience === 'string');
  if (!named || !audiences.some((audience) => options.audiences.includes(audience)))
    throw new Refusal(
      'token-audience',
      `The OpTok's aud is ${found(aud)}; authority.audiences is [${options.audiences.join(', ')}].`,
    );
  if (!isNumericDate(exp)) throw claims('exp is missing or not a number');
  if (!isNumericDate(iat)) throw claims('iat is missing or not a number');
  if (nbf !== undefined && !isNumericDate(nbf)) throw claims('nbf is not a number');
  if (exp <= now - options.clockSkew)
    throw new Refusal('token-expired', `The OpTok expired ${Math.ceil(now - exp)} s ago.`);
  if (Math.max(iat, nbf ?? iat) > now + options.clockSkew)
    throw new Refusal('token-not-yet-valid', "The OpTok's iat or nbf is in the future: compare the clocks.");
}

/** RFC 9068 §2.2.3: `scope` is space-separated. Other Authorities call it `scp`, or write an array. */
export function checkRequiredScopes({ jws: { payload } }: OpTok, options: OpTokOptions): void {
  const held = new Set([...scopesOf(payload, 'scope'), ...scopesOf(payload, 'scp')]);
  const missing = options.requiredScopes.filter((scope) => !held.has(scope));
  if (missing.length > 0)
    throw new Refusal(
      'token-scope',
      `The access token lacks the scope ${missing.join(' ')} (authority.requiredScopes); it has ${held.size === 0 ? 'none' : found([...held].join(' '))}.`,
    );
}

function scopesOf(payload: JsonObject, claim: string): readonly string[] {
  const value = payload[claim];
  if (value === undefined) return [];
  if (typeof value === 'string') return value.split(' ');
  if (Array.isArray(value) && value.every((scope) => typeof scope === 'string')) return value;
  throw claims(`${claim} is neither a string nor a list of strings`);
}

export function isNumericDate(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function claims(fault: string): Refusal {
  return new Refusal('token-claims', `The OpTok's claims are not usable: ${fault}.`);
}
