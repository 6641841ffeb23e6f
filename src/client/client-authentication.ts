/** How a client authenticates at the Authority's endpoints: by secret, by assertion (RFC 7523), by certificate, or not at all. */
import { type KeyObject, randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { excerpt } from '../platform/escape.ts';
import { PemFault, parsePrivateKeyOrJwk } from '../platform/pem.ts';
import type { Authority } from './authority.ts';
import { ClientFault } from './client-fault.ts';
import { readTextFile } from './files.ts';

export const clientAuthenticationMethods = [
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
  'tls_client_auth',
  'self_signed_tls_client_auth',
  'none',
] as const;

export type ClientAuthenticationMethod = (typeof clientAuthenticationMethods)[number];

export type ClientAuthentication =
  | {
      readonly method: 'client_secret_basic' | 'client_secret_post';
      readonly clientId: string;
      readonly secret: string;
    }
  /** RFC 7523 §2.2. */
  | {
      readonly method: 'private_key_jwt';
      readonly clientId: string;
      readonly key: ClientKey;
      /** The audience of the assertions; null for the Authority's issuer. */
      readonly audience: string | null;
    }
  /** RFC 8705 §2: the certificate of the TLS connection. */
  | { readonly method: 'tls_client_auth' | 'self_signed_tls_client_auth'; readonly clientId: string }
  /** A public client (RFC 6749 §2.1): a program on people's machines, which can keep no secret. */
  | { readonly method: 'none'; readonly clientId: string };

/** What a client can authenticate with. */
export interface ClientCredentials {
  readonly clientId: string;
  readonly secret: string | null;
  readonly key: ClientKey | null;
  readonly hasCertificate: boolean;
  readonly assertionAudience: string | null;
}

/** What the authentication adds to one request. */
export interface AuthenticatedRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly form: Readonly<Record<string, string>>;
  /** What must not be shown if the server echoes it. */
  readonly secrets: readonly string[];
}

/**
 * Chooses the method: the one that is demanded, else by what the client has. A secret goes into the form only if the
 * Authority says that it does not accept client_secret_basic. Throws ClientFault if what it needs is missing.
 */
export function chooseClientAuthentication(
  { authenticationMethods }: Authority,
  credentials: ClientCredentials,
  demanded: ClientAuthenticationMethod | null,
): ClientAuthentication {
  const { clientId, secret, key, assertionAudience: audience } = credentials;
  const method = demanded ?? usualMethod(credentials, authenticationMethods);
  const lacks = (what: string) => new ClientFault(`client authentication by ${method} needs ${what}`);
  switch (method) {
    case 'client_secret_basic':
    case 'client_secret_post':
      if (secret === null) throw lacks('a client secret');
      return { method, clientId, secret };
    case 'private_key_jwt':
      if (key === null) throw lacks("the client's key");
      return { method, clientId, key, audience };
    case 'none':
      return { method, clientId };
    default:
      if (!credentials.hasCertificate) throw lacks('a client certificate with its key');
      return { method, clientId };
  }
}

/** What goes into one request; an assertion is valid for one only. `now` in epoch seconds. */
export async function authenticate(
  client: ClientAuthentication,
  authority: Authority,
  now: number,
): Promise<AuthenticatedRequest> {
  const { clientId } = client;
  switch (client.method) {
    case 'client_secret_basic': {
      const credentials = basicCredentials(clientId, client.secret);
      const headers = { Authorization: `Basic ${credentials}` };
      return { headers, form: {}, secrets: [client.secret, credentials] };
    }
    case 'client_secret_post': {
      const form = { client_id: clientId, client_secret: client.secret };
      return { headers: {}, form, secrets: [client.secret, formEncode(client.secret)] };
    }
    case 'private_key_jwt': {
      const algorithm = chooseAssertionAlgorithm(client.key, authority.assertionAlgorithms);
      const audience = client.audience ?? authority.issuer;
      const assertion = await makeClientAssertion(client.key, { clientId, audience, algorithm }, now);
      const form = {
        client_id: clientId,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      };
      return { headers: {}, form, secrets: [assertion] };
    }
    default:
      return { headers: {}, form: { client_id: clientId }, secrets: [] };
  }
}

/** What to check if the Authority says `invalid_client`. */
export function credentialName({ method }: ClientAuthentication): string {
  switch (method) {
    case 'client_secret_basic':
    case 'client_secret_post':
      return 'secret';
    case 'private_key_jwt':
      return 'key (and its key ID)';
    case 'none':
      return 'kind (public, without a secret)';
    default:
      return 'certificate';
  }
}

function usualMethod(
  { secret, key, hasCertificate }: ClientCredentials,
  offered: readonly string[] | null,
): ClientAuthenticationMethod {
  if (key !== null) return 'private_key_jwt';
  if (secret === null) return hasCertificate ? 'tls_client_auth' : 'none';
  if (offered === null || offered.includes('client_secret_basic')) return 'client_secret_basic';
  if (offered.includes('client_secret_post')) return 'client_secret_post';
  throw new ClientFault(
    `the Authority does not accept client secrets; it accepts ${excerpt(offered.join(', ')) || 'nothing'}`,
  );
}

/** RFC 6749 §2.3.1: both are form-encoded before they are joined. */
function basicCredentials(clientId: string, secret: string): string {
  return Buffer.from(`${formEncode(clientId)}:${formEncode(secret)}`).toString('base64');
}

function formEncode(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1);
}

export interface ClientKey {
  readonly privateKey: KeyObject;
  /** What this key can sign with, the usual one first. */
  readonly algorithms: readonly string[];
  /** The `kid` that the Authority knows the key by; null to leave it out. */
  readonly keyId: string | null;
}

export interface AssertionSubject {
  readonly clientId: string;
  /** The Authority's issuer, or its token endpoint. */
  readonly audience: string;
  readonly algorithm: string;
}

const LIFETIME_S = 60;
const STEP = "the client's key";

/**
 * Reads a private key: PKCS#8, SEC1 or PKCS#1 in PEM, or one JWK, whose `kid` and `alg` are used. `keyId` replaces
 * the `kid`. Throws ClientFault.
 */
export function loadClientKey(path: string, keyId: string | null): ClientKey {
  const { privateKey, jwk } = parse(path, readTextFile(path, STEP));
  const possible = algorithmsOf(privateKey, path);
  if (typeof jwk.alg === 'string' && !possible.includes(jwk.alg))
    throw new ClientFault(
      `${STEP}: ${path} has alg ${excerpt(jwk.alg, 40)}; this key can only sign with ${possible.join(' or ')}`,
    );
  return {
    privateKey,
    algorithms: typeof jwk.alg === 'string' ? [jwk.alg] : possible,
    keyId: keyId ?? (typeof jwk.kid === 'string' ? jwk.kid : null),
  };
}

function parse(path: string, text: string): ReturnType<typeof parsePrivateKeyOrJwk> {
  try {
    return parsePrivateKeyOrJwk(text);
  } catch (cause) {
    if (!(cause instanceof PemFault)) throw cause;
    throw new ClientFault(
      `${STEP}: ${path} ${cause.message}${cause.isEncrypted ? '; decrypt it first' : ''}`,
    );
  }
}

/** Which of the key's algorithms the Authority takes; `accepted` is null if it does not say. Throws ClientFault. */
export function chooseAssertionAlgorithm(
  { algorithms }: ClientKey,
  accepted: readonly string[] | null,
): string {
  const chosen = algorithms.find((algorithm) => accepted === null || accepted.includes(algorithm));
  if (chosen !== undefined) return chosen;
  throw new ClientFault(
    `${STEP} signs with ${algorithms.join(' or ')}, but the Authority accepts ` +
      `${excerpt((accepted ?? []).join(', ')) || 'nothing'}; use another kind of key`,
  );
}

/** One assertion, valid for one request (RFC 7523 §3: iss, sub, aud, exp, jti). `now` in epoch seconds. */
export function makeClientAssertion(key: ClientKey, subject: AssertionSubject, now: number): Promise<string> {
  const { clientId, audience, algorithm } = subject;
  const iat = Math.floor(now);
  return new SignJWT({
    iss: clientId,
    sub: clientId,
    aud: audience,
    jti: randomUUID(),
    iat,
    exp: iat + LIFETIME_S,
  })
    .setProtectedHeader({ alg: algorithm, typ: 'JWT', ...(key.keyId === null ? {} : { kid: key.keyId }) })
    .sign(key.privateKey);
}

function algorithmsOf(key: KeyObject, path: string): readonly string[] {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  const curves: Readonly<Record<string, string>> = {
    prime256v1: 'ES256',
    secp384r1: 'ES384',
    secp521r1: 'ES512',
  };
  switch (key.asymmetricKeyType) {
    case 'ec': {
      const algorithm = curves[namedCurve ?? ''];
      if (algorithm !== undefined) return [algorithm];
      throw new ClientFault(
        `${STEP}: ${path} holds a key on the curve ${namedCurve}, which is not supported; use P-256`,
      );
    }
    case 'ed25519':
      return ['EdDSA', 'Ed25519'];
    case 'rsa':
      if ((modulusLength ?? 0) >= 2048) return ['RS256', 'PS256', 'RS384', 'PS384', 'RS512', 'PS512'];
      throw new ClientFault(
        `${STEP}: ${path} holds an RSA key of ${modulusLength} bits; at least 2048 are needed`,
      );
    default:
      throw new ClientFault(
        `${STEP}: ${path} holds a key of type ${key.asymmetricKeyType}; use EC, Ed25519 or RSA`,
      );
  }
}
