/** What an OpTok says of the certificate it is bound to (RFC 8705 §3.1). Reads it only; the service is who verifies. */
import { createHash, X509Certificate } from 'node:crypto';
import { ClientFault } from './client-fault.ts';

/**
 * Throws ClientFault unless the OpTok is bound to this certificate (PEM): to a stock client, to a cache, or to the realm
 * that some registry names, goes nothing that whoever copies it could use.
 */
export function checkCertificateBinding(accessToken: string, certificate: string): void {
  const { cnf } = claimsOf(accessToken);
  const found =
    typeof cnf === 'object' && cnf !== null ? (cnf as Record<string, unknown>)['x5t#S256'] : undefined;
  if (found === certificateThumbprint(certificate)) return;
  throw new ClientFault(
    `OpTok: the Authority gave one that is ${found === undefined ? 'not bound to a' : 'bound to another'} ` +
      "certificate; let it bind this client's access tokens to its certificate " +
      '(tls_client_certificate_bound_access_tokens)',
  );
}

/** The SHA-256 of the certificate's DER, in base64url: the first of the chain in a PEM. */
export function certificateThumbprint(certificate: string): string {
  return createHash('sha256').update(new X509Certificate(certificate).raw).digest('base64url');
}

function claimsOf(accessToken: string): Readonly<Record<string, unknown>> {
  try {
    const claims: unknown = JSON.parse(
      Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString('utf8'),
    );
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
