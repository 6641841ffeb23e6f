/** The certificate that a client shows in TLS, and the certificate authorities that it trusts. */

import { PemFault, parseCertificates, parsePrivateKey } from '../platform/pem.ts';
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
  const [leaf] = parse(certificatePath, certificate, parseCertificates);
  if (!leaf.checkPrivateKey(parse(keyPath, key, (text) => parsePrivateKey(text))))
    throw new ClientFault(`the key in ${keyPath} is not that of the first certificate in ${certificatePath}`);
  return { certificate, key };
}

/** Reads the certificate authorities to trust (PEM). */
export function loadCertificateAuthorities(path: string): string {
  const text = readTextFile(path, 'the certificate authority');
  parse(path, text, parseCertificates);
  return text;
}

function parse<Value>(path: string, text: string, read: (text: string) => Value): Value {
  try {
    return read(text);
  } catch (cause) {
    if (!(cause instanceof PemFault)) throw cause;
    throw new ClientFault(`${path} ${cause.message}${cause.isEncrypted ? '; decrypt it first' : ''}`);
  }
}
