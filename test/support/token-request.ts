/** The token request over HTTP, as a client of RFC 9449 makes it. */
import type { DpopClient } from './authority-client.ts';
import { REGISTRY_SERVICE } from './running-service.ts';

/** `http://…/token?service=…&scope=…`. */
export function tokenUrl(realm: string, scopes: readonly string[]): string {
  const query = new URLSearchParams({ service: REGISTRY_SERVICE });
  for (const scope of scopes) query.append('scope', scope);
  return `${realm}?${query}`;
}

/** GETs with `Authorization: DPoP`, and a new proof where none is given. */
export async function requestToken(
  realm: string,
  { opTok, proof }: Pick<DpopClient, 'opTok' | 'proof'>,
  scopes: readonly string[],
  usedProof?: string,
): Promise<Response> {
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: usedProof ?? (await proof(realm)) };
  return fetch(tokenUrl(realm, scopes), { headers });
}

/** The registry token for these scopes. Throws with the answer where there is none. */
export async function obtainToken(
  realm: string,
  client: DpopClient,
  scopes: readonly string[],
): Promise<string> {
  const response = await requestToken(realm, client, scopes);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`The service answered ${response.status}: ${text}`);
  const { token } = JSON.parse(text) as { token?: unknown };
  if (typeof token !== 'string') throw new Error('The answer has no token.');
  return token;
}
