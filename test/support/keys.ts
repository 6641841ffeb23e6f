/** Keys of the tests, and signatures by node:crypto: a second opinion on the jose that the service verifies with. */
import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { keepSecret } from './secret-watch.ts';

export type TestAlgorithm = 'ES256' | 'ES384' | 'EdDSA' | 'PS256' | 'RS256';

export interface TestKey {
  readonly algorithm: TestAlgorithm;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly publicJwk: JWK;
  /** All members, the private ones included. */
  readonly privateJwk: JWK;
  /** RFC 7638. */
  readonly thumbprint: string;
}

export async function createKey(algorithm: TestAlgorithm, modulusLength = 2048): Promise<TestKey> {
  const { publicKey, privateKey } = generate(algorithm, modulusLength);
  const publicJwk = publicKey.export({ format: 'jwk' }) as JWK;
  const privateJwk = privateKey.export({ format: 'jwk' }) as JWK;
  keepSecret(privateJwk.d ?? '');
  const thumbprint = await calculateJwkThumbprint(publicJwk);
  return { algorithm, privateKey, publicKey, publicJwk, privateJwk, thumbprint };
}

/** A key of a JWK written down in a specification. */
export async function readKey(algorithm: TestAlgorithm, privateJwk: JWK): Promise<TestKey> {
  const privateKey = createPrivateKey({ key: privateJwk as object, format: 'jwk' });
  const publicKey = createPublicKey(privateKey);
  const publicJwk = publicKey.export({ format: 'jwk' }) as JWK;
  const thumbprint = await calculateJwkThumbprint(publicJwk);
  return { algorithm, privateKey, publicKey, publicJwk, privateJwk, thumbprint };
}

function generate(algorithm: TestAlgorithm, modulusLength: number) {
  switch (algorithm) {
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'ES384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' });
    case 'EdDSA':
      return generateKeyPairSync('ed25519');
    default:
      return generateKeyPairSync('rsa', { modulusLength });
  }
}

/** The signature of a JWS, whatever its header says. */
export function signBytes(input: string, { algorithm, privateKey }: TestKey): Buffer {
  const bytes = Buffer.from(input);
  switch (algorithm) {
    case 'ES256':
      return sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    case 'ES384':
      return sign('sha384', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    case 'EdDSA':
      return sign(null, bytes, privateKey);
    case 'PS256':
      return sign('sha256', bytes, {
        key: privateKey,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: 32,
      });
    case 'RS256':
      return sign('sha256', bytes, privateKey);
  }
}

/** The order of P-256. */
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** The other signature that verifies for the same ES256 JWS: (r, n−s) in place of (r, s). */
export function ecdsaTwin(jws: string): string {
  const [header, payload, signature = ''] = jws.split('.');
  const bytes = Buffer.from(signature, 'base64url');
  const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`);
  const twin = (P256_ORDER - s).toString(16).padStart(64, '0');
  const twinned = Buffer.concat([bytes.subarray(0, 32), Buffer.from(twin, 'hex')]);
  return `${header}.${payload}.${twinned.toString('base64url')}`;
}
