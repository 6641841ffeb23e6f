/** Our proofs, judged by others: oauth4webapi as a resource server, and the service's own verifier. */
import { describe, expect, test } from 'bun:test';
import * as oauth from 'oauth4webapi';
import {
  type DpopKey,
  generateDpopKey,
  makeDpopProof,
  type ProofSubject,
  parseDpopKey,
} from '../../src/client/dpop.ts';
import { ask, expectToken } from '../support/ask.ts';
import { createKey, type TestAlgorithm } from '../support/keys.ts';
import { createHarness, NOW } from '../support/service.ts';
import {
  AUDIENCE,
  decodePart,
  ISSUER,
  opTokMembers,
  REALM,
  SERVICE,
  signMembers,
} from '../support/tokens.ts';

const authorityKey = await createKey('ES256');
const url = `${REALM}?service=${SERVICE}&scope=repository:team-a/app:pull#fragment`;

/** A key file's key and an OpTok that is bound to it. */
async function createSender(algorithm: TestAlgorithm, now: number) {
  const testKey = await createKey(algorithm);
  const key = await parseDpopKey(testKey.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 'k');
  const { header, claims } = opTokMembers(authorityKey, testKey, now);
  return { key, opTok: signMembers(header, claims, authorityKey) };
}

function prove(key: DpopKey, subject: Partial<ProofSubject> = {}, now = NOW): Promise<string> {
  return makeDpopProof(key, { method: 'GET', url, accessToken: null, nonce: null, ...subject }, now);
}

describe.each(['ES256', 'EdDSA', 'RS256'] as const)('a proof by an %s key', (algorithm) => {
  test('is taken by oauth4webapi, with the OpTok that it belongs to', async () => {
    const now = Date.now() / 1000;
    const { key, opTok } = await createSender(algorithm, now);
    const proof = await prove(key, { accessToken: opTok }, now);
    const request = new Request(url, { headers: { Authorization: `DPoP ${opTok}`, DPoP: proof } });
    const keySet = { keys: [{ ...authorityKey.publicJwk, kid: authorityKey.thumbprint, alg: 'ES256' }] };
    const claims = await oauth.validateJwtAccessToken(
      { issuer: ISSUER, jwks_uri: `${ISSUER}/jwks` },
      request,
      AUDIENCE,
      { requireDPoP: true, [oauth.customFetch]: async () => Response.json(keySet) },
    );
    expect(claims.cnf?.jkt).toBe(key.thumbprint);
  });

  test('is taken by the service', async () => {
    const clientKey = await createKey(algorithm);
    const harness = await createHarness({ authorityKey, clientKey });
    const key = await parseDpopKey(JSON.stringify(clientKey.privateJwk), 'client.jwk');
    const opTok = harness.opTok();
    expectToken(await ask(harness, { opTok, proof: await prove(key, { accessToken: opTok }) }));
  });

  test('shows the public key and no other member of it', async () => {
    const { key } = await createSender(algorithm, NOW);
    const { typ, alg, jwk, ...others } = decodePart(await prove(key), 0);
    expect({ typ, alg, others }).toEqual({ typ: 'dpop+jwt', alg: algorithm, others: {} });
    const members = { ES256: 'crv kty x y', EdDSA: 'crv kty x', RS256: 'e kty n' }[algorithm];
    expect(Object.keys(jwk as object).sort()).toEqual(members.split(' '));
  });
});

test('a proof names method and URL, without query and fragment, and the second it was made in', async () => {
  const { jti, ...claims } = decodePart(await prove(await generateDpopKey(), { method: 'POST' }, 1000.9), 1);
  expect(claims).toEqual({ htm: 'POST', htu: REALM, iat: 1000 });
  expect(jti).toMatch(/^[0-9a-f-]{36}$/);
});

test('a proof holds a hash of the access token, and the nonce, where they are given', async () => {
  const key = await generateDpopKey();
  // The example of RFC 9449 §7.1.
  const accessToken = 'Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU';
  const claims = decodePart(await prove(key, { accessToken, nonce: 'eyJ7S_zG' }), 1);
  expect(claims).toMatchObject({ ath: 'fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo', nonce: 'eyJ7S_zG' });
});

test('two proofs of the same second for the same request are not the same', async () => {
  const key = await generateDpopKey();
  const [one, other] = [await prove(key), await prove(key)];
  expect(decodePart(one, 1).jti).not.toBe(decodePart(other, 1).jti);
});

test.each([
  'ftp://registry.example.com/token',
  'registry.example.com/token',
  'https://me:pw@example.com/',
  'https://me@example.com/',
  '',
])('no proof is made for %p', async (text) => {
  const key = await generateDpopKey();
  await expect(prove(key, { url: text })).rejects.toThrow(
    'must be http or https, without user name and password',
  );
});
