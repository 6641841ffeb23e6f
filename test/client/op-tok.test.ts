/** How a client gets an OpTok, where the Authority does not just give it. */
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import type { Authority } from '../../src/client/authority.ts';
import { type DpopKey, generateDpopKey } from '../../src/client/dpop.ts';
import type { HttpOptions } from '../../src/client/http.ts';
import { type OpTokRequest, requestOpTok } from '../../src/client/op-tok.ts';
import { createClientParts, plainHttp } from '../support/client-parts.ts';
import { createClientSite } from '../support/client-profiles.ts';
import { describeWith } from '../support/debian-parts.ts';
import { type FakeServer, startFakeServer } from '../support/fake-server.ts';
import { NOW } from '../support/service.ts';
import { decodePart } from '../support/tokens.ts';

const SECRET = 'sec ret:+%/ä';
const dpopKey: DpopKey = await generateDpopKey();
const granted = { access_token: 'op.tok.1', token_type: 'DPoP', expires_in: 60 };

function ask(
  server: FakeServer,
  request: Partial<OpTokRequest> = {},
  authority: Partial<Authority> = {},
  http: HttpOptions = plainHttp,
) {
  return requestOpTok(
    {
      issuer: server.url,
      tokenEndpoint: `${server.url}/token`,
      deviceAuthorizationEndpoint: null,
      revocationEndpoint: null,
      scopes: null,
      bindsToCertificates: false,
      dpopAlgorithms: null,
      authenticationMethods: null,
      assertionAlgorithms: null,
      ...authority,
    },
    {
      client: { method: 'client_secret_basic', clientId: 'the builder', secret: SECRET },
      grant: { kind: 'client_credentials' },
      scope: 'registry.token.issue',
      resources: [],
      audience: null,
      dpopKey,
      bind: null,
      ...request,
    },
    createClientParts({ now: NOW }, http),
  );
}

async function faultOf(attempt: Promise<unknown>): Promise<string> {
  const fault: Error = await attempt.then(
    () => new Error('no fault'),
    (cause) => cause,
  );
  expect(fault.message).not.toContain(SECRET);
  expect(fault.message).not.toContain('op.tok');
  return fault.message;
}

test('the request is one form with one proof, and the secret is form-encoded before it is joined', async () => {
  await using server = startFakeServer(() => Response.json(granted));
  const opTok = await ask(server, { resources: ['urn:a', 'urn:b'], audience: 'registry' });
  expect(opTok).toEqual({
    accessToken: 'op.tok.1',
    dpopKey,
    expiresAt: NOW + 60,
    isBearer: false,
    isReusable: true,
  });
  const [heard] = server.heardAt('/token');
  expect([...(heard?.form ?? [])]).toEqual([
    ['grant_type', 'client_credentials'],
    ['scope', 'registry.token.issue'],
    ['resource', 'urn:a'],
    ['resource', 'urn:b'],
    ['audience', 'registry'],
  ]);
  const basic = Buffer.from('the+builder:sec+ret%3A%2B%25%2F%C3%A4').toString('base64');
  expect(heard?.headers.get('authorization')).toBe(`Basic ${basic}`);
  const proof = decodePart(heard?.headers.get('dpop') ?? '', 1);
  expect(proof).toMatchObject({ htm: 'POST', htu: `${server.url}/token`, iat: NOW });
  expect(Object.keys(proof)).not.toContain('ath');
});

test.each([400, 401])('a nonce that is asked for with %i is sent once, in a new proof', async (status) => {
  await using server = startFakeServer((_heard, before) =>
    before === 0
      ? Response.json({ error: 'use_dpop_nonce' }, { status, headers: { 'DPoP-Nonce': 'n1' } })
      : Response.json(granted),
  );
  await ask(server);
  const proofs = server.heard.map(({ headers }) => decodePart(headers.get('dpop') ?? '', 1));
  expect(proofs.map(({ nonce }) => nonce)).toEqual([undefined, 'n1']);
  expect(proofs[0]?.jti).not.toBe(proofs[1]?.jti);
});

test('an Authority that asks for a nonce again and again is asked twice', async () => {
  await using server = startFakeServer((_heard, before) =>
    Response.json({ error: 'use_dpop_nonce' }, { status: 400, headers: { 'DPoP-Nonce': `n${before}` } }),
  );
  expect(await faultOf(ask(server))).toContain(
    'answered 400 use_dpop_nonce; the Authority did not send a nonce',
  );
  expect(server.heard).toHaveLength(2);
});

test('a client without a secret names itself in the form, and is known by its certificate', async () => {
  await using server = startFakeServer(() => Response.json(granted));
  await ask(server, { client: { method: 'tls_client_auth', clientId: 'builder' } });
  const [heard] = server.heard;
  expect(heard?.form.get('client_id')).toBe('builder');
  expect(heard?.headers.has('authorization')).toBe(false);
});

describeWith(['openssl'], 'a Bearer token for a client with a certificate', () => {
  test.each([
    ['this certificate', (thumbprint: string) => ({ 'x5t#S256': thumbprint }), null],
    ['another certificate', () => ({ 'x5t#S256': 'A'.repeat(43) }), 'bound to another certificate'],
    ['a key', () => ({ jkt: 'A'.repeat(43) }), 'not bound to a certificate'],
    ['nothing', () => undefined, 'not bound to a certificate'],
  ] as const)('that is bound to %s is taken only where it is this one', async (_what, cnfOf, message) => {
    await using site = await createClientSite();
    site.gives.cnf = cnfOf(site.thumbprint);
    const pem = (name: string) => readFileSync(site.folder.at(name), 'utf8');
    const clientCertificate = { certificate: pem('client.crt'), key: pem('client.pem') };
    const own = { tokenEndpoint: `${site.authority.url}/token` };
    const asked = ask(site.authority, { dpopKey: null }, own, { ...plainHttp, clientCertificate });
    if (message === null) expect((await asked).dpopKey).toBeNull();
    else expect(await faultOf(asked)).toContain(message);
  });
});

test('an Authority that repeats the proof in its refusal does not have it shown', async () => {
  await using server = startFakeServer(({ headers }) =>
    Response.json({ error: 'invalid_dpop_proof', error_description: headers.get('dpop') }, { status: 400 }),
  );
  expect(await faultOf(ask(server))).toContain('answered 400 invalid_dpop_proof: "[removed]"');
});

test.each(['1e309', '1e15', '86401'])('a lifetime of %s s is one of a day', async (lifetime) => {
  const body = JSON.stringify({ ...granted, expires_in: 0 }).replace(
    '"expires_in":0',
    `"expires_in":${lifetime}`,
  );
  await using server = startFakeServer(() => new Response(body));
  expect((await ask(server)).expiresAt).toBe(NOW + 86_400);
});

test('a DPoP token for a client that sent no proof is refused', async () => {
  await using server = startFakeServer(() => Response.json(granted));
  expect(await faultOf(ask(server, { dpopKey: null }))).toContain('but no proof was sent');
});

test.each([
  ['no token', { token_type: 'DPoP' }, 'without a usable access_token and token_type'],
  ['no type', { access_token: 'op.tok.1' }, 'without a usable access_token and token_type'],
  ['a token with a line end', { ...granted, access_token: 'op.tok\n1' }, 'without a usable access_token'],
  ['another type', { ...granted, token_type: 'N_A' }, 'a token of unknown type N_A'],
  ['no object', 'op.tok.1', 'without a usable access_token and token_type'],
])('an answer with %s is refused', async (_what, body, message) => {
  await using server = startFakeServer(() => Response.json(body));
  expect(await faultOf(ask(server))).toContain(message);
});

test.each([
  ['invalid_client', 401, 'compare the client ID and its secret'],
  ['invalid_dpop_proof', 400, "compare this machine's clock"],
])('%s comes with what to do', async (error, status, advice) => {
  const description = `no: ${SECRET}`;
  await using server = startFakeServer(() =>
    Response.json({ error, error_description: description }, { status }),
  );
  const message = await faultOf(ask(server));
  expect(message).toStartWith(`OpTok: ${server.url}/token answered ${status} ${error}: "no: [removed]"; `);
  expect(message).toContain(advice);
});

test('nothing is sent with a key that the Authority does not take', async () => {
  await using server = startFakeServer(() => Response.json(granted));
  const fault = await faultOf(ask(server, {}, { dpopAlgorithms: ['EdDSA', 'PS256'] }));
  expect(fault).toContain('accepts DPoP proofs signed with EdDSA, PS256, but this key signs with ES256');
  expect(server.heard).toHaveLength(0);
});

test('an Authority that does not say how long its token lives leaves that open', async () => {
  await using server = startFakeServer(() => Response.json({ ...granted, expires_in: '60' }));
  expect((await ask(server)).expiresAt).toBeNull();
});

test.each([
  [
    -93,
    "compare this machine's clock with the Authority's; this machine's clock is 93 s behind the server's: correct it",
  ],
  [
    120,
    "compare this machine's clock with the Authority's; this machine's clock is 120 s ahead of the server's: correct it",
  ],
  [1, "answered 400 invalid_dpop_proof; its clock agrees with this machine's"],
])('the clocks are blamed for a refused proof only if they differ: %i s', async (ahead, hint) => {
  const Date_ = new Date((NOW - ahead) * 1000).toUTCString();
  await using server = startFakeServer(() =>
    Response.json({ error: 'invalid_dpop_proof' }, { status: 400, headers: { Date: Date_ } }),
  );
  expect(await faultOf(ask(server))).toEndWith(hint);
});
