/** What the service's own TLS listener is made of: checked here, so that a mistake is found before it listens. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

/** The files' contents, all PEM. */
export interface TlsMaterial {
  /** The server's own certificate first, then its chain. */
  readonly certificates: string;
  readonly key: string;
  /** Who may vouch for a client certificate; null where any certificate counts that the client has the key of. */
  readonly clientAuthorities: string | null;
}

export interface TlsFault {
  readonly source: keyof TlsMaterial;
  /** In words that name no secret. */
  readonly message: string;
}

/**
 * Everything that is wrong with the texts that are there; nothing where a listener can use them. `now` in epoch
 * seconds. Whether clients trust the certificate, or find their name in it, is not checked: that is theirs to say.
 */
export function findTlsFaults(
  { certificates, key, clientAuthorities }: { readonly [Source in keyof TlsMaterial]: string | null },
  now: number,
): TlsFault[] {
  const faults: TlsFault[] = [];
  const attempt = <Value>(source: keyof TlsMaterial, text: string | null, parse: (text: string) => Value) => {
    if (text === null) return null;
    try {
      return parse(text);
    } catch (cause) {
      if (!(cause instanceof PemFault)) throw cause;
      faults.push({ source, message: cause.message });
      return null;
    }
  };
  const leaf = attempt('certificates', certificates, (pem) => currentCertificate(pem, now));
  const privateKey = attempt('key', key, parsePrivateKey);
  attempt('clientAuthorities', clientAuthorities, parseCertificates);
  if (leaf !== null && privateKey !== null && !leaf.checkPrivateKey(privateKey))
    faults.push({ source: 'key', message: 'is not the key of the first certificate in server.tls.certPath' });
  return faults;
}

class PemFault extends Error {}

/** The leaf. An expired one is no use; the chain's are left to the clients, which need not look at each. */
function currentCertificate(pem: string, now: number): X509Certificate {
  const leaf = parseCertificates(pem);
  if (Date.parse(leaf.validTo) / 1000 <= now)
    throw new PemFault(`holds a certificate that ended on ${leaf.validTo}: no client takes it`);
  return leaf;
}

/** Returns the first; all must be readable. */
function parseCertificates(pem: string): X509Certificate {
  const [first, ...rest] = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (first === undefined) throw new PemFault('holds no PEM certificate');
  try {
    for (const block of rest) new X509Certificate(block);
    return new X509Certificate(first);
  } catch {
    throw new PemFault('holds a certificate that cannot be read');
  }
}

function parsePrivateKey(pem: string): KeyObject {
  if (!pem.includes('PRIVATE KEY-----')) throw new PemFault('holds no PEM private key');
  if (pem.includes('ENCRYPTED'))
    throw new PemFault('holds an encrypted key, and there is no password for it: openssl pkey opens it');
  try {
    return createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    throw new PemFault('holds a private key that cannot be read');
  }
}
