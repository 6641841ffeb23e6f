/** A request to the development Authority's token endpoint: its client, its grant and its scope. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { OAuthRefusal } from './oauth-refusal.ts';

export interface DevClient {
  readonly id: string;
  readonly secret: string;
}

/**
 * Reads a client_credentials request (RFC 6749 §4.4.2), authenticates its client by `client_secret_basic` or
 * `client_secret_post`, and returns the scope to issue. Throws OAuthRefusal.
 */
export async function readTokenRequest(request: Request, client: DevClient, scope: string): Promise<string> {
  const type = request.headers.get('content-type') ?? '';
  if (!/^application\/x-www-form-urlencoded *(?:;|$)/i.test(type))
    throw new OAuthRefusal('invalid_request', 'The body is not application/x-www-form-urlencoded.');
  const parameters = new URLSearchParams(await request.text());
  for (const name of new Set(parameters.keys())) {
    if (parameters.getAll(name).length > 1)
      throw new OAuthRefusal('invalid_request', 'A parameter comes more than once.');
  }
  authenticateClient(request.headers.get('authorization'), parameters, client);
  const grantType = parameters.get('grant_type');
  if (grantType === null) throw new OAuthRefusal('invalid_request', 'The parameter grant_type is missing.');
  if (grantType !== 'client_credentials')
    throw new OAuthRefusal('unsupported_grant_type', 'The only grant here is client_credentials.');
  const asked = parameters.get('scope')?.split(' ').filter(Boolean) ?? [];
  if (asked.some((word) => word !== scope))
    throw new OAuthRefusal('invalid_scope', `The only scope here is ${scope}.`);
  return scope;
}

/** RFC 6749 §2.3.1: one of the two ways, not both. */
function authenticateClient(
  authorization: string | null,
  parameters: URLSearchParams,
  client: DevClient,
): void {
  const posted = parameters.get('client_secret');
  if (authorization !== null && posted !== null)
    throw new OAuthRefusal('invalid_request', 'The client authenticates in two ways: one is allowed.');
  const [id, secret] =
    authorization === null ? [parameters.get('client_id'), posted] : parseBasic(authorization);
  // Both are compared, so that the time tells nothing of either.
  const matches = [isSame(id ?? '', client.id), isSame(secret ?? '', client.secret)];
  if (matches.includes(false))
    throw new OAuthRefusal('invalid_client', 'The client is not known, or its secret is another.');
}

function parseBasic(authorization: string): readonly [string, string] {
  const encoded = /^Basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization)?.[1] ?? '';
  const [, id = '', secret = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? [];
  try {
    return [decodeURIComponent(id), decodeURIComponent(secret)];
  } catch {
    return ['', ''];
  }
}

function isSame(found: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(found), digest(expected));
}
