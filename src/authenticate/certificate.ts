/** The binding of an OpTok to the sender's TLS certificate (RFC 8705 §3). */
import { createHash } from 'node:crypto';
import { Refusal } from '../refusal.ts';
import type { ClientCertificate } from '../request/client-connection.ts';

/** Throws `certificate-missing`, `certificate-untrusted` or `certificate-binding`. */
export function checkCertificateBinding(x5tS256: string, certificate: ClientCertificate | null): void {
  if (certificate === null)
    throw new Refusal(
      'certificate-missing',
      'The OpTok is bound to a certificate and the client showed none.',
    );
  if (!certificate.trusted)
    throw new Refusal(
      'certificate-untrusted',
      'The client certificate does not chain to server.tls.clientCaPath.',
    );
  if (createHash('sha256').update(certificate.der).digest('base64url') !== x5tS256)
    throw new Refusal(
      'certificate-binding',
      'The OpTok is bound to another certificate than the client showed.',
    );
}
