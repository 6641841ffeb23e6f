/** The certificate that a client shows in TLS, and the certificate authorities that it trusts. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { ClientFault } from './client-fault.ts';
import type { HttpOptions } from './http.ts';
import { readTextFile } from './read-file.ts';

/** Reads a certificate (PEM, with its chain) and its key (PEM). Throws ClientFault where they do not fit. */
export function loadClientCertificate(
  certificatePath: string,
  keyPath: string,
): NonNullable<HttpOptions['clientCertificate']> {
  const certificate = readTextFile(certificatePath, 'the client certificate');
  const key = readTextFile(keyPath, "the client certificate's key");
  if (!parseCertificate(certificate, certificatePath).checkPrivateKey(parseKey(key, keyPath)))
    throw new ClientFault(`the key in ${keyPath} is not that of the first certificate in ${certificatePath}`);
  return { certificate, key };
}

/** Reads the certificate authorities to trust (PEM). */
export function loadCertificateAuthorities(path: string): string {
  const text = readTextFile(path, 'the certificate authority');
  parseCertificate(text, path);
  return text;
}

function parseCertificate(text: string, path: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch {
    throw new ClientFault(`${path} holds no PEM certificate`);
  }
}

function parseKey(text: string, path: string): KeyObject {
  try {
    return createPrivateKey({ key: text, format: 'pem' });
  } catch {
    throw new ClientFault(
      `${path} ${text.includes('ENCRYPTED') ? 'is encrypted; decrypt it first' : 'holds no PEM private key'}`,
    );
  }
}
