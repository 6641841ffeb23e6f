/** The key by which a client shows the Authority who it is (RFC 7523), and the assertions that it signs. */
import { type KeyObject, randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { PemFault, parsePrivateKeyOrJwk } from '../platform/pem.ts';
import { ClientFault, printable } from './client-fault.ts';
import { readTextFile } from './read-file.ts';

export interface ClientKey {
  readonly privateKey: KeyObject;
  /** What this key can sign with, the usual one first. */
  readonly algorithms: readonly string[];
  /** The `kid` that the Authority knows the key by; null to leave it out. */
  readonly keyId: string | null;
}

export interface AssertionSubject {
  readonly clientId: string;
  /** Who the assertion is for: the Authority's issuer, or its token endpoint. */
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
      `${STEP}: ${path} says alg ${printable(jwk.alg, 40)}; it can be ${possible.join(' or ')}`,
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

/** Which of the key's algorithms the Authority takes; `accepted` is null where it does not say. Throws ClientFault. */
export function chooseAssertionAlgorithm(
  { algorithms }: ClientKey,
  accepted: readonly string[] | null,
): string {
  const chosen = algorithms.find((algorithm) => accepted === null || accepted.includes(algorithm));
  if (chosen !== undefined) return chosen;
  throw new ClientFault(
    `${STEP} signs with ${algorithms.join(' or ')}, and the Authority takes ` +
      `${printable((accepted ?? []).join(', ')) || 'nothing'}; use a key of another kind`,
  );
}

/** One assertion, good for one request (RFC 7523 §3: iss, sub, aud, exp, jti). `now` in epoch seconds. */
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
        `${STEP}: ${path} holds a key on the curve ${namedCurve}; P-256 is the usual one`,
      );
    }
    case 'ed25519':
      return ['EdDSA', 'Ed25519'];
    case 'rsa':
      if ((modulusLength ?? 0) >= 2048) return ['RS256', 'PS256', 'RS384', 'PS384', 'RS512', 'PS512'];
      throw new ClientFault(`${STEP}: ${path} holds an RSA key of ${modulusLength} bits; 2048 is the least`);
    default:
      throw new ClientFault(
        `${STEP}: ${path} holds a key of type ${key.asymmetricKeyType}; EC, Ed25519 or RSA is needed`,
      );
  }
}
