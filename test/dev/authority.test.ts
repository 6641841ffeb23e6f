/** The development Authority as its clients see it: no port, a request in and a response out. */
import { beforeEach, describe, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { createDevAuthority, type DevAuthority, type DevAuthorityAnswer } from '../../src/dev/authority.ts';
import { createKey, ecdsaTwin, type TestKey } from '../support/keys.ts';
import { type Members, type Overrides, signWith } from '../support/tokens.ts';

const ISSUER = 'http://127.0.0.1:8086';
const NOW = 1_800_000_000;
const SECRET = 'a-secret-of-the-tests';
const authorityKey = await createKey('ES256');
const clientKey = await createKey('ES256');
const otherKey = await createKey('ES256');
const rsaKey = await createKey('RS256');
const { d: _exponent, ...primes } = rsaKey.privateJwk;

let now: number;
let answers: DevAuthorityAnswer[];
let authority: DevAuthority;

beforeEach(async () => {
  now = NOW;
  answers = [];
  authority = await createDevAuthority({
    issuer: ISSUER,
    privateKey: authorityKey.privateKey,
    client: { id: 'dev', secret: SECRET },
    clock: () => now,
    record: (answer) => answers.push(answer),
  });
});

function makeProof(overrides: Overrides = {}, key: TestKey = clientKey): string {
  const header = { typ: 'dpop+jwt', alg: key.algorithm, jwk: key.publicJwk };
  const claims = { jti: randomUUID(), htm: 'POST', htu: `${ISSUER}/token`, iat: NOW };
  return signWith({ header, claims }, key, overrides);
}

interface Ask {
  readonly form?: Readonly<Record<string, string>>;
  readonly proof?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Asks for a token as a good client does, unless told otherwise. */
function ask({ form, proof = makeProof(), headers = basic('dev', SECRET) }: Ask = {}): Promise<Response> {
  const body = new URLSearchParams(form ?? { grant_type: 'client_credentials' });
  const proofHeader: Record<string, string> = proof === null ? {} : { DPoP: proof };
  return authority(
    new Request(`${ISSUER}/token`, { method: 'POST', body, headers: { ...proofHeader, ...headers } }),
  );
}

function basic(id: string, secret: string) {
  return { Authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` };
}

async function expectRefusal(answer: Promise<Response>, status: number, error: string): Promise<string> {
  const response = await answer;
  const body = (await response.json()) as { error: string; error_description: string };
  expect({ status: response.status, error: body.error }).toEqual({ status, error });
  expect(response.headers.get('cache-control')).toBe('no-store');
  expect(answers.at(-1)).toEqual({ error, description: body.error_description } as DevAuthorityAnswer);
  return body.error_description;
}

async function get(path: string): Promise<Members> {
  const response = await authority(new Request(`${ISSUER}${path}`));
  expect(response.status).toBe(200);
  return (await response.json()) as Members;
}

describe('metadata', () => {
  test('is the same in both places and names the endpoints below the issuer', async () => {
    const metadata = await get('/.well-known/openid-configuration');
    expect(metadata).toMatchObject({
      issuer: ISSUER,
      token_endpoint: `${ISSUER}/token`,
      jwks_uri: `${ISSUER}/jwks`,
      grant_types_supported: ['client_credentials'],
    });
    expect(await get('/.well-known/oauth-authorization-server')).toEqual(metadata);
  });

  test('the key set holds no private member', async () => {
    const { keys } = (await get('/jwks')) as unknown as JSONWebKeySet;
    expect(keys.map((key) => Object.keys(key).sort())).toEqual([
      ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'],
    ]);
  });

  test('says at its front door that it is for development only', async () => {
    expect(await (await authority(new Request(`${ISSUER}/`))).text()).toContain('For development only');
  });

  test.each([
    ['GET', '/token', 405, 'POST'],
    ['POST', '/jwks', 405, 'GET, HEAD'],
    ['GET', '/authorize', 404, null],
  ])('answers %s %s with %d', async (method, path, status, allow) => {
    const response = await authority(new Request(`${ISSUER}${path}`, { method }));
    expect({ status: response.status, allow: response.headers.get('allow') }).toEqual({ status, allow });
  });
});

describe('issues an access token', () => {
  test('by RFC 9068, bound to the key of the proof, for five minutes', async () => {
    const response = await ask();
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toBe('no-store');
    const { access_token: opTok, ...rest } = (await response.json()) as { access_token: string };
    expect(rest as Members).toEqual({ token_type: 'DPoP', expires_in: 300, scope: 'registry.token.issue' });
    const jwks = createLocalJWKSet((await get('/jwks')) as unknown as JSONWebKeySet);
    const { payload } = await jwtVerify(opTok, jwks, { typ: 'at+jwt', currentDate: new Date(NOW * 1000) });
    expect(payload).toEqual({
      iss: ISSUER,
      sub: 'dev',
      aud: ['registry'],
      iat: NOW,
      exp: NOW + 300,
      jti: expect.any(String),
      client_id: 'dev',
      scope: 'registry.token.issue',
      cnf: { jkt: clientKey.thumbprint },
      tid: 'dev',
      'stellaops:plan': 'developer',
    });
    expect(answers).toEqual([{ thumbprint: clientKey.thumbprint }]);
  });

  test('to a client that posts its secret, asks for the scope, and has an Ed25519 key', async () => {
    const form = {
      grant_type: 'client_credentials',
      client_id: 'dev',
      client_secret: SECRET,
      scope: 'registry.token.issue',
    };
    const proof = makeProof({}, await createKey('EdDSA'));
    expect((await ask({ form, proof, headers: {} })).status).toBe(200);
  });

  test('for a proof whose htu has a query, which takes no part', async () => {
    const proof = makeProof({ claims: { htu: `${ISSUER}/token?x=1#y` } });
    expect((await ask({ proof })).status).toBe(200);
  });
});

describe('refuses', () => {
  const grant = { grant_type: 'client_credentials' };

  test('a client with another name or secret, or with none', async () => {
    const response = await ask({ headers: basic('dev', 'wrong') });
    expect(response.headers.get('www-authenticate')).toStartWith('Basic ');
    await expectRefusal(ask({ headers: basic('dev', 'wrong') }), 401, 'invalid_client');
    await expectRefusal(ask({ headers: basic('other', SECRET) }), 401, 'invalid_client');
    await expectRefusal(ask({ headers: {} }), 401, 'invalid_client');
    await expectRefusal(ask({ headers: basic('dev', '%zz') }), 401, 'invalid_client');
    await expectRefusal(ask({ headers: { Authorization: `Bearer ${SECRET}` } }), 401, 'invalid_client');
  });

  test('a client that authenticates in two ways', async () => {
    const form = { ...grant, client_id: 'dev', client_secret: SECRET };
    await expectRefusal(ask({ form }), 400, 'invalid_request');
  });

  test('another grant, no grant, another scope, a parameter twice, a body that is no form', async () => {
    await expectRefusal(ask({ form: { grant_type: 'password' } }), 400, 'unsupported_grant_type');
    await expectRefusal(ask({ form: { scope: 'registry.token.issue' } }), 400, 'invalid_request');
    await expectRefusal(ask({ form: { ...grant, scope: 'openid' } }), 400, 'invalid_scope');
    const body = 'grant_type=client_credentials&scope=&scope=';
    const form = { 'Content-Type': 'application/x-www-form-urlencoded', DPoP: makeProof() };
    const post = (headers: Record<string, string>) =>
      authority(
        new Request(`${ISSUER}/token`, {
          method: 'POST',
          body,
          headers: { ...basic('dev', SECRET), ...headers },
        }),
      );
    await expectRefusal(post(form), 400, 'invalid_request');
    await expectRefusal(post({ ...form, 'Content-Type': 'text/plain' }), 400, 'invalid_request');
  });

  test('a request without a proof: nothing is issued that is bound to nothing', async () => {
    expect(await expectRefusal(ask({ proof: null }), 400, 'invalid_dpop_proof')).toContain('is missing');
  });

  test.each<[string, Overrides]>([
    ['has another typ', { header: { typ: 'at+jwt' } }],
    ['has no typ', { header: { typ: undefined } }],
    ['carries no key', { header: { jwk: undefined } }],
    ['carries a private key', { header: { jwk: clientKey.privateJwk } }],
    ['carries the primes of an RSA key', { header: { alg: 'RS256', jwk: primes }, key: rsaKey }],
    ['carries a key that is none', { header: { jwk: { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' } } }],
    ['has another alg than its key', { header: { alg: 'RS256' } }],
    ['is signed with another key', { key: otherKey }],
    ['is for another method', { claims: { htm: 'GET' } }],
    ['is for another URL', { claims: { htu: 'http://127.0.0.1:8085/token' } }],
    ['has no htu', { claims: { htu: undefined } }],
    ['has an htu that is no URL', { claims: { htu: '/token' } }],
    ['has no iat', { claims: { iat: undefined } }],
    ['is older than a minute', { claims: { iat: NOW - 61 } }],
    ['lies ahead by more than 30 s', { claims: { iat: NOW + 31 } }],
    ['has no jti', { claims: { jti: undefined } }],
    ['has an empty jti', { claims: { jti: '' } }],
  ])('a proof that %s', async (_what, overrides) => {
    const proof = makeProof(overrides);
    const description = await expectRefusal(ask({ proof }), 400, 'invalid_dpop_proof');
    expect(description).not.toContain(proof.slice(0, 40));
  });

  test('a proof that was used before, and its twin, until it is too old anyway', async () => {
    const proof = makeProof({ claims: { iat: NOW + 30 } });
    expect((await ask({ proof })).status).toBe(200);
    expect(await expectRefusal(ask({ proof }), 400, 'invalid_dpop_proof')).toContain('used before');
    await expectRefusal(ask({ proof: ecdsaTwin(proof) }), 400, 'invalid_dpop_proof');
    now = NOW + 90;
    expect(await expectRefusal(ask({ proof }), 400, 'invalid_dpop_proof')).toContain('used before');
    now = NOW + 91;
    expect(await expectRefusal(ask({ proof }), 400, 'invalid_dpop_proof')).toContain('older');
  });

  test('nothing to another key with the same jti', async () => {
    const claims = { jti: 'the-same' };
    expect((await ask({ proof: makeProof({ claims }) })).status).toBe(200);
    expect((await ask({ proof: makeProof({ claims }, await createKey('ES256')) })).status).toBe(200);
  });
});
