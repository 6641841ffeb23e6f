/** Which tokens the agent gets, when it gets new ones, and whom it sends them to. */
import { expect, test } from 'bun:test';
import {
  FAKE_SERVICE,
  OP_TOK_LIFETIME,
  startAgentParties,
  TOKEN_LIFETIME,
} from '../../support/agent-parties.ts';
import { startFakeServer } from '../../support/fake-server.ts';

const ok = () => new Response('ok');
/** Longer than what the agent keeps to send twice. */
const large = 5 * 1024 * 1024;

function put(url: string, bytes = large): Promise<Response> {
  return fetch(url, { method: 'PUT', body: new Uint8Array(bytes) });
}

test('requests for one repository share one token, whoever asks at once', async () => {
  await using parties = await startAgentParties({ registry: ok });
  const path = `${parties.url}/v2/team/app/manifests/`;
  const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => fetch(`${path}${index}`)));
  expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
  expect(parties.realm.heard).toHaveLength(1);
  expect(parties.opToks()).toBe(1);
  const [asked] = parties.realm.heard;
  expect(asked?.query.getAll('scope')).toEqual(['repository:team/app:pull']);
  expect(asked?.query.get('service')).toBe(FAKE_SERVICE);
  expect(asked?.headers.get('authorization')).toBe('DPoP op.tok.1');
  expect(asked?.headers.has('dpop')).toBe(true);
});

test('each scope of a challenge is asked for', async () => {
  await using parties = await startAgentParties({
    registry: ok,
    challenge: (realm) =>
      `Bearer realm="${realm}",service="s",scope="repository:b:pull repository:a:pull,push"`,
  });
  expect((await fetch(`${parties.url}/v2/a/manifests/1`)).status).toBe(200);
  expect(parties.realm.heard[0]?.query.getAll('scope')).toEqual([
    'repository:a:pull,push',
    'repository:b:pull',
  ]);
});

test('a token near its expiry is renewed before a request is sent', async () => {
  let requests = 0;
  await using parties = await startAgentParties({
    registry: () => {
      requests += 1;
      return ok();
    },
  });
  const ask = () => fetch(`${parties.url}/v2/a/manifests/1`);
  await ask();
  parties.clock.now += TOKEN_LIFETIME - 31;
  await ask();
  expect(parties.realm.heard).toHaveLength(1);
  parties.clock.now += 2;
  expect((await ask()).status).toBe(200);
  expect([parties.realm.heard.length, requests, parties.opToks()]).toEqual([2, 3, 1]);
  parties.clock.now += OP_TOK_LIFETIME;
  await ask();
  expect(parties.opToks()).toBe(2);
});

test('an upload starts with a token that has half of its life left', async () => {
  const tokens: (string | null)[] = [];
  await using parties = await startAgentParties({
    registry: async (request) => {
      tokens.push(request.headers.get('authorization'));
      return new Response(null, { status: (await request.bytes()).length === large ? 201 : 400 });
    },
  });
  const url = `${parties.url}/v2/a/blobs/uploads/1`;
  expect((await put(url)).status).toBe(201);
  parties.clock.now += TOKEN_LIFETIME / 2 - 1;
  await put(url);
  parties.clock.now += 2;
  await put(url);
  expect(tokens).toEqual(['Bearer registry.token.1', 'Bearer registry.token.1', 'Bearer registry.token.2']);
  expect(parties.realm.heard[0]?.query.getAll('scope')).toEqual(['repository:a:pull,push']);
});

test('a request that was refused with a kept token is sent again with a new one, body included', async () => {
  const spoilt = new Set<string>();
  await using parties = await startAgentParties({
    registry: async (request) => new Response(await request.text()),
    spoilt,
  });
  const send = () => fetch(`${parties.url}/v2/a/manifests/1`, { method: 'PUT', body: 'a manifest' });
  await send();
  spoilt.add('registry.token.1');
  const answer = await send();
  expect([answer.status, await answer.text()]).toEqual([200, 'a manifest']);
  expect(parties.realm.heard).toHaveLength(2);
});

test.each([
  ['insufficient_scope', 'the plan allows less'],
  ['invalid_token', 'does not trust the key or the issuer'],
])('a new token that the registry refuses with %s is a 403 that says why', async (error, why) => {
  await using parties = await startAgentParties({
    registry: ok,
    spoilt: new Set(['registry.token.1']),
    challenge: (realm) => `Bearer realm="${realm}",service="s",scope="repository:a:pull",error="${error}"`,
  });
  const answer = await fetch(`${parties.url}/v2/a/manifests/1`);
  expect(answer.status).toBe(403);
  expect(answer.headers.has('www-authenticate')).toBe(false);
  const { errors } = (await answer.json()) as { errors: [{ code: string; message: string }] };
  expect(errors[0].code).toBe('DENIED');
  for (const part of [error, 'repository:a:pull', why]) expect(errors[0].message).toContain(part);
  expect(parties.realm.heard).toHaveLength(1);
});

test('GET /v2/ is 200 whatever fails, and the request that matters says what failed', async () => {
  await using parties = await startAgentParties({
    registry: ok,
    answerToken: () =>
      Response.json({ error: 'insufficient_scope', detail: 'Not in the plan.' }, { status: 403 }),
  });
  const base = await fetch(`${parties.url}/v2/`);
  expect([base.status, base.headers.get('docker-distribution-api-version')]).toEqual([200, 'registry/2.0']);
  expect(await (await fetch(`${parties.url}/v2/a/manifests/1`)).text()).toContain('Not in the plan.');
  await parties.stopRegistry();
  expect((await fetch(`${parties.url}/v2/`, { method: 'HEAD' })).status).toBe(200);
  expect((await fetch(`${parties.url}/v2/a/manifests/1`)).status).toBe(403);
});

test('a mount whose source the service left out of the token becomes an upload at once', async () => {
  const paths: string[] = [];
  await using parties = await startAgentParties({
    registry: (request) => {
      const { searchParams, search } = new URL(request.url);
      paths.push(search);
      if (searchParams.get('from') !== 'secret') return new Response(null, { status: 202 });
      const scope = 'repository:a:pull,push repository:secret:pull';
      const challenge = `Bearer realm="${parties.realm.url}/token",service="s",scope="${scope}",error="insufficient_scope"`;
      return new Response(null, { status: 401, headers: { 'WWW-Authenticate': challenge } });
    },
    challenge: (realm) =>
      `Bearer realm="${realm}",service="s",scope="repository:a:pull,push repository:secret:pull"`,
  });
  const url = `${parties.url}/v2/a/blobs/uploads/?mount=sha256:ab&from=secret`;
  const statuses = [];
  for (let mounts = 0; mounts < 3; mounts += 1) statuses.push((await fetch(url, { method: 'POST' })).status);
  expect(statuses).toEqual([202, 202, 202]);
  expect(paths.filter((path) => path === '')).toHaveLength(3);
  // A token for the mount and one for the upload, and no more for the ones after.
  expect(parties.realm.heard.length).toBeLessThanOrEqual(3);
});

test('an upload that was refused is 503 and succeeds when it is sent again', async () => {
  const spoilt = new Set<string>();
  await using parties = await startAgentParties({
    registry: async (request) => new Response(String((await request.bytes()).length)),
    spoilt,
  });
  const url = `${parties.url}/v2/a/blobs/uploads/1`;
  await put(url);
  spoilt.add('registry.token.1');
  // The answer may come while the body is still being sent; some clients then see the closed connection alone.
  const refused = await put(url).catch(() => null);
  if (refused !== null) expect(refused.status).toBe(503);
  expect(parties.refusals.map(({ status }) => status)).toEqual([503]);
  expect(await (await put(url)).text()).toBe(String(large));
});

test('an OpTok that the service refuses is replaced once', async () => {
  await using parties = await startAgentParties({
    registry: ok,
    answerToken: ({ headers, query }) =>
      query.get('scope') === 'repository:b:pull' && headers.get('authorization') === 'DPoP op.tok.1'
        ? Response.json({ error: 'invalid_token' }, { status: 401 })
        : null,
  });
  expect((await fetch(`${parties.url}/v2/a/manifests/1`)).status).toBe(200);
  expect((await fetch(`${parties.url}/v2/b/manifests/1`)).status).toBe(200);
  expect(parties.opToks()).toBe(2);
});

test.each([
  [403, { error: 'insufficient_scope', detail: 'The plan does not allow it.' }, 403, 'DENIED'],
  [401, { error: 'invalid_token' }, 403, 'DENIED'],
  [429, { error: 'slow_down' }, 429, 'TOOMANYREQUESTS'],
  [503, { error: 'temporarily_unavailable' }, 503, 'UNAVAILABLE'],
] as const)('a %d of the service is told to the client: %p', async (said, body, status, code) => {
  await using parties = await startAgentParties({
    registry: ok,
    answerToken: () => Response.json(body, { status: said }),
  });
  const answer = await fetch(`${parties.url}/v2/a/manifests/1`);
  expect(answer.status).toBe(status);
  expect(await answer.json()).toEqual({ errors: [{ code, message: expect.stringContaining(body.error) }] });
});

test('a mount whose source is refused becomes an upload, and stays one', async () => {
  const paths: string[] = [];
  await using parties = await startAgentParties({
    registry: (request) => {
      paths.push(new URL(request.url).search);
      return new Response(null, { status: 202 });
    },
    challenge: (realm, request) => {
      const from = new URL(request.url).searchParams.get('from');
      const scope = `repository:a:pull,push${from === null ? '' : ` repository:${from}:pull`}`;
      return `Bearer realm="${realm}",service="s",scope="${scope}"`;
    },
    answerToken: ({ query }) =>
      query.getAll('scope').includes('repository:secret:pull') ? new Response('{}', { status: 403 }) : null,
  });
  const mount = (from: string) =>
    fetch(`${parties.url}/v2/a/blobs/uploads/?mount=sha256:ab&from=${from}`, { method: 'POST' });
  expect((await mount('open')).status).toBe(202);
  expect((await mount('secret')).status).toBe(202);
  expect((await mount('secret')).status).toBe(202);
  expect(paths).toEqual(['?mount=sha256:ab&from=open', '', '']);
});

test('a registry that asks for no token gets none', async () => {
  const authorizations: (string | null)[] = [];
  await using parties = await startAgentParties({
    open: true,
    registry: (request) => {
      authorizations.push(request.headers.get('authorization'));
      return ok();
    },
  });
  await fetch(`${parties.url}/v2/a/manifests/1`, { headers: { Authorization: 'Basic bWU6cHc=' } });
  await put(`${parties.url}/v2/a/blobs/uploads/1`);
  // Before the upload the registry was asked what it wants.
  expect(authorizations).toEqual([null, null, null]);
  expect(parties.opToks()).toBe(0);
  await expect(parties.agent.tryOut()).rejects.toThrow('does not ask for a token');
});

test('a redirect is handed to the client, and its target hears nothing of the agent', async () => {
  await using storage = startFakeServer(() => new Response('blob'));
  await using parties = await startAgentParties({
    registry: () =>
      new Response(null, { status: 307, headers: { Location: `${storage.url}/b?signature=1` } }),
  });
  const answer = await fetch(`${parties.url}/v2/a/blobs/sha256:ab`, { redirect: 'manual' });
  expect([answer.status, answer.headers.get('location')]).toEqual([307, `${storage.url}/b?signature=1`]);
  expect(storage.heard).toHaveLength(0);
  expect(await (await fetch(`${parties.url}/v2/a/blobs/sha256:ab`)).text()).toBe('blob');
  expect(storage.heard[0]?.headers.has('authorization')).toBe(false);
});

test.each([
  ['a realm in the clear', () => 'Bearer realm="http://token.example.com/",service="s"', {}, 'neither https'],
  ['no service', (realm: string) => `Bearer realm="${realm}"`, {}, 'names no service'],
  [
    'another service than the one given',
    (realm: string) => `Bearer realm="${realm}",service="other"`,
    { service: 's' },
    'the service other',
  ],
  [
    'another realm than the one given',
    (realm: string) => `Bearer realm="${realm}",service="s"`,
    { realm: 'https://token.example.com/' },
    'the realm http://127.0.0.1:',
  ],
] as const)('%s in a challenge gets no token', async (_, challenge, pins, message) => {
  await using parties = await startAgentParties({ registry: ok, challenge, pins });
  const answer = await fetch(`${parties.url}/v2/a/manifests/1`);
  expect(answer.status).toBe(502);
  expect(await answer.text()).toContain(message);
  expect((await put(`${parties.url}/v2/a/blobs/uploads/1`).catch(() => null))?.status ?? 502).toBe(502);
  expect([parties.opToks(), parties.realm.heard.length]).toEqual([0, 0]);
});

test('which realm and service are believed is told, and again when they change', async () => {
  let service = 'a';
  const spoilt = new Set<string>();
  await using parties = await startAgentParties({
    registry: ok,
    challenge: (realm) => `Bearer realm="${realm}",service="${service}"`,
    spoilt,
  });
  const ask = (name: string) => fetch(`${parties.url}/v2/${name}/manifests/1`);
  await ask('one');
  await ask('two');
  service = 'b';
  await ask('three');
  const realm = `${parties.realm.url}/token`;
  expect(parties.tokenServices).toEqual([
    { realm, service: 'a' },
    { realm, service: 'b' },
  ]);
});

test('a trial gets a token for nothing', async () => {
  await using parties = await startAgentParties({ registry: ok });
  await parties.agent.tryOut();
  expect(parties.realm.heard[0]?.query.has('scope')).toBe(false);
});

test('an OpTok that exists already is read again for each registry token', async () => {
  await using parties = await startAgentParties({ registry: ok, opTok: { isReusable: false } });
  for (const name of ['a', 'b', 'a']) await fetch(`${parties.url}/v2/${name}/manifests/1`);
  expect([parties.opToks(), parties.realm.heard.length]).toEqual([2, 2]);
});

test('a bearer token is not sent to a realm that only the registry names', async () => {
  const opTok = { isReusable: false, isBearer: true, dpopKey: null };
  await using parties = await startAgentParties({ registry: ok, opTok });
  const answer = await fetch(`${parties.url}/v2/a/manifests/1`);
  expect([answer.status, parties.realm.heard.length]).toEqual([403, 0]);
  expect(await answer.text()).toContain('set realm in the profile, or --realm');
});
