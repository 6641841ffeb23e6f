/** What the service's own TLS listener is made of: checked here, so that a mistake is found before it listens. */
import type { KeyObject, X509Certificate } from 'node:crypto';
import { PemFault, parseCertificates, parsePrivateKey } from '../platform/pem.ts';

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
  const leaf = attempt('certificates', certificates, (pem) => parseCurrentCertificate(pem, now));
  const privateKey = attempt('key', key, parseKey);
  attempt('clientAuthorities', clientAuthorities, parseCertificates);
  if (leaf !== null && privateKey !== null && !leaf.checkPrivateKey(privateKey))
    faults.push({ source: 'key', message: 'is not the key of the first certificate in server.tls.certPath' });
  return faults;
}

/** Throws for an expired leaf, which no client accepts. The rest of the chain is not checked here: clients need not use it. */
function parseCurrentCertificate(pem: string, now: number): X509Certificate {
  const [leaf] = parseCertificates(pem);
  if (Date.parse(leaf.validTo) / 1000 <= now)
    throw new PemFault(`holds a certificate that expired on ${leaf.validTo}: no client accepts it`);
  return leaf;
}

/** There is no setting for its password. */
function parseKey(pem: string): KeyObject {
  try {
    return parsePrivateKey(pem);
  } catch (cause) {
    if (!(cause instanceof PemFault && cause.isEncrypted)) throw cause;
    throw new PemFault(
      'holds an encrypted private key, which is not supported here: decrypt it with openssl pkey',
    );
  }
}
