/** Whether the client certificate of an open connection is still trusted. */
import { X509Certificate } from 'node:crypto';
import { parseCertificates } from '../platform/pem.ts';
import type { ClientCertificate } from '../request/client-connection.ts';

/** The certificates of `server.tls.clientCaPath`. */
export class ClientAuthorities {
  readonly #certificates: readonly X509Certificate[];

  /** Throws PemFault where `pem` holds no certificates. */
  constructor(pem: string) {
    this.#certificates = parseCertificates(pem);
  }

  /** Whether it holds every certificate that `other` holds. */
  covers(other: ClientAuthorities): boolean {
    if (other === this) return true;
    const own = new Set(this.#certificates.map(({ fingerprint256 }) => fingerprint256));
    return other.#certificates.every(({ fingerprint256 }) => own.has(fingerprint256));
  }

  /** When the next of its certificates ends after `now`, in epoch seconds. */
  nextEnd(now: number): number {
    return Math.min(...this.#certificates.map(endOf).filter((end) => end > now));
  }

  /** Whether one of them, itself in date, has issued this certificate directly. */
  haveIssued(certificate: X509Certificate, now: number): boolean {
    return this.#certificates.some(
      (authority) =>
        authority.ca &&
        startOf(authority) <= now &&
        now < endOf(authority) &&
        certificate.checkIssued(authority) &&
        certificate.verify(authority.publicKey),
    );
  }
}

/** What the listener trusts at this moment. */
export interface TrustInForce {
  /** null where any certificate counts that the client has the key of. */
  readonly authorities: ClientAuthorities | null;
  /** Epoch seconds. */
  readonly now: number;
}

export interface Handshake {
  readonly certificate: X509Certificate;
  /** The authorities by which the chain was verified (RFC 5280 §6); null where it was not, or the verification failed. */
  readonly verifiedBy: ClientAuthorities | null;
}

/**
 * The certificate of a connection. The TLS library verifies its chain in the handshake and does not hand it over, so the chain
 * cannot be verified again. It stays trusted while the certificate is in date and one of these holds: all authorities of the
 * handshake are still in force and in date; or an authority in force has issued the certificate itself. Otherwise it is
 * untrusted, and the client must connect again. The end of an intermediate certificate is not checked after the handshake.
 */
export class ConnectionCertificate implements ClientCertificate {
  readonly der: Uint8Array;
  readonly #verifiedBy: ClientAuthorities | null;
  readonly #inForce: () => TrustInForce;
  readonly #end: number;
  readonly #authoritiesEnd: number;

  constructor({ certificate, verifiedBy }: Handshake, inForce: () => TrustInForce) {
    this.der = certificate.raw;
    this.#verifiedBy = verifiedBy;
    this.#inForce = inForce;
    this.#end = endOf(certificate);
    this.#authoritiesEnd = verifiedBy?.nextEnd(inForce().now) ?? 0;
  }

  /** By the authorities in force and the time at this moment. */
  get trusted(): boolean {
    const { authorities, now } = this.#inForce();
    if (authorities === null) return true;
    if (this.#verifiedBy === null || now >= this.#end) return false;
    if (now < this.#authoritiesEnd && authorities.covers(this.#verifiedBy)) return true;
    return authorities.haveIssued(new X509Certificate(this.der), now);
  }
}

function startOf({ validFrom }: X509Certificate): number {
  return Date.parse(validFrom) / 1000;
}

function endOf({ validTo }: X509Certificate): number {
  return Date.parse(validTo) / 1000;
}
