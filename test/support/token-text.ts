/** Token requests as text, each with a proof of its own, for a service that the bench has started. */
import type { LoadTarget } from '../bench/load.ts';
import { queryOf } from '../bench/requests.ts';
import { opTokMembers, proofMembers, signWith } from './tokens.ts';

/** Makes the text of one request after the other, with an OpTok that all of them share. */
export function tokenRequests({ cell, claims, parties, service }: LoadTarget): () => string {
  const { authority, clients } = parties;
  const [client] = clients;
  if (client === undefined) throw new Error('A cell has at least one client.');
  const now = () => Date.now() / 1000;
  const opTok = signWith(opTokMembers(authority, client, now()), authority, {
    claims: { iss: claims.issuer, aud: claims.audience },
  });
  const path = `/token?${queryOf(cell, service)}`;
  return () => {
    const proof = signWith(proofMembers(client, opTok, now()), client, { claims: { htu: claims.realm } });
    return `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: DPoP ${opTok}\r\nDPoP: ${proof}\r\n\r\n`;
  };
}
