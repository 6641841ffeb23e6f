/**
 * Makes the self-signed X.509 certificate that a registry trusts (`rootcertbundle`) and that comes with each token
 * (`x5c`). One form of certificate alone; certificates are read and checked by `node:crypto`.
 *
 * Written out because @peculiar/x509, the library for it, brings 20 packages, needs a polyfill that changes the
 * global `Reflect`, and takes 30 ms to load; for one fixed form of certificate that is too much.
 */
import { createHash, createPublicKey, type KeyObject, randomBytes, sign } from 'node:crypto';
import { formatCertificate } from '../platform/pem.ts';
import {
  derBitString,
  derNull,
  derObjectIdentifier,
  derOctetString,
  derPositiveInteger,
  derSequence,
  derSet,
  derTagged,
  derTime,
  derTrue,
  derUtf8String,
} from './der.ts';
import type { SigningAlgorithm } from './key-algorithm.ts';

export interface CertificateOptions {
  readonly commonName: string;
  /** Epoch seconds, both. */
  readonly notBefore: number;
  readonly notAfter: number;
}

const signatureAlgorithms = {
  ES256: { identifier: derSequence(derObjectIdentifier('1.2.840.10045.4.3.2')), digest: 'sha256' },
  ES384: { identifier: derSequence(derObjectIdentifier('1.2.840.10045.4.3.3')), digest: 'sha384' },
  EdDSA: { identifier: derSequence(derObjectIdentifier('1.3.101.112')), digest: null },
  // RFC 4055 §5: the parameters are NULL, not absent.
  RS256: {
    identifier: derSequence(derObjectIdentifier('1.2.840.113549.1.1.11'), derNull()),
    digest: 'sha256',
  },
} as const satisfies Record<SigningAlgorithm, { identifier: Buffer; digest: string | null }>;

const DIGITAL_SIGNATURE = derBitString(Uint8Array.of(0x80), 7);

/**
 * Returns a certificate (RFC 5280 §4.1) as PEM, with a random serial number of 127 bits. It may sign tokens and
 * nothing else, no other certificate in particular: a registry takes it as root and as leaf at once.
 */
export function createSelfSignedCertificate(
  privateKey: KeyObject,
  algorithm: SigningAlgorithm,
  { commonName, notBefore, notAfter }: CertificateOptions,
): string {
  const { identifier, digest } = signatureAlgorithms[algorithm];
  const publicKeyInfo = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const serialNumber = randomBytes(16);
  serialNumber.writeUInt8((serialNumber.readUInt8(0) & 0x3f) | 0x40, 0);
  const name = derSequence(derSet(derSequence(derObjectIdentifier('2.5.4.3'), derUtf8String(commonName))));
  const extensions = derSequence(
    criticalExtension('2.5.29.19', derSequence()), // basicConstraints: no CA
    criticalExtension('2.5.29.15', DIGITAL_SIGNATURE), // keyUsage
    extension('2.5.29.14', derOctetString(keyIdentifier(publicKeyInfo))), // subjectKeyIdentifier
  );
  const toBeSigned = derSequence(
    derTagged(0, derPositiveInteger(Uint8Array.of(2))), // version 3
    derPositiveInteger(serialNumber),
    identifier,
    name,
    derSequence(derTime(notBefore), derTime(notAfter)),
    name,
    publicKeyInfo,
    derTagged(3, extensions),
  );
  const certificate = derSequence(toBeSigned, identifier, derBitString(sign(digest, toBeSigned, privateKey)));
  return formatCertificate(certificate);
}

function extension(identifier: string, value: Uint8Array): Buffer {
  return derSequence(derObjectIdentifier(identifier), derOctetString(value));
}

function criticalExtension(identifier: string, value: Uint8Array): Buffer {
  return derSequence(derObjectIdentifier(identifier), derTrue(), derOctetString(value));
}

/** RFC 7093 §2, method 4: a hash of the SubjectPublicKeyInfo, here its first 20 bytes. */
function keyIdentifier(publicKeyInfo: Uint8Array): Buffer {
  return createHash('sha256').update(publicKeyInfo).digest().subarray(0, 20);
}
