/** Makes DPoP proofs (RFC 9449 §4.2): what shows that a request comes from the holder of a key. */
import { createHash, randomUUID } from 'node:crypto';
import { CompactSign } from 'jose';
import { ClientFault } from './client-fault.ts';
import type { DpopKey } from './dpop-key.ts';

export interface ProofSubject {
  /** The method of the request, case included. */
  readonly method: string;
  /** The URL of the request; its query and fragment are left out of the proof. */
  readonly url: string;
  /** The access token that comes with the request; null at the Authority's token endpoint, where there is none. */
  readonly accessToken: string | null;
  /** What the server asked for in `DPoP-Nonce`; null where it did not. */
  readonly nonce: string | null;
}

/** Makes one proof, good for one request. `now` in epoch seconds. Throws ClientFault where the URL is none. */
export async function makeDpopProof(
  key: DpopKey,
  { method, url, accessToken, nonce }: ProofSubject,
  now: number,
): Promise<string> {
  const header = { typ: 'dpop+jwt', alg: key.algorithm, jwk: key.publicJwk };
  const claims = {
    jti: randomUUID(),
    htm: method,
    htu: proofTarget(url),
    iat: Math.floor(now),
    ...(accessToken === null ? {} : { ath: createHash('sha256').update(accessToken).digest('base64url') }),
    ...(nonce === null ? {} : { nonce }),
  };
  return new CompactSign(Buffer.from(JSON.stringify(claims))).setProtectedHeader(header).sign(key.privateKey);
}

/** The `htu` for a URL: without query and fragment. Throws ClientFault where it is no http or https URL. */
export function proofTarget(text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
    throw new ClientFault('a proof is for an http or https URL without user name and password');
  return `${url.origin}${url.pathname}`;
}
