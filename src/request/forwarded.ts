/** The reverse proxies that the configuration trusts, and the headers that they set. */
import { type BlockList, isIPv4, isIPv6 } from 'node:net';

export interface ForwardedOptions {
  readonly trustedProxies: BlockList;
  readonly certificateHeader: CertificateHeader;
  readonly addressHeader: AddressHeader;
}

/** The header with the client's address. The other one is never read. */
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

/** Headers that proxies use for client certificates, in lower case, with their formats. */
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

/** True if the address belongs to a trusted proxy. */
export function isTrusted(address: string, trustedProxies: BlockList): boolean {
  if (isIPv4(address)) return trustedProxies.check(address, 'ipv4');
  return isIPv6(address) && trustedProxies.check(address, 'ipv6');
}
