/** What a key of ours can sign with, and what is wrong with a key that cannot be used. */
import type { KeyObject } from 'node:crypto';

export type SigningAlgorithm = 'ES256' | 'ES384' | 'EdDSA' | 'RS256';

/** Why a key or certificate cannot be used, in a sentence that quotes no secret. */
export class KeyFault extends Error {
  /** Which of the two files. */
  readonly source: 'key' | 'certificate';

  constructor(source: 'key' | 'certificate', message: string) {
    super(message);
    this.name = 'KeyFault';
    this.source = source;
  }
}

/** The algorithm that a private or public key of ours signs with. Throws KeyFault for other keys. */
export function algorithmOf(key: KeyObject): SigningAlgorithm {
  const details = key.asymmetricKeyDetails;
  switch (key.asymmetricKeyType) {
    case 'rsa':
      if ((details?.modulusLength ?? 0) >= 2048) return 'RS256';
      throw new KeyFault(
        'key',
        `An RSA key of ${details?.modulusLength} bits is too short: use at least 2048.`,
      );
    case 'ed25519':
      return 'EdDSA';
    case 'ec':
      if (details?.namedCurve === 'prime256v1') return 'ES256';
      if (details?.namedCurve === 'secp384r1') return 'ES384';
      throw new KeyFault('key', `The curve ${details?.namedCurve} is not supported: use P-256 or P-384.`);
    default:
      throw new KeyFault(
        'key',
        `A key of type ${key.asymmetricKeyType} cannot sign: use RSA, P-256, P-384 or Ed25519.`,
      );
  }
}
