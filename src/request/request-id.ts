/** The name of one request, by which client, proxy and log speak of the same one: `X-Request-ID`. */
import type { ClientConnection } from './client-connection.ts';
import { type ForwardedOptions, isTrusted } from './forwarded.ts';

/**
 * That of a trusted proxy where it is 1 to 128 characters of RFC 3986's unreserved set; else a new one (122 random bits).
 * A stranger's is not believed: it could be that of another request, or anything else that ends up in a log.
 */
export function requestIdOf(headers: Headers, peer: ClientConnection, options: ForwardedOptions): string {
  const given = headers.get('x-request-id');
  if (
    given !== null &&
    /^[A-Za-z0-9._~-]{1,128}$/.test(given) &&
    isTrusted(peer.address, options.trustedProxies)
  )
    return given;
  return crypto.randomUUID();
}
