/** Makes a signing key for registry tokens, and the key set that a registry 3.x reads. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { exportJWK, type JWK } from 'jose';
import { algorithmOf, type SigningAlgorithm } from './key-algorithm.ts';
import { libtrustId, thumbprintId } from './key-ids.ts';

/** Makes a private key that registries of all versions name alike. */
export function generateSigningKey(algorithm: SigningAlgorithm): KeyObject {
  for (;;) {
    const key = generate(algorithm);
    if (!hasShortCoordinate(key)) return key;
  }
}

function generate(algorithm: SigningAlgorithm): KeyObject {
  switch (algorithm) {
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    case 'ES384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
    case 'EdDSA':
      return generateKeyPairSync('ed25519').privateKey;
    case 'RS256':
      return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  }
}

/**
 * Whether x or y of an EC key begins with a zero byte: registry 3.1 then computes another thumbprint than RFC 7638
 * does, and does not find the key. One key in 128 is such.
 */
export function hasShortCoordinate(key: KeyObject): boolean {
  const { x, y } = key.export({ format: 'jwk' });
  return [x, y].some((coordinate) => Buffer.from(coordinate ?? '', 'base64url')[0] === 0);
}

/** The public key under its RFC 7638 thumbprint and under its libtrust ID: any `keyId` of ours is found. */
export async function createRegistryJwks(publicKey: KeyObject): Promise<{ readonly keys: readonly JWK[] }> {
  const jwk = await exportJWK(publicKey);
  const alg = algorithmOf(publicKey);
  const keyIds = [await thumbprintId(publicKey), libtrustId(publicKey)];
  return { keys: keyIds.map((kid) => ({ ...jwk, kid, alg, use: 'sig' })) };
}
