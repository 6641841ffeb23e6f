/**
 * The rules of an OpTok: an OAuth 2.0 access token as a JWT (RFC 9068 §4). These are the cheap ones, read off the
 * text; the signature is verified by `signatures.ts`, the sender by `dpop-proof.ts` and `certificate.ts`.
 */
import { excerpt, found } from '../platform/escape.ts';
import { Refusal } from '../refusal.ts';
import type { VerificationKeys } from './authority-keys.ts';
import { type ClaimPath, claimAt, formatClaimPath } from './claim-path.ts';
import { type CompactJws, isJsonObject, type JsonObject, parseCompactJws } from './compact-jws.ts';

/** An Authority: whose OpToks are accepted, by which rules, and with which keys. */
export interface Authority extends OpTokOptions {
  readonly name: string;
  /** Where its configuration is, for messages: `authority`, or `authorities.NAME`. */
  readonly place: string;
  readonly keys: VerificationKeys;
}

/** How a sender may be bound; `none` = bearer-only. */
export type Constraint = 'dpop' | 'mtls' | 'none';

export interface OpTokOptions {
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly requiredScopes: readonly string[];
  readonly algorithms: readonly string[];
  /** Lower case, without `application/`; `absent` admits an OpTok without `typ`. */
  readonly tokenTypes: readonly string[];
  /** The claim that names the subject; `sub` by RFC 9068 §2.2. */
  readonly subjectClaim: ClaimPath;
  readonly accept: readonly Constraint[];
  /** Seconds. */
  readonly clockSkew: number;
}

/** By their issuers. */
export type Authorities = ReadonlyMap<string, Authority>;

/** The `cnf` of an OpTok: to what its sender is bound. Both null: to nothing. */
export interface Confirmation {
  /** RFC 9449 §6.1: the RFC 7638 SHA-256 thumbprint of the sender's DPoP key. */
  readonly jkt: string | null;
  /** RFC 8705 §3.1: the SHA-256 of the sender's certificate. */
  readonly x5tS256: string | null;
}

export interface OpTok {
  readonly authority: Authority;
  readonly algorithm: string;
  readonly keyId: string | null;
  readonly subject: string;
  /** RFC 9068 §2.2, and what other servers call it; null where it is missing. For the log alone. */
  readonly clientId: string | null;
  readonly confirmation: Confirmation;
  readonly claims: JsonObject;
}

const MAX_LENGTH = 16 * 1024;

/**
 * Parses an OpTok, selects the Authority that its `iss` names, and checks the header by that one's rules: `typ`, `alg`,
 * `crit`, `kid`. Keys in the header (`jwk`, `x5c`, `jku`, `x5u`) are not looked at: the key comes from the Authority's
 * key set alone.
 */
export function parseOpTok(
  text: string,
  authorities: Authorities,
): { readonly opTok: OpTok; readonly jws: CompactJws } {
  const jws = parseOpTokText(text);
  const authority = selectAuthority(jws, authorities);
  checkType(jws.header, authority);
  const algorithm = checkAlgorithm(jws.header, authority);
  const keyId = checkHeaderMembers(jws.header);
  const claims = jws.payload;
  const opTok = {
    authority,
    algorithm,
    keyId,
    subject: subjectOf(claims, authority),
    clientId: clientIdOf(claims),
    confirmation: parseConfirmation(claims.cnf),
    claims,
  };
  return { opTok, jws };
}

/** Throws `token-malformed` where the text is no compact JWS. */
export function parseOpTokText(text: string): CompactJws {
  const jws = parseCompactJws(text, MAX_LENGTH);
  if (jws === null) throw new Refusal('token-malformed', describeNoJws(text));
  return jws;
}

/** What a text is that is no JWS, and what to change at the Authority. */
function describeNoJws(text: string): string {
  if (text.length > MAX_LENGTH)
    return `The OpTok is longer than ${MAX_LENGTH} characters. Let the Authority leave claims out.`;
  const parts = text.split('.', 6).length;
  if (parts === 5)
    return 'The OpTok is encrypted (five parts, a JWE), and only the Authority can read it. Switch off the encryption of access tokens there (OpenIddict: DisableAccessTokenEncryption).';
  if (parts === 1)
    return 'The OpTok is opaque: it is not a JWT, and only the Authority knows what it means. Let the Authority issue JWT access tokens (Hydra: strategies.access_token: jwt; Auth0: ask for the audience of an API), and check that it is not a password.';
  return 'The OpTok is not a compact JWS in strict base64url. Check that the client sends the whole access token, and nothing else.';
}

/** The Authority whose issuer is the OpTok's `iss`, by exact comparison. */
export function selectAuthority({ header, payload }: CompactJws, authorities: Authorities): Authority {
  // RFC 9449 §4.2: the type of a proof.
  if (mediaTypeOf(header.typ) === 'dpop+jwt')
    throw new Refusal('token-type', 'A DPoP proof was sent in place of the OpTok.');
  const { iss } = payload;
  const authority = typeof iss === 'string' ? authorities.get(iss) : undefined;
  if (authority === undefined)
    throw new Refusal('token-issuer', describeIssuer(iss, authorities), {
      forLog:
        'Write the issuer exactly as the tokens have it; another Authority needs an entry in authorities.',
    });
  return authority;
}

function describeIssuer(iss: unknown, authorities: Authorities): string {
  const all = [...authorities.values()];
  const known = all.slice(0, 5).map(({ place, issuer }) => `${place}.issuer is ${issuer}`);
  const more = all.length > known.length ? ` and there are ${all.length - known.length} more` : '';
  const twin =
    typeof iss === 'string' && (authorities.has(`${iss}/`) || authorities.has(iss.replace(/\/$/, '')));
  return `The OpTok's iss is ${found(iss)}; ${known.join(', ')}${more}.${twin ? ' They differ in the slash at the end.' : ''}`;
}

export function checkType({ typ }: JsonObject, { place, tokenTypes }: Authority): void {
  const type = typ === undefined ? 'absent' : mediaTypeOf(typ);
  // `absent` is no type, but the word for none.
  if (type !== null && tokenTypes.includes(type) && (typ === undefined || type !== 'absent')) return;
  throw new Refusal(
    'token-type',
    `The OpTok's typ is ${found(typ)}; ${place}.tokenTypes is [${tokenTypes.join(', ')}].`,
    {
      forLog: `${typ === undefined ? 'Add the word absent' : 'Add its type'} there, or let the Authority issue at+jwt (RFC 9068).`,
    },
  );
}

/** RFC 7515 §4.1.9: letter case and the prefix `application/` do not count. */
function mediaTypeOf(typ: unknown): string | null {
  return typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : null;
}

/** Returns the `kid`; null if there is none. */
export function checkHeaderMembers({ kid, crit }: JsonObject): string | null {
  if (crit !== undefined)
    throw new Refusal('token-malformed', 'The OpTok has a crit header, and no extension is supported.');
  if (kid !== undefined && typeof kid !== 'string')
    throw new Refusal('token-malformed', `The OpTok's kid is ${found(kid)}, not a string.`);
  return kid ?? null;
}

export function checkAlgorithm({ alg }: JsonObject, { place, algorithms }: Authority): string {
  if (typeof alg === 'string' && algorithms.includes(alg)) return alg;
  throw new Refusal(
    'token-algorithm',
    `The OpTok's alg is ${found(alg)}; ${place}.algorithms is [${algorithms.join(', ')}].`,
    { forLog: 'Let the Authority sign with one of these, or add its algorithm.' },
  );
}

export function subjectOf(claims: JsonObject, { place, subjectClaim }: Authority): string {
  const subject = claimAt(claims, subjectClaim);
  if (typeof subject === 'string' && subject !== '') return subject;
  throw claimsFault(
    `${formatClaimPath(subjectClaim)} is ${found(subject)}, not a non-empty string (${place}.claims.subject)`,
    'Name the claim that has the subject there, such as client_id.',
  );
}

export function clientIdOf({ client_id: clientId, azp, cid, appid }: JsonObject): string | null {
  const first = [clientId, azp, cid, appid].find((value) => typeof value === 'string');
  return typeof first === 'string' ? excerpt(first, MAX_CLIENT_ID) : null;
}

const MAX_CLIENT_ID = 200;

/**
 * Unknown members are ignored (RFC 7800 §3.1). A `cnf` that is no object, or has no binding that is known here, is
 * refused: it is never taken for no `cnf`.
 */
export function parseConfirmation(cnf: unknown): Confirmation {
  if (cnf === undefined) return { jkt: null, x5tS256: null };
  if (!isJsonObject(cnf)) throw claimsFault(`cnf is ${found(cnf)}, not an object`);
  const confirmation = { jkt: thumbprintOf(cnf, 'jkt'), x5tS256: thumbprintOf(cnf, 'x5t#S256') };
  if (confirmation.jkt === null && confirmation.x5tS256 === null)
    throw claimsFault(
      `cnf has neither jkt nor x5t#S256; its members are ${found(Object.keys(cnf))}`,
      'Let the Authority bind its tokens by DPoP or to certificates.',
    );
  return confirmation;
}

function thumbprintOf(cnf: JsonObject, member: string): string | null {
  const value = Object.hasOwn(cnf, member) ? cnf[member] : undefined;
  if (value === undefined) return null;
  if (typeof value !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(value))
    throw claimsFault(`cnf.${member} is not a SHA-256 in base64url`);
  return value;
}

/** Checks audience and time. `now` in epoch seconds. */
export function checkOpTokClaims(
  { claims, authority }: Pick<OpTok, 'claims' | 'authority'>,
  now: number,
): void {
  checkAudience(claims, authority);
  checkTimes(claims, authority, now);
}

export function checkAudience({ aud }: JsonObject, { place, audiences }: Authority): void {
  const named: unknown = typeof aud === 'string' ? [aud] : aud;
  const isList = Array.isArray(named) && named.every((audience) => typeof audience === 'string');
  if (isList && named.some((audience) => audiences.includes(audience))) return;
  throw new Refusal(
    'token-audience',
    `The OpTok's aud is ${found(aud)}; ${place}.audiences is [${audiences.join(', ')}].`,
    {
      forLog:
        'Let the client ask for one of these (audience or resource), or add the audience if only this registry has it.',
    },
  );
}

export function checkTimes({ exp, iat, nbf }: JsonObject, { clockSkew }: OpTokOptions, now: number): void {
  if (!isNumericDate(exp)) throw claimsFault(`exp is ${found(exp)}, not a number`);
  if (!isNumericDate(iat)) throw claimsFault(`iat is ${found(iat)}, not a number`);
  if (nbf !== undefined && !isNumericDate(nbf)) throw claimsFault(`nbf is ${found(nbf)}, not a number`);
  if (exp <= now - clockSkew)
    throw new Refusal('token-expired', `The OpTok expired ${Math.ceil(now - exp)} s ago.`, {
      forLog: 'Get a new one; if all clients are affected, compare the clocks (NTP).',
    });
  const start = Math.max(iat, nbf ?? iat);
  if (start > now + clockSkew)
    throw new Refusal(
      'token-not-yet-valid',
      `The OpTok's iat or nbf is ${Math.ceil(start - now)} s ahead: compare the clocks.`,
    );
}

/** RFC 9068 §2.2.3: `scope` is space-separated. Other Authorities call it `scp`, or write an array. */
export function checkRequiredScopes({
  claims,
  authority: { place, requiredScopes },
}: Pick<OpTok, 'claims' | 'authority'>): void {
  const held = [...scopesOf(claims, 'scope'), ...scopesOf(claims, 'scp')];
  const missing = requiredScopes.filter((scope) => !held.includes(scope));
  if (missing.length > 0)
    throw new Refusal(
      'token-scope',
      `The access token lacks the scope ${missing.join(' ')} (${place}.requiredScopes); it has ${held.length === 0 ? 'none' : found([...new Set(held)].join(' '))}.`,
      { forLog: 'Let the client ask for it and the Authority grant it, or change requiredScopes.' },
    );
}

function scopesOf(payload: JsonObject, claim: string): readonly string[] {
  const value = payload[claim];
  if (value === undefined) return [];
  if (typeof value === 'string') return value.split(' ');
  if (Array.isArray(value) && value.every((scope) => typeof scope === 'string')) return value;
  throw claimsFault(`${claim} is ${found(value)}, neither a string nor a list of strings`);
}

/** The OpTok's binding is one that its Authority's tokens may have. */
export function checkBinding({
  confirmation: { jkt, x5tS256 },
  authority: { place, accept },
}: Pick<OpTok, 'confirmation' | 'authority'>): void {
  const needed: Constraint[] = [];
  if (jkt !== null) needed.push('dpop');
  if (x5tS256 !== null) needed.push('mtls');
  if (needed.length === 0) needed.push('none');
  const refused = needed.find((constraint) => !accept.includes(constraint));
  if (refused === undefined) return;
  const bound = refused === 'none' ? 'bound to no sender (it has no cnf)' : `bound by ${refused}`;
  throw new Refusal('token-unbound', `The OpTok is ${bound}; ${place}.accept is [${accept.join(', ')}].`, {
    forLog:
      refused === 'none'
        ? 'Let the Authority bind its tokens by DPoP or to certificates. If it cannot (CI jobs, pods), give it an entry of its own in authorities, with accept: [none].'
        : `Add ${refused} there, or let the Authority bind its tokens otherwise.`,
  });
}

export function isNumericDate(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function claimsFault(fault: string, forLog = 'Correct the claim at the Authority (RFC 9068).'): Refusal {
  return new Refusal('token-claims', `The OpTok's claims are not usable: ${fault}.`, { forLog });
}
