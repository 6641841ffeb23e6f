/** What the configuration says of reverse proxies: which ones are believed, and in which headers they write. */
import { type BlockList, isIPv4, isIPv6 } from 'node:net';

export interface ForwardedOptions {
  readonly trustedProxies: BlockList;
  readonly certificateHeader: CertificateHeader;
  readonly addressHeader: AddressHeader;
}

/** The header in which proxies write their client's address; the other one is never read. */
export type AddressHeader = 'X-Forwarded-For' | 'Forwarded';

export interface CertificateHeader {
  readonly name: string;
  readonly format: CertificateFormat;
}

/**
 * `rfc9440`: a byte sequence, `:base64:`. `pem-escaped`: URL-escaped PEM, or PEM with spaces in place of line ends.
 * `der-base64`: bare base64 of the DER, URL-escaped or not. `xfcc`: Envoy's list of `key=value` elements.
 */
export const certificateFormats = ['rfc9440', 'pem-escaped', 'der-base64', 'xfcc'] as const;
export type CertificateFormat = (typeof certificateFormats)[number];

/** The headers that proxies use for a client certificate and nothing else, with their formats; in lower case. */
export const knownCertificateHeaders: ReadonlyMap<string, CertificateFormat> = new Map([
  ['client-cert', 'rfc9440'],
  ['ssl-client-cert', 'pem-escaped'],
  ['x-ssl-client-cert', 'pem-escaped'],
  ['x-amzn-mtls-clientcert', 'pem-escaped'],
  ['x-amzn-mtls-clientcert-leaf', 'pem-escaped'],
  ['x-forwarded-tls-client-cert', 'der-base64'],
  ['cf-client-cert-der-base64', 'der-base64'],
  ['x-forwarded-client-cert', 'xfcc'],
]);

/** True where this peer is one of the trusted proxies. */
export function isTrusted(address: string, trustedProxies: BlockList): boolean {
  if (isIPv4(address)) return trustedProxies.check(address, 'ipv4');
  return isIPv6(address) && trustedProxies.check(address, 'ipv6');
}
