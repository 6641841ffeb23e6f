/**
 * Verifies only the signature of a JWS, with synchronous node:crypto: WebCrypto's threads would add about the cost of one
 * ES256 signature. jose must have checked header, key and algorithm before.
 */
import { constants, KeyObject, type VerifyKeyObjectInput, verify } from 'node:crypto';
import type { CompactJws } from './compact-jws.ts';

/** A public key prepared for one `alg`. */
export interface SignatureKey {
  readonly digest: string | null;
  readonly input: VerifyKeyObjectInput;
}

/** RFC 7518 §3.1, RFC 8037 §3.1: digest, form of an ECDSA signature, padding and salt of an RSASSA-PSS one. */
const settings = new Map<
  string,
  readonly [digest: string | null, options: Omit<VerifyKeyObjectInput, 'key'>]
>([
  ['ES256', ['sha256', { dsaEncoding: 'ieee-p1363' }]],
  ['ES384', ['sha384', { dsaEncoding: 'ieee-p1363' }]],
  ['ES512', ['sha512', { dsaEncoding: 'ieee-p1363' }]],
  ['EdDSA', [null, {}]],
  ['Ed25519', [null, {}]],
  ['RS256', ['sha256', { padding: constants.RSA_PKCS1_PADDING }]],
  ['RS384', ['sha384', { padding: constants.RSA_PKCS1_PADDING }]],
  ['RS512', ['sha512', { padding: constants.RSA_PKCS1_PADDING }]],
  ['PS256', ['sha256', { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }]],
  ['PS384', ['sha384', { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 }]],
  ['PS512', ['sha512', { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 }]],
]);

/** Prepares a key with which jose has verified a JWS of this `alg`; null for an unknown `alg`. */
export function createSignatureKey(key: CryptoKey, algorithm: string): SignatureKey | null {
  const setting = settings.get(algorithm);
  if (setting === undefined) return null;
  const [digest, options] = setting;
  return { digest, input: { ...options, key: KeyObject.from(key) } };
}

/** True if the signature was made by the key. Does not check `alg` or anything else in the header. */
export function isSignatureValid({ text }: CompactJws, { digest, input }: SignatureKey): boolean {
  const end = text.lastIndexOf('.');
  const signature = Buffer.from(text.slice(end + 1), 'base64url');
  try {
    return verify(digest, Buffer.from(text.slice(0, end), 'latin1'), input, signature);
  } catch {
    // A signature that cannot be parsed.
    return false;
  }
}
