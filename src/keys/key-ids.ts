/** The names of a public key: what a registry looks it up by. */
import { createHash, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK } from 'jose';

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** RFC 7638, SHA-256: what registry 3.x computes of the keys in its `jwks` and of RSA certificates. */
export async function thumbprintId(publicKey: KeyObject): Promise<string> {
  return calculateJwkThumbprint(await exportJWK(publicKey));
}

/**
 * The libtrust ID, what registry 2.x computes: the first 30 bytes of the SHA-256 of the SubjectPublicKeyInfo in
 * base32, in groups of four.
 */
export function libtrustId(publicKey: KeyObject): string {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const bytes = createHash('sha256').update(spki).digest().subarray(0, 30);
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
  const characters = bits.match(/.{5}/g)?.map((group) => BASE32[Number.parseInt(group, 2)]) ?? [];
  return characters.join('').match(/.{4}/g)?.join(':') ?? '';
}

/**
 * The RFC 7638 thumbprint of `etc/registry-signing-sample.pem`. Everybody has this key, so it signs only where everything
 * is on loopback.
 */
export const SAMPLE_KEY_THUMBPRINT = 'wOc66suuzS0Zyr4iVZNDjCa-t8FKgGormCEgL5c8icE';
