/** Clients of the Authority by other hands than ours: openid-client gets the OpToks, `dpop` makes the proofs. */
import { generateKeyPair, generateProof, type JWSAlgorithm, type KeyPair } from 'dpop';
import * as client from 'openid-client';
import { AUTHORITY_SCOPE, type Authority } from './authority.ts';

export interface DpopClient {
  readonly keyPair: KeyPair;
  /** A DPoP-bound access token of the Authority. */
  readonly opTok: string;
  /** A new proof for a GET of `url` with the client's OpTok, or with one that is not its own. */
  readonly proof: (url: string, opTok?: string) => Promise<string>;
}

/** Makes a key, and gets an OpTok that is bound to it. */
export async function createDpopClient(
  authority: Authority,
  clientId: string,
  algorithm: JWSAlgorithm = 'ES256',
): Promise<DpopClient> {
  const keyPair = await generateKeyPair(algorithm, { extractable: true });
  const configuration = await discover(authority, clientId);
  const DPoP = client.getDPoPHandle(configuration, keyPair);
  const { access_token: opTok } = await client.clientCredentialsGrant(
    configuration,
    { scope: AUTHORITY_SCOPE },
    { DPoP },
  );
  return {
    keyPair,
    opTok,
    proof: (url, sentOpTok = opTok) => generateProof(keyPair, url, 'GET', undefined, sentOpTok),
  };
}

/** GETs `url` as openid-client does with any resource: scheme, proof and retry with a nonce are its own. */
export async function getByProtectedRequest(
  authority: Authority,
  { keyPair, opTok }: DpopClient,
  url: string,
): Promise<Response> {
  const configuration = await discover(authority, 'any-client');
  const DPoP = client.getDPoPHandle(configuration, keyPair);
  return client.fetchProtectedResource(configuration, opTok, new URL(url), 'GET', null, undefined, { DPoP });
}

function discover(authority: Authority, clientId: string): Promise<client.Configuration> {
  const authentication = client.ClientSecretBasic(authority.clientSecret);
  const options = { execute: [client.allowInsecureRequests] };
  return client.discovery(new URL(authority.issuer), clientId, undefined, authentication, options);
}
