/** PEM (RFC 7468): certificates and private keys in a text, and what is wrong with them. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { butA, explainKeyFault, labelsOf } from './pem-faults.ts';

/**
 * Why a text cannot be used. The message goes on where a file's name ends, and quotes nothing of the text:
 * "holds no PEM certificate".
 */
export class PemFault extends Error {
  /** The private key is encrypted, and there is no password or the wrong one. */
  readonly isEncrypted: boolean;

  constructor(message: string, isEncrypted = false) {
    super(message);
    this.name = 'PemFault';
    this.isEncrypted = isEncrypted;
  }
}

/** The blocks of one label in a text, each from BEGIN to END; what is around them does not count (RFC 7468 §2). */
function blocksOf(text: string, label: string): string[] {
  return text.match(new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----`, 'g')) ?? [];
}

export function holdsCertificate(text: string): boolean {
  return blocksOf(text, 'CERTIFICATE').length > 0;
}

/** Every certificate of the text, in its order, at least one. Throws PemFault. */
export function parseCertificates(text: string): readonly [X509Certificate, ...X509Certificate[]] {
  const [first, ...others] = blocksOf(text, 'CERTIFICATE');
  if (first === undefined) {
    const labels = labelsOf(text);
    throw new PemFault(
      labels.includes('CERTIFICATE')
        ? 'holds a certificate that is cut off'
        : `holds no PEM certificate${butA(labels)}`,
    );
  }
  try {
    return [new X509Certificate(first), ...others.map((block) => new X509Certificate(block))];
  } catch {
    throw new PemFault('holds a certificate that is damaged');
  }
}

/** The private key of a text: PKCS#8 (also encrypted), PKCS#1 or SEC1. Throws PemFault. */
export function parsePrivateKey(text: string, password: string | null = null): KeyObject {
  try {
    return createPrivateKey({
      key: text,
      format: 'pem',
      ...(password === null ? {} : { passphrase: password }),
    });
  } catch {
    throw keyFaultOf(text, password !== null);
  }
}

function keyFaultOf(text: string, hasPassword: boolean): PemFault {
  // The label of RFC 7468 §11, or the header `Proc-Type: 4,ENCRYPTED` of OpenSSL's older form.
  if (!text.includes('ENCRYPTED')) return new PemFault(explainKeyFault(text));
  return hasPassword
    ? new PemFault('holds an encrypted private key that the password does not open', true)
    : new PemFault('holds an encrypted private key', true);
}

/** A private key in PEM, not encrypted, or as one JWK (RFC 7517), whose other members come along. Throws PemFault. */
export function parsePrivateKeyOrJwk(text: string): {
  readonly privateKey: KeyObject;
  readonly jwk: Readonly<Record<string, unknown>>;
} {
  if (!text.trimStart().startsWith('{')) return { privateKey: parsePrivateKey(text), jwk: {} };
  try {
    const jwk = JSON.parse(text);
    return { privateKey: createPrivateKey({ key: jwk, format: 'jwk' }), jwk };
  } catch {
    throw new PemFault('holds JSON that is not a private JWK');
  }
}

/** A certificate (DER) as PEM, in lines of 64 characters. */
export function formatCertificate(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
