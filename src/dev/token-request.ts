/**
 * A request to the development Authority's token endpoint: its client, grant and scope, its DPoP proof (RFC 9449 §4.3, §5:
 * verified in full, replay included), and the refusals (RFC 6749 §5.2).
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { calculateJwkThumbprint, decodeProtectedHeader, EmbeddedJWK, type JWTPayload, jwtVerify } from 'jose';

export interface DevClient {
  readonly id: string;
  readonly secret: string;
}

/**
 * Reads a client_credentials request (RFC 6749 §4.4.2), authenticates its client by `client_secret_basic` or
 * `client_secret_post`, and returns the scope to issue. Throws OAuthRefusal.
 */
export async function readTokenRequest(request: Request, client: DevClient, scope: string): Promise<string> {
  const type = request.headers.get('content-type') ?? '';
  if (!/^application\/x-www-form-urlencoded *(?:;|$)/i.test(type))
    throw new OAuthRefusal('invalid_request', 'The body is not application/x-www-form-urlencoded.');
  const parameters = new URLSearchParams(await request.text());
  for (const name of new Set(parameters.keys())) {
    if (parameters.getAll(name).length > 1)
      throw new OAuthRefusal('invalid_request', 'A parameter is repeated.');
  }
  authenticateClient(request.headers.get('authorization'), parameters, client);
  const grantType = parameters.get('grant_type');
  if (grantType === null) throw new OAuthRefusal('invalid_request', 'The parameter grant_type is missing.');
  if (grantType !== 'client_credentials')
    throw new OAuthRefusal('unsupported_grant_type', 'The only grant here is client_credentials.');
  const asked = parameters.get('scope')?.split(' ').filter(Boolean) ?? [];
  if (asked.some((word) => word !== scope))
    throw new OAuthRefusal('invalid_scope', `The only scope here is ${scope}.`);
  return scope;
}

/** RFC 6749 §2.3.1: one of the two ways, not both. */
function authenticateClient(
  authorization: string | null,
  parameters: URLSearchParams,
  client: DevClient,
): void {
  const posted = parameters.get('client_secret');
  if (authorization !== null && posted !== null)
    throw new OAuthRefusal(
      'invalid_request',
      'The client uses two ways to authenticate; only one is allowed.',
    );
  const [id, secret] =
    authorization === null ? [parameters.get('client_id'), posted] : parseBasic(authorization);
  // Both are compared, so that the time reveals nothing about either.
  const matches = [isSame(id ?? '', client.id), isSame(secret ?? '', client.secret)];
  if (matches.includes(false))
    throw new OAuthRefusal('invalid_client', 'The client is unknown, or its secret is wrong.');
}

function parseBasic(authorization: string): readonly [string, string] {
  const encoded = /^Basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization)?.[1] ?? '';
  const [, id = '', secret = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? [];
  try {
    return [decodeURIComponent(id), decodeURIComponent(secret)];
  } catch {
    return ['', ''];
  }
}

function isSame(found: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(found), digest(expected));
}

export const proofAlgorithms = ['ES256', 'EdDSA', 'PS256', 'RS256'];

/** Seconds that a proof is valid, and that a client's clock may be ahead. */
const MAX_AGE = 60;
const CLOCK_SKEW = 30;

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];

/** Remembers the proofs that were used, while they could be used again. Times in epoch seconds. */
export class UsedProofs {
  readonly #deadlines = new Map<string, number>();

  /** Records a proof; false if it was used before. */
  insert(key: string, deadline: number, now: number): boolean {
    for (const [known, end] of this.#deadlines) if (end < now) this.#deadlines.delete(known);
    if (this.#deadlines.has(key)) return false;
    this.#deadlines.set(key, deadline);
    return true;
  }
}

/**
 * Verifies the proof of a POST to `url` and returns the RFC 7638 thumbprint of its key. No nonce is asked for, and
 * there is no access token yet whose `ath` could be checked. `now` in epoch seconds. Throws OAuthRefusal.
 */
export async function verifyProof(
  proof: string | null,
  url: string,
  used: UsedProofs,
  now: number,
): Promise<string> {
  if (proof === null)
    throw new OAuthRefusal(
      'invalid_dpop_proof',
      'The header DPoP is missing: tokens here are bound to a key.',
    );
  const { claims, thumbprint } = await verifySignature(proof, now);
  const { htm, htu, iat, jti } = claims;
  if (htm !== 'POST') throw refused('htm is not POST');
  if (typeof htu !== 'string' || withoutQuery(htu) !== url) throw refused(`htu is not ${url}`);
  if (typeof iat !== 'number') throw refused('iat is missing');
  if (iat < now - MAX_AGE) throw refused(`it is older than ${MAX_AGE} s`);
  if (iat > now + CLOCK_SKEW) throw refused('iat is in the future');
  if (typeof jti !== 'string' || jti === '' || jti.length > 256)
    throw refused('jti is not 1 to 256 characters');
  if (!used.insert(`${thumbprint} ${jti}`, iat + MAX_AGE, now)) throw refused('it was used before');
  return thumbprint;
}

async function verifySignature(
  proof: string,
  now: number,
): Promise<{ claims: JWTPayload; thumbprint: string }> {
  try {
    const { jwk } = decodeProtectedHeader(proof);
    if (jwk === undefined || PRIVATE_MEMBERS.some((member) => Object.hasOwn(jwk, member)))
      throw refused('jwk is not a public key');
    const { payload } = await jwtVerify(proof, EmbeddedJWK, {
      typ: 'dpop+jwt',
      algorithms: proofAlgorithms,
      currentDate: new Date(now * 1000),
      clockTolerance: CLOCK_SKEW,
    });
    return { claims: payload, thumbprint: await calculateJwkThumbprint(jwk) };
  } catch (cause) {
    if (cause instanceof OAuthRefusal) throw cause;
    // For a malformed key jose throws errors that are not its own.
    throw refused('it is not a dpop+jwt, or its signature does not verify');
  }
}

/** RFC 9449 §4.3: query and fragment are ignored. */
function withoutQuery(text: string): string | null {
  const url = URL.parse(text);
  return url === null ? null : `${url.origin}${url.pathname}`;
}

function refused(fault: string): OAuthRefusal {
  return new OAuthRefusal('invalid_dpop_proof', `The DPoP proof is not valid: ${fault}.`);
}

/** The `error` codes that it uses, each with its status. */
const statuses = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_scope: 400,
  unsupported_grant_type: 400,
  invalid_dpop_proof: 400,
} as const;

export type OAuthError = keyof typeof statuses;

export class OAuthRefusal extends Error {
  readonly error: OAuthError;
  /** `error_description`: printable ASCII that holds no secret and no part of a proof. */
  readonly description: string;
  readonly status: number;

  constructor(error: OAuthError, description: string) {
    super(`${error}: ${description}`);
    this.name = 'OAuthRefusal';
    this.error = error;
    this.description = description;
    this.status = statuses[error];
  }
}
