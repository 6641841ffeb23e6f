/**
 * What a reverse proxy says of its client: the address (`X-Forwarded-For`) and the certificate (`Client-Cert` of
 * RFC 9440, or nginx's escaped PEM). Believed only from the proxies that the configuration trusts.
 */
import { type BlockList, isIPv4, isIPv6 } from 'node:net';
import { Refusal } from '../refusal.ts';
import type { ClientCertificate, ClientConnection } from './client-connection.ts';

export interface ForwardedOptions {
  readonly trustedProxies: BlockList;
  readonly certificateHeader: CertificateHeader;
}

export type CertificateHeader = 'Client-Cert' | 'X-SSL-Client-Cert';

const certificateHeaders = ['Client-Cert', 'Client-Cert-Chain', 'X-SSL-Client-Cert'] as const;

/** True where this peer is one of the trusted proxies. */
export function isTrusted(address: string, { trustedProxies }: ForwardedOptions): boolean {
  if (isIPv4(address)) return trustedProxies.check(address, 'ipv4');
  return isIPv6(address) && trustedProxies.check(address, 'ipv6');
}

/**
 * The client's address: the peer's, or where that is a trusted proxy, the last entry of `X-Forwarded-For` that is
 * none. Counted from the right, because everything left of an entry was written by whoever sent it.
 */
export function clientAddress(headers: Headers, peer: ClientConnection, options: ForwardedOptions): string {
  let address = peer.address;
  const entries =
    headers
      .get('x-forwarded-for')
      ?.split(',')
      .map((entry) => entry.trim()) ?? [];
  while (isTrusted(address, options)) {
    const entry = entries.pop();
    if (entry === undefined || !(isIPv4(entry) || isIPv6(entry))) break;
    address = entry;
  }
  return address;
}

/**
 * The client's certificate: that of the connection, or where the peer is a trusted proxy, the one in the header
 * that the proxy writes. Throws `certificate-untrusted` for a certificate header from anyone else, for one that is
 * not configured, and for one that cannot be read.
 */
export function clientCertificate(
  headers: Headers,
  peer: ClientConnection,
  options: ForwardedOptions,
): ClientCertificate | null {
  const trusted = isTrusted(peer.address, options);
  for (const name of certificateHeaders) {
    if (!headers.get(name)) continue;
    if (!trusted)
      throw untrusted(`The header ${name} comes from ${peer.address}, which is not in server.trustedProxies`);
    // RFC 9440 has the chain beside its certificate.
    const expected = name === 'Client-Cert-Chain' ? 'Client-Cert' : name;
    if (expected !== options.certificateHeader)
      throw untrusted(`The header ${name} is not server.clientCertificateHeader; the proxy must remove it`);
  }
  // A trusted proxy's own certificate is not its client's.
  if (!trusted) return peer.certificate;
  const value = headers.get(options.certificateHeader);
  if (!value) {
    if (headers.get('Client-Cert-Chain'))
      throw untrusted('The header Client-Cert-Chain comes without Client-Cert');
    return null;
  }
  const der = options.certificateHeader === 'Client-Cert' ? parseByteSequence(value) : parseEscapedPem(value);
  if (der === null) throw untrusted(`The header ${options.certificateHeader} does not hold one certificate`);
  return { der, trusted: true };
}

/** RFC 9440 §2.1: a byte sequence of RFC 8941 §3.3.5, one and no list. */
function parseByteSequence(value: string): Uint8Array | null {
  return decodeBase64(/^:([^:]+):$/.exec(value)?.[1]);
}

/** nginx's `$ssl_client_escaped_cert`: one PEM certificate, URL-escaped. */
function parseEscapedPem(value: string): Uint8Array | null {
  if (!/^(?:[A-Za-z0-9._~!*'()+/=-]|%[0-9A-Fa-f]{2})+$/.test(value)) return null;
  let pem: string;
  try {
    pem = decodeURIComponent(value);
  } catch {
    return null;
  }
  const body = /^-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----\s*$/.exec(
    pem,
  )?.[1];
  return decodeBase64(body?.replace(/[\r\n]/g, ''));
}

/** Padded base64 of one whole DER sequence; null for anything else. */
function decodeBase64(text: string | undefined): Uint8Array | null {
  if (text === undefined || text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return null;
  const der = Buffer.from(text, 'base64');
  return isOneSequence(der) ? der : null;
}

/** Nothing is cut off and nothing follows: the tag of a SEQUENCE, and its length by X.690 §8.1.3. */
function isOneSequence(der: Buffer): boolean {
  if (der.length < 4 || der[0] !== 0x30) return false;
  const first = der.readUInt8(1);
  if (first < 0x80) return der.length === 2 + first;
  const lengthBytes = first - 0x80;
  if (lengthBytes < 1 || lengthBytes > 2) return false;
  return der.length === 2 + lengthBytes + der.readUIntBE(2, lengthBytes);
}

function untrusted(fault: string): Refusal {
  return new Refusal('certificate-untrusted', `${fault}.`);
}
