/** The one answer to "is this host this machine?", for URLs, Host fields, listen addresses and the addresses of peers. */
import { isIPv4, isIPv6 } from 'node:net';

/**
 * True for a literal address of 127.0.0.0/8, for ::1, for ::ffff:127.x.x.x, and for the name `localhost`. `host` is as a
 * URL, a Host field or a listen address has it: an IPv6 address with or without brackets, a name in any case.
 *
 * `registry.localhost` is not loopback. RFC 6761 §6.3 asks resolvers to treat such names as loopback, but a resolver may
 * also ask DNS for them (glibc without nss-myhostname does), and then another machine can answer. `localhost` itself
 * comes from the hosts file.
 */
export function isLoopback(host: string): boolean {
  if (isIPv4(host)) return host.startsWith('127.');
  const bare = /^\[(.*)\]$/.exec(host)?.[1] ?? host;
  if (!isIPv6(bare)) return host.toLowerCase() === 'localhost';
  const canonical = URL.parse(`http://[${bare}]/`)?.hostname ?? '';
  return canonical === '[::1]' || /^\[::ffff:7f[\da-f]{2}:[\da-f]{1,4}\]$/.test(canonical);
}

/** https, or http on loopback, and no user name or password: what is sent there cannot be read on the way. */
export function isSecureUrl(url: URL | null): boolean {
  if (url === null || url.username !== '' || url.password !== '') return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
}
