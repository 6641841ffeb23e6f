/** The answer to a request that was granted. */
import type { RegistryToken } from '../issue/registry-token.ts';
import { Refusal } from '../refusal.ts';
import { formatScope } from '../request/resource-scope.ts';

/** Clients read at most this much of an answer (go-containerregistry). */
const MAX_BODY_BYTES = 64 * 1024;

/** Throws `malformed-scope` where the answer would be larger than what clients read. */
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
      `So many scopes make an answer of more than ${MAX_BODY_BYTES} bytes.`,
    );
  return new Response(body, {
    status: 200,
    headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' },
  });
}
