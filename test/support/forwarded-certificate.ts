/** A certificate as proxies forward it, and the options of a service that believes proxies in 10.0.0.0/8 and fd00::/8. */
import { BlockList } from 'node:net';
import {
  type CertificateFormat,
  type ForwardedOptions,
  knownCertificateHeaders,
} from '../../src/request/forwarded.ts';
import { ask } from './ask.ts';
import type { Harness } from './service.ts';

/** The certificate of RFC 9440, appendix A. */
export const certificate =
  'MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVy' +
  'bWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0D' +
  'AQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYD' +
  'VR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIw' +
  'HQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCO' +
  'OB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=';
export const der = Buffer.from(certificate, 'base64');
/** Of the certificate, by `openssl x509 -fingerprint -sha256`. */
export const thumbprint = Buffer.from(
  'BFAF1F7E070F9FA8DD62905F158DA73F84A1136624FBAFCC9393C8F7287A69EB',
  'hex',
).toString('base64url');

/** Options by which the header counts; its format is the one that its name implies, where none is given. */
export function forwarded(
  name: string,
  format: CertificateFormat = knownCertificateHeaders.get(name.toLowerCase()) ?? 'rfc9440',
): ForwardedOptions {
  return {
    trustedProxies: privateNetworks(),
    certificateHeader: { name, format },
    addressHeader: 'X-Forwarded-For',
  };
}

/** 10.0.0.0/8 and fd00::/8. */
export function privateNetworks(): BlockList {
  const trustedProxies = new BlockList();
  trustedProxies.addSubnet('10.0.0.0', 8, 'ipv4');
  trustedProxies.addSubnet('fd00::', 8, 'ipv6');
  return trustedProxies;
}

export function toPem(bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

/** A DER sequence of these bytes, whatever they are. */
export function derSequenceOf(content: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(content.length);
  const prefix = content.length < 0x80 ? Buffer.of(0x30, content.length) : Buffer.of(0x30, 0x82, ...length);
  return Buffer.concat([prefix, content]);
}

export const other = derSequenceOf(Buffer.from('another certificate'));

export const pem = toPem(der);
export const good = {
  'Client-Cert': `:${certificate}:`,
  'X-SSL-Client-Cert': encodeURIComponent(pem),
} as const;

/** A request with an OpTok that is bound to the certificate, and these headers. */
export function askFrom(harness: Harness, address: string, headers: Readonly<Record<string, string>>) {
  const opTok = harness.opTok({ claims: { cnf: { 'x5t#S256': thumbprint } } });
  const connection = { address, certificate: null };
  return ask(harness, { opTok, scheme: 'Bearer', proof: null, headers, connection });
}
