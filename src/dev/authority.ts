/**
 * The development Authority: an OAuth server with one client, for a try-out on loopback only. It has no users, no consent, no
 * revocation and no storage, but follows the standards, so that the service and its clients work as with a real one.
 */
import { createPublicKey, type KeyObject, randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, type JWK, SignJWT } from 'jose';
import {
  type DevClient,
  type OAuthError,
  OAuthRefusal,
  proofAlgorithms,
  readTokenRequest,
  UsedProofs,
  verifyProof,
} from './token-request.ts';

export interface DevAuthorityOptions {
  /** Its URL without a path. */
  readonly issuer: string;
  /** P-256. */
  readonly privateKey: KeyObject;
  readonly client: DevClient;
  /** Epoch seconds. */
  readonly clock: () => number;
  /** Called for each answer of the token endpoint: the thumbprint of the key that the OpTok is bound to, or the refusal. */
  readonly record: (answer: DevAuthorityAnswer) => void;
}

export type DevAuthorityAnswer =
  | { readonly thumbprint: string }
  | { readonly error: OAuthError; readonly description: string };

export type DevAuthority = (request: Request) => Promise<Response>;

const AUDIENCE = 'registry';
const SCOPE = 'registry.token.issue';
/** Seconds. */
const LIFETIME = 300;

/** The Authority as one function from request to response, without a port. */
export async function createDevAuthority(options: DevAuthorityOptions): Promise<DevAuthority> {
  const publicJwk = await exportJWK(createPublicKey(options.privateKey));
  const keyId = await calculateJwkThumbprint(publicJwk);
  const jwks = { keys: [{ ...publicJwk, kid: keyId, alg: 'ES256', use: 'sig' } satisfies JWK] };
  const metadata = describeAuthority(options.issuer);
  const used = new UsedProofs();
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === '/token') {
      if (request.method !== 'POST') return methodNotAllowed('POST');
      return answerTokenRequest(request, options, keyId, used);
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return methodNotAllowed('GET, HEAD');
    switch (pathname) {
      // OpenID Connect Discovery and RFC 8414: clients look in either place.
      case '/.well-known/openid-configuration':
      case '/.well-known/oauth-authorization-server':
        return Response.json(metadata);
      case '/jwks':
        return Response.json(jwks);
      case '/':
        return new Response('The development Authority of registry-token. For development only.\n');
      default:
        return Response.json({ error: 'not_found' }, { status: 404 });
    }
  };
}

/** RFC 8414 §2. */
function describeAuthority(issuer: string) {
  return {
    issuer,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    scopes_supported: [SCOPE],
    response_types_supported: [],
    grant_types_supported: ['client_credentials'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    dpop_signing_alg_values_supported: proofAlgorithms,
  };
}

async function answerTokenRequest(
  request: Request,
  options: DevAuthorityOptions,
  keyId: string,
  used: UsedProofs,
): Promise<Response> {
  const now = options.clock();
  try {
    const scope = await readTokenRequest(request, options.client, SCOPE);
    const proof = request.headers.get('dpop');
    const thumbprint = await verifyProof(proof, `${options.issuer}/token`, used, now);
    const opTok = await issueOpTok(options, keyId, thumbprint, scope, Math.floor(now));
    options.record({ thumbprint });
    return render({ access_token: opTok, token_type: 'DPoP', expires_in: LIFETIME, scope }, 200);
  } catch (cause) {
    if (!(cause instanceof OAuthRefusal)) throw cause;
    const { error, description, status } = cause;
    options.record({ error, description });
    const challenge: Record<string, string> =
      status === 401 ? { 'WWW-Authenticate': 'Basic realm="development Authority"' } : {};
    return render({ error, error_description: description }, status, challenge);
  }
}

/** An access token (RFC 9068) bound to a key (RFC 9449 §6), with the claims `stellaops:plan` and `tid` for the plans. */
function issueOpTok(
  { issuer, client, privateKey }: DevAuthorityOptions,
  keyId: string,
  thumbprint: string,
  scope: string,
  now: number,
): Promise<string> {
  return new SignJWT({
    iss: issuer,
    sub: client.id,
    aud: [AUDIENCE],
    iat: now,
    exp: now + LIFETIME,
    jti: randomUUID(),
    client_id: client.id,
    scope,
    cnf: { jkt: thumbprint },
    tid: 'dev',
    'stellaops:plan': 'developer',
  })
    .setProtectedHeader({ typ: 'at+jwt', alg: 'ES256', kid: keyId })
    .sign(privateKey);
}

function render(body: object, status: number, headers: Record<string, string> = {}): Response {
  return Response.json(body, { status, headers: { 'Cache-Control': 'no-store', ...headers } });
}

function methodNotAllowed(allow: string): Response {
  return Response.json({ error: 'invalid_request' }, { status: 405, headers: { Allow: allow } });
}
