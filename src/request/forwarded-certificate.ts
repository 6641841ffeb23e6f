/** The client certificate that a trusted proxy forwards in a header. */
import { Refusal } from '../refusal.ts';
import type { ClientCertificate, ClientConnection } from './client-connection.ts';
import {
  type CertificateFormat,
  type CertificateHeader,
  type ForwardedOptions,
  isTrusted,
  knownCertificateHeaders,
} from './forwarded.ts';

const CHAIN = 'client-cert-chain';

/**
 * Known headers are refused, not ignored, if they are not the configured one: the sender expects them to count. The exception
 * is `X-Forwarded-Client-Cert`, which service meshes add to every request.
 */
const refusedElsewhere = [...knownCertificateHeaders.keys(), CHAIN].filter(
  (name) => name !== 'x-forwarded-client-cert',
);

/** In characters. Bun answers 431 to more than about 16 KiB of headers. */
const MAX_LENGTH = 16 * 1024;

/**
 * Returns the client certificate of the connection or, if the peer is a trusted proxy, the one in the configured header.
 * Throws `certificate-untrusted` for a certificate header from anyone else, for a known header that is not the configured
 * one, and for a value that cannot be read.
 */
export function clientCertificate(
  headers: Headers,
  peer: ClientConnection,
  options: ForwardedOptions,
): ClientCertificate | null {
  const trusted = isTrusted(peer.address, options.trustedProxies);
  const { name, format } = options.certificateHeader;
  const value = headers.get(name);
  const isGiven = !isNoCertificate(value);
  if (isGiven && !trusted) throw fromStranger(name, peer);
  checkOtherHeaders(headers, peer, trusted, options.certificateHeader);
  // The certificate of a trusted proxy itself is not its client's.
  if (!trusted) return peer.certificate;
  if (!isGiven || value === null) {
    if (!isNoCertificate(headers.get(CHAIN)))
      throw untrusted('The request has the header Client-Cert-Chain without Client-Cert');
    return null;
  }
  return { der: parseCertificate(value, name, format), trusted: true };
}

/** RFC 9440 §2.4: `Client-Cert` comes with `Client-Cert-Chain`; no other two certificate headers come together. */
function checkOtherHeaders(
  headers: Headers,
  peer: ClientConnection,
  trusted: boolean,
  { name: configured }: CertificateHeader,
): void {
  const expected = configured.toLowerCase();
  for (const name of refusedElsewhere) {
    if (name === expected || isNoCertificate(headers.get(name))) continue;
    if (!trusted) throw fromStranger(name, peer);
    if (name !== CHAIN || expected !== 'client-cert')
      throw untrusted(
        `The request has the header ${name}, and server.clientCertificateHeader is ${configured}: the proxy must remove ${name}`,
      );
  }
}

/** Proxies without a client certificate send nothing, an empty byte sequence (Caddy, HAProxy) or `(null)` (Apache). */
function isNoCertificate(value: string | null): boolean {
  return value === null || value === '' || value === '::' || value === '(null)';
}

function parseCertificate(value: string, name: string, format: CertificateFormat): Uint8Array {
  if (value.length > MAX_LENGTH)
    throw untrusted(`The header ${name} is longer than ${MAX_LENGTH} characters`);
  const text = format === 'xfcc' ? lastCert(value, name) : value;
  const der = text === null ? null : parsers[format](text);
  if (der === null) throw untrusted(`The header ${name} does not hold exactly one certificate as ${format}`);
  return der;
}

const parsers: Readonly<Record<CertificateFormat, (text: string) => Uint8Array | null>> = {
  rfc9440: parseByteSequence,
  'pem-escaped': parsePem,
  'der-base64': parseBase64,
  xfcc: parsePem,
};

/** RFC 9440 §2.1: exactly one byte sequence (RFC 8941 §3.3.5). */
function parseByteSequence(value: string): Uint8Array | null {
  return decodeBase64(/^:([^:]+):$/.exec(value)?.[1]);
}

/** One PEM certificate, URL-escaped (nginx, Envoy, AWS) or with spaces in place of line ends (Apache). */
function parsePem(value: string): Uint8Array | null {
  const body =
    /^-----BEGIN CERTIFICATE-----(?:\r?\n| )([A-Za-z0-9+/=\r\n ]+)-----END CERTIFICATE-----\s*$/.exec(
      decodeEscapes(value) ?? '',
    )?.[1];
  return decodeBase64(body?.replace(/[\r\n ]/g, ''));
}

/** The base64 between the lines of a PEM certificate, URL-escaped (Traefik) or plain (Cloudflare). */
function parseBase64(value: string): Uint8Array | null {
  return decodeBase64(decodeEscapes(value) ?? undefined);
}

/** Decodes URL-escaped text. A plus sign stays one. Returns null for a broken escape. */
function decodeEscapes(value: string): string | null {
  if (!/^(?:[A-Za-z0-9._~!*'()+/= -]|%[0-9A-Fa-f]{2})+$/.test(value)) return null;
  try {
    return decodeURIComponent(value);
  } catch {
    return null;
  }
}

/** Keys whose values Envoy takes from the client's certificate as they are, quotes included. */
const CLIENT_NAMES = new Set(['uri', 'dns', 'san']);

/**
 * The `Cert` of the last element of Envoy's list, which the nearest proxy added; null for any other text. Commas separate
 * elements and semicolons separate pairs; a quoted value may contain both, and `\"`.
 *
 * Envoy does not quote the names of URI and DNS, which were chosen by whoever issued the certificate: a `Cert` after them may be
 * part of such a name, and is refused.
 */
function lastCert(value: string, name: string): string | null {
  const pair = /([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^",;]*)(;|,\s*|$)/y;
  let certs: string[] = [];
  let isAfterName = false;
  while (pair.lastIndex < value.length) {
    const [, key, text, separator] = pair.exec(value) ?? [];
    if (key === undefined || text === undefined || separator === undefined) return null;
    if (key.toLowerCase() === 'cert') {
      if (isAfterName)
        throw untrusted(
          `The header ${name} has a Cert after a URI or DNS name, which may contain it: set forward_client_cert_details to SANITIZE_SET`,
        );
      certs.push(text.replace(/^"(.*)"$/, '$1'));
    }
    isAfterName ||= CLIENT_NAMES.has(key.toLowerCase());
    if (separator.startsWith(',')) certs = [];
  }
  const [cert] = certs;
  if (cert === undefined || cert === '')
    throw untrusted(
      `The last element of the header ${name} has no Cert: set cert: true in set_current_client_cert_details`,
    );
  return certs.length === 1 ? cert : null;
}

/** Decodes padded base64 of exactly one DER sequence; null for anything else. */
function decodeBase64(text: string | undefined): Uint8Array | null {
  if (text === undefined || text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return null;
  const der = Buffer.from(text, 'base64');
  return isOneSequence(der) ? der : null;
}

/** True if the bytes are a SEQUENCE of exactly this length (X.690 §8.1.3). */
function isOneSequence(der: Buffer): boolean {
  if (der.length < 4 || der[0] !== 0x30) return false;
  const first = der.readUInt8(1);
  if (first < 0x80) return der.length === 2 + first;
  const lengthBytes = first - 0x80;
  if (lengthBytes < 1 || lengthBytes > 2) return false;
  return der.length === 2 + lengthBytes + der.readUIntBE(2, lengthBytes);
}

function fromStranger(name: string, { address }: ClientConnection): Refusal {
  return untrusted(`The header ${name} came from ${address}, which is not in server.trustedProxies`);
}

function untrusted(fault: string): Refusal {
  return new Refusal('certificate-untrusted', `${fault}.`);
}
