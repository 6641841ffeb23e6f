/** A public key to publish beside the signing key, from PEM: a certificate, a public or a private key. */
import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { exportJWK, type JWK } from 'jose';
import { KeyFault } from './key-fault.ts';
import { libtrustId, thumbprintId } from './key-ids.ts';
import { algorithmOf } from './signing-key.ts';

/**
 * The key of the first PEM block. Its `kid` is of the configured form; where that is a fixed text, which is the
 * signing key's, the thumbprint. Throws KeyFault.
 */
export async function openPublicKey(pem: string, keyIdForm: string): Promise<JWK> {
  const publicKey = parsePublicKey(pem);
  const kid = keyIdForm === 'libtrust' ? libtrustId(publicKey) : await thumbprintId(publicKey);
  return { ...(await exportJWK(publicKey)), kid, alg: algorithmOf(publicKey), use: 'sig' };
}

function parsePublicKey(pem: string): KeyObject {
  try {
    return pem.includes('-----BEGIN CERTIFICATE-----')
      ? new X509Certificate(pem).publicKey
      : createPublicKey(pem);
  } catch {
    throw new KeyFault('key', 'This file holds no PEM certificate, public key or unencrypted private key.');
  }
}
