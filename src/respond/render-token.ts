/** The response to a granted request. */
import type { RegistryToken } from '../issue/registry-token.ts';
import { Refusal } from '../refusal.ts';
import { formatScope } from '../request/resource-scope.ts';

/** go-containerregistry reads at most 64 KiB of a response. */
const MAX_BODY_BYTES = 64 * 1024;

/** Throws `malformed-scope` if the body would be larger than clients read. */
export function renderToken(issued: RegistryToken, method: 'GET' | 'POST'): Response {
  const { token, lifetime } = issued;
  const issuedAt = new Date(issued.issuedAt * 1000).toISOString().replace('.000Z', 'Z');
  const scope =
    method === 'POST' ? `,"scope":${JSON.stringify(issued.access.map(formatScope).join(' '))}` : '';
  // A compact JWS has no character that JSON escapes.
  const body = `{"token":"${token}","access_token":"${token}","expires_in":${lifetime},"issued_at":"${issuedAt}"${scope}}`;
  if (body.length >= MAX_BODY_BYTES)
    throw new Refusal(
      'malformed-scope',
      `The response would be larger than ${MAX_BODY_BYTES} bytes. Request fewer scopes.`,
    );
  return new Response(body, {
    status: 200,
    headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' },
  });
}
