/** How a client brings its OpTok to the realm: to the real service, and to one that misbehaves. */
import { expect, test } from 'bun:test';
import { createNonces, type Nonces } from '../../src/authenticate/nonce.ts';
import { parseDpopKey } from '../../src/client/dpop.ts';
import type { OpTok } from '../../src/client/op-tok.ts';
import { requestRegistryToken } from '../../src/client/registry-token.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { createClientParts } from '../support/client-parts.ts';
import { type FakeServer, startFakeServer } from '../support/fake-server.ts';
import { createKey } from '../support/keys.ts';
import { createHarness, type Harness, type HarnessOptions, NOW, noCertificate } from '../support/service.ts';
import { decodePart, SERVICE } from '../support/tokens.ts';

const clientKey = await createKey('ES256');
const dpopKey = await parseDpopKey(JSON.stringify(clientKey.privateJwk), 'client.jwk');
const scopes = ['repository:team-a/app:pull', 'repository:team-a/lib:pull,push'];
const enterprise = { claims: { 'stellaops:plan': 'enterprise' } };

/** The service itself on a port, its realm being where it is. */
async function serve(options: HarnessOptions = {}) {
  const realms = new Set<string>();
  const harness: Harness = await createHarness({ clientKey, dpop: { realms }, ...options });
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request) => harness.handle(request, noCertificate),
  });
  const realm = `http://127.0.0.1:${server.port}/token`;
  realms.add(realm);
  return { harness, realm, [Symbol.asyncDispose]: () => server.stop(true) };
}

function ask(realm: string, given: Omit<OpTok, 'isBearer'>, clock = { now: NOW }) {
  const parts = createClientParts(clock);
  const opTok = { ...given, isBearer: false };
  return {
    parts,
    answer: requestRegistryToken(opTok, { realm, service: SERVICE, isRealmNamed: false, scopes }, parts),
  };
}

async function faultOf(attempt: Promise<unknown>): Promise<string> {
  const fault: Error = await attempt.then(
    () => new Error('no fault'),
    (cause) => cause,
  );
  return fault.message;
}

test('the service issues a token for the scopes that are asked for', async () => {
  await using service = await serve();
  const opTok = { accessToken: service.harness.opTok(enterprise), dpopKey };
  const { token, answer } = await ask(service.realm, opTok).answer;
  expect(answer).toMatchObject({ token, access_token: token, expires_in: 900 });
  expect(decodePart(token, 1)).toMatchObject({
    aud: SERVICE,
    access: [
      { type: 'repository', name: 'team-a/app', actions: ['pull'] },
      { type: 'repository', name: 'team-a/lib', actions: ['pull', 'push'] },
    ],
  });
});

test('a service that has just started asks for a nonce, and gets it at once', async () => {
  const clock = { now: NOW + 0.7 };
  await using service = await serve({ replayStore: MemoryReplayStore.create(10, NOW + 0.5) });
  const opTok = { accessToken: service.harness.opTok(enterprise), dpopKey };
  service.harness.clock.now = NOW + 0.7;
  const { parts, answer } = ask(service.realm, opTok, clock);
  await answer;
  expect(parts.pauses).toEqual([]);
  expect(service.harness.decisions.map(({ refusal }) => refusal?.reason)).toEqual(['proof-nonce', undefined]);
});

test('a service that requires nonces and has just started asks for one too', async () => {
  const clock = { now: NOW + 0.7 };
  const nonces = createNonces(() => Buffer.alloc(32, 1));
  await using service = await serve({ nonces, replayStore: MemoryReplayStore.create(10, NOW + 0.5) });
  const opTok = { accessToken: service.harness.opTok(enterprise), dpopKey };
  service.harness.clock.now = NOW + 0.7;
  await ask(service.realm, opTok, clock).answer;
  const reasons = service.harness.decisions.map(({ refusal }) => refusal?.reason);
  expect(reasons).toEqual(['proof-nonce', undefined]);
});

test('of a service of several nodes, each may ask for a nonce of its own', async () => {
  let asked = 0;
  const nonces: Nonces = {
    current: () => {
      asked += 1;
      return `nonce-${asked}`;
    },
    isRecent: (nonce) => nonce === 'nonce-2',
  };
  await using service = await serve({ nonces });
  const opTok = { accessToken: service.harness.opTok(enterprise), dpopKey };
  await ask(service.realm, opTok).answer;
  const reasons = service.harness.decisions.map(({ refusal }) => refusal?.reason);
  expect(reasons).toEqual(['proof-nonce', 'proof-nonce', undefined]);
});

test('what the plan refuses is said in the words of the service, at once', async () => {
  await using service = await serve();
  const opTok = { accessToken: service.harness.opTok(), dpopKey };
  const { parts, answer } = ask(service.realm, opTok);
  const fault = await faultOf(answer);
  expect(fault).toStartWith(`registry token: ${service.realm} answered 403 insufficient_scope: "`);
  expect(fault).toContain('(plan-denied)');
  expect(parts.pauses).toEqual([]);
});

test('an OpTok of another sender is refused with where to look, and not shown', async () => {
  await using service = await serve();
  const otherKey = await parseDpopKey(JSON.stringify((await createKey('ES256')).privateJwk), 'other.jwk');
  const opTok = { accessToken: service.harness.opTok(enterprise), dpopKey: otherKey };
  const fault = await faultOf(ask(service.realm, opTok).answer);
  expect(fault).toContain('answered 401 invalid_token');
  expect(fault).toContain("the service's log says which check failed");
  expect(fault).not.toContain(opTok.accessToken);
});

test('an OpTok that is bound to a certificate is brought as Bearer, without a proof', async () => {
  await using server = startFakeServer(() => Response.json({ token: 't' }));
  await ask(`${server.url}/token`, { accessToken: 'op.tok.1', dpopKey: null }).answer;
  expect(server.heard[0]?.headers.get('authorization')).toBe('Bearer op.tok.1');
  expect(server.heard[0]?.headers.has('dpop')).toBe(false);
});

test('the parameters of the realm stay, and its fragment does not', async () => {
  await using server = startFakeServer(() => Response.json({ access_token: 't' }));
  const { token } = await ask(`${server.url}/token?tenant=a#top`, { accessToken: 'op.tok.1', dpopKey })
    .answer;
  expect(token).toBe('t');
  const [heard] = server.heard;
  expect(heard?.query.get('tenant')).toBe('a');
  expect(heard?.query.get('service')).toBe(SERVICE);
  expect(heard?.query.getAll('scope')).toEqual(scopes);
  expect(decodePart(heard?.headers.get('dpop') ?? '', 1).htu).toBe(`${server.url}/token`);
});

/** A service that answers every request like this. */
function refuse(status: number, error: string, headers: Record<string, string> = {}): FakeServer {
  return startFakeServer(() => Response.json({ error }, { status, headers }));
}

test.each([
  ['use_dpop_nonce', { 'DPoP-Nonce': 'n1' }, 2],
  ['invalid_dpop_proof', {}, 1],
  ['invalid_token', {}, 1],
])('a service that answers %s for ever is given up', async (error, headers, requests) => {
  await using server = refuse(401, error, headers);
  const fault = await faultOf(ask(`${server.url}/token`, { accessToken: 'op.tok.1', dpopKey }).answer);
  expect(fault).toContain(`answered 401 ${error}; `);
  expect(server.heard).toHaveLength(requests);
});

test('an answer without a token says that this may be no realm', async () => {
  await using server = startFakeServer(() => Response.json({ token: '' }));
  await expect(ask(`${server.url}/v2/`, { accessToken: 'op.tok.1', dpopKey }).answer).rejects.toThrow(
    "/v2/ answered 200 without a token; is it the registry's realm?",
  );
});

test('a token that no registry would take is none, and is not kept', async () => {
  const answer = (length: number) => startFakeServer(() => Response.json({ token: 'x'.repeat(length) }));
  const opTok = { accessToken: 'op.tok.1', dpopKey };
  await using good = answer(64 * 1024);
  expect((await ask(`${good.url}/token`, opTok).answer).token).toHaveLength(64 * 1024);
  await using large = answer(64 * 1024 + 1);
  await expect(ask(`${large.url}/token`, opTok).answer).rejects.toThrow('answered 200 without a token');
});

test('a realm that is no URL is refused', async () => {
  await expect(ask('registry.example.com', { accessToken: 'op.tok.1', dpopKey }).answer).rejects.toThrow(
    'the realm is not a URL',
  );
});

test.each([
  [-95, ", and the clocks; this machine's clock is 95 s behind the server's: correct it"],
  [95, ", and the clocks; this machine's clock is 95 s ahead of the server's: correct it"],
  [-2, "; its clock agrees with this machine's"],
])('where a proof stays refused, the clocks are blamed only if they differ: %i s', async (ahead, hint) => {
  const time = new Date((NOW - ahead) * 1000).toUTCString();
  await using server = refuse(401, 'invalid_dpop_proof', { Date: time });
  const fault = await faultOf(ask(`${server.url}/token`, { accessToken: 'op.tok.1', dpopKey }).answer);
  expect(fault).toEndWith(`compare the realm with its registry.realm${hint}`);
});

test('a service that repeats OpTok and proof in its refusal does not have them shown', async () => {
  await using server = startFakeServer(({ headers }) =>
    Response.json(
      { error: 'invalid_token', detail: `${headers.get('authorization')} ${headers.get('dpop')}` },
      { status: 401 },
    ),
  );
  const fault = await faultOf(ask(`${server.url}/token`, { accessToken: 'op.tok.1', dpopKey }).answer);
  expect(fault).toContain('answered 401 invalid_token: "DPoP [removed] [removed]"');
});

test('nothing is said of the clocks where they are not at fault', async () => {
  await using server = refuse(401, 'invalid_token', { Date: new Date(0).toUTCString() });
  const fault = await faultOf(ask(`${server.url}/token`, { accessToken: 'op.tok.1', dpopKey }).answer);
  expect(fault).not.toContain('clock');
});

test('a bearer token goes to a realm that the user has named, over https or loopback, and to no other', async () => {
  await using server = startFakeServer(() => Response.json({ token: 'registry.token.1' }));
  const opTok = { accessToken: 'op.tok.1', dpopKey: null, isBearer: true };
  const bring = (realm: string, isRealmNamed: boolean) =>
    requestRegistryToken(
      opTok,
      { realm, service: SERVICE, isRealmNamed, scopes },
      createClientParts({ now: NOW }),
    );
  await expect(bring(`${server.url}/token`, false)).rejects.toThrow('set realm in the profile, or --realm');
  await expect(bring('http://192.0.2.1/token', true)).rejects.toThrow('neither https nor on loopback');
  expect(server.heard).toHaveLength(0);
  expect((await bring(`${server.url}/token`, true)).token).toBe('registry.token.1');
  expect(server.heard[0]?.headers.get('authorization')).toBe('Bearer op.tok.1');
});
