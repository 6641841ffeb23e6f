/** The ID of a request (`X-Request-ID`): the same for client, proxy and log. */
import type { ClientConnection } from './client-connection.ts';
import { type ForwardedOptions, isTrusted } from './forwarded.ts';

/**
 * Returns the ID that a trusted proxy sent, if it is 1 to 128 unreserved characters (RFC 3986 §2.3), else a new one with 122
 * random bits. An ID from anyone else is ignored: it could repeat another request's, or put arbitrary text into the log.
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
