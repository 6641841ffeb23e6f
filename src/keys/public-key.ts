/** Public keys to publish beside the signing key, from PEM: certificates, a public or a private key. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { exportJWK, type JWK } from 'jose';
import { holdsCertificate, parseCertificates } from '../platform/pem.ts';
import { KeyFault } from './key-fault.ts';
import { libtrustId, thumbprintId } from './key-ids.ts';
import { algorithmOf } from './signing-key.ts';

export interface PublicKey {
  readonly jwk: JWK;
  /** RFC 7638, whatever the `kid` is. */
  readonly thumbprint: string;
}

/**
 * The keys of all certificates of the file; where it holds none, the key of its first PEM block. Their `kid` is of
 * the configured form; where that is a fixed text, which is the signing key's, the thumbprint. Throws KeyFault.
 */
export async function openPublicKeys(pem: string, keyIdForm: string): Promise<PublicKey[]> {
  return Promise.all(
    parsePublicKeys(pem).map(async (publicKey) => {
      const algorithm = algorithmOf(publicKey);
      const thumbprint = await thumbprintId(publicKey);
      const kid = keyIdForm === 'libtrust' ? libtrustId(publicKey) : thumbprint;
      const jwk = { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' };
      return { jwk, thumbprint };
    }),
  );
}

function parsePublicKeys(pem: string): KeyObject[] {
  try {
    return holdsCertificate(pem)
      ? parseCertificates(pem).map(({ publicKey }) => publicKey)
      : [createPublicKey(pem)];
  } catch {
    throw new KeyFault('key', 'The file holds no PEM certificate, public key or unencrypted private key.');
  }
}
