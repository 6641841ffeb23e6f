/** The binding of an OpTok to the sender's TLS certificate (RFC 8705 §3). */
import { hash, X509Certificate } from 'node:crypto';
import { Refusal } from '../refusal.ts';
import type { ClientCertificate } from '../request/client-connection.ts';

/** The object identifiers of RSA keys: rsaEncryption and id-RSASSA-PSS (RFC 8017, appendix C). */
const RSA_KEYS = ['2a864886f70d010101', '2a864886f70d01010a'].map((oid) => Buffer.from(oid, 'hex'));

/** Throws `certificate-missing`, `certificate-untrusted` or `certificate-binding`. */
export function checkCertificateBinding(x5tS256: string, certificate: ClientCertificate | null): void {
  if (certificate === null)
    throw new Refusal(
      'certificate-missing',
      'The OpTok is bound to a client certificate, and the client presented none.',
      {
        forLog:
          'Give the client its certificate (certs.d). Behind a proxy, let the proxy ask for it and pass it on (server.trustedProxies, server.clientCertificateHeader).',
      },
    );
  if (!certificate.trusted)
    throw new Refusal(
      'certificate-untrusted',
      'The client certificate has expired or does not chain to server.tls.clientCaPath.',
      { forLog: 'Renew it, or add the authority that issued it to that file.' },
    );
  if (hash('sha256', certificate.der, 'base64url') !== x5tS256)
    throw new Refusal(
      'certificate-binding',
      'The OpTok is bound to a different certificate than the client presented.',
      {
        forLog: 'Let the client present the certificate with which it gets its OpToks, and get a new OpTok.',
      },
    );
  checkKeySize(certificate.der);
}

/** RSA keys must have 2048 to 8192 bits, as those of proofs. Certificates that do not contain an RSA OID are not parsed. */
function checkKeySize(der: Uint8Array): void {
  const bytes = Buffer.from(der.buffer, der.byteOffset, der.byteLength);
  if (!RSA_KEYS.some((oid) => bytes.includes(oid))) return;
  const bits = rsaBits(der);
  if (bits !== null && (bits < 2048 || bits > 8192))
    throw new Refusal(
      'certificate-untrusted',
      `The client certificate has an RSA key of ${bits} bits; 2048 to 8192 are allowed.`,
    );
}

/** null for another kind of key. */
function rsaBits(der: Uint8Array): number | null {
  try {
    return new X509Certificate(der).publicKey.asymmetricKeyDetails?.modulusLength ?? null;
  } catch {
    throw new Refusal('certificate-untrusted', 'The key of the client certificate cannot be read.');
  }
}
