/** The response to a granted request. */
import type { RegistryToken } from '../issue/registry-token.ts';
import { Refusal } from '../refusal.ts';
import { formatScope } from '../request/resource-scope.ts';

/** go-containerregistry reads at most 64 KiB of a response. */
const MAX_BODY_BYTES = 64 * 1024;

/** Throws `malformed-scope` if the body would be larger than clients read. */
export function renderToken(issued: RegistryToken, method: 'GET' | 'POST'): Response {
  const body = JSON.stringify({
    token: issued.token,
    access_token: issued.token,
    expires_in: issued.lifetime,
    issued_at: new Date(issued.issuedAt * 1000).toISOString().replace('.000Z', 'Z'),
    ...(method === 'POST' ? { scope: issued.access.map(formatScope).join(' ') } : {}),
  });
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
