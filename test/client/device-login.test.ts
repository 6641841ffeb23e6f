/** The device authorization grant: what a client believes of the Authority's answer, and how it waits for the person. */
import { expect, test } from 'bun:test';
import type { Authority } from '../../src/client/authority.ts';
import { authorizeDevice, awaitApproval, type DeviceAuthorization } from '../../src/client/device-login.ts';
import { generateDpopKey } from '../../src/client/dpop.ts';
import type { ClientParts } from '../../src/client/http.ts';
import { createClientParts } from '../support/client-parts.ts';
import { type FakeServer, startFakeServer } from '../support/fake-server.ts';
import { findFreePort } from '../support/processes.ts';
import { NOW } from '../support/service.ts';
import { decodePart } from '../support/tokens.ts';

const dpopKey = await generateDpopKey();
const request = {
  client: { method: 'none', clientId: 'cli' },
  scope: 'registry.token.issue offline_access',
  resources: ['urn:registry'],
  audience: 'registry',
  dpopKey,
  bind: 'dpop',
} as const;

const authorityAt = (url: string): Authority => ({
  issuer: url,
  tokenEndpoint: `${url}/token`,
  deviceAuthorizationEndpoint: `${url}/device`,
  revocationEndpoint: null,
  scopes: null,
  bindsToCertificates: false,
  dpopAlgorithms: null,
  authenticationMethods: null,
  assertionAlgorithms: null,
});

const usual = {
  device_code: 'device-code-1',
  user_code: 'WDJB-MJHT',
  verification_uri: 'https://sso.example.com/device',
  expires_in: 600,
};

async function faultOf(attempt: Promise<unknown>): Promise<string> {
  const fault: Error = await attempt.then(
    () => new Error('no fault'),
    (cause) => cause,
  );
  expect(fault.message).not.toContain('device-code');
  return fault.message;
}

test('the request names client, scope and what the OpTok is for, and needs no proof', async () => {
  await using server = startFakeServer(() => Response.json(usual));
  const device = await authorizeDevice(authorityAt(server.url), request, createClientParts({ now: NOW }));
  expect(device).toEqual({
    deviceCode: 'device-code-1',
    userCode: 'WDJB-MJHT',
    verificationUri: 'https://sso.example.com/device',
    completeUri: null,
    expiresAt: NOW + 600,
    interval: 5,
  });
  const [heard] = server.heardAt('/device');
  expect(Object.fromEntries(heard?.form ?? [])).toEqual({
    client_id: 'cli',
    scope: 'registry.token.issue offline_access',
    resource: 'urn:registry',
    audience: 'registry',
  });
  expect(heard?.headers.has('dpop')).toBe(false);
});

test.each([
  ['its interval', { interval: 7 }, { interval: 7 }],
  ['an interval that would be a flood', { interval: 0.001 }, { interval: 1 }],
  ['an interval below zero', { interval: -1 }, { interval: 1 }],
  ['an interval that is text', { interval: '1' }, { interval: 5 }],
  ['a life of a week', { expires_in: 604_800 }, { expiresAt: NOW + 3600 }],
  [
    'the address as older servers name it',
    { verification_uri: undefined, verification_url: 'https://g.co/d' },
    { verificationUri: 'https://g.co/d' },
  ],
  [
    'a page with the code',
    { verification_uri_complete: 'https://sso.example.com/device?c=1' },
    { completeUri: 'https://sso.example.com/device?c=1' },
  ],
  [
    'a page with the code elsewhere',
    { verification_uri_complete: 'https://sso.example.com.evil.example/?c=1' },
    { completeUri: null },
  ],
  [
    'a page with the code and a user name',
    { verification_uri_complete: 'https://a@sso.example.com/?c=1' },
    { completeUri: null },
  ],
  [
    'a page with the code in the clear',
    { verification_uri_complete: 'http://sso.example.com/device?c=1' },
    { completeUri: null },
  ],
  [
    'a page with a code of a megabyte',
    { verification_uri_complete: `https://sso.example.com/?c=${'1'.repeat(500_000)}` },
    { completeUri: null },
  ],
  [
    'a page with a code that grows when it is escaped',
    { verification_uri_complete: `https://sso.example.com/?c=${'ä'.repeat(500)}` },
    { completeUri: null },
  ],
  [
    'a page whose name only looks like another',
    { verification_uri: 'https://ѕso.example.com/' },
    { verificationUri: 'https://xn--so-doc.example.com/' },
  ],
  [
    'a page with control characters',
    { verification_uri: 'https://sso.example.com/\u001b[2J\u202e' },
    { verificationUri: 'https://sso.example.com/%1B[2J%E2%80%AE' },
  ],
] as const)('of an answer with %s the client believes what is safe', async (_what, members, expected) => {
  await using server = startFakeServer(() => Response.json({ ...usual, ...members }));
  const parts = createClientParts({ now: NOW });
  expect(await authorizeDevice(authorityAt(server.url), request, parts)).toMatchObject(expected);
});

test.each([
  ['no device code', { device_code: '' }, 'without a usable device_code'],
  ['a device code of 9 KB', { device_code: 'x'.repeat(9000) }, 'without a usable device_code'],
  ['no user code', { user_code: undefined }, 'without a usable user_code'],
  ['a user code that is a page of text', { user_code: 'x'.repeat(65) }, 'without a usable user_code'],
  ['a blank user code', { user_code: ' ' }, 'without a usable user_code'],
  ['no page', { verification_uri: undefined }, 'without a usable verification_uri'],
  [
    'a page in the clear',
    { verification_uri: 'http://sso.example.com/' },
    'with a verification_uri that is neither https nor on loopback',
  ],
  [
    'a script as a page',
    { verification_uri: 'javascript:alert(1)' },
    'with a verification_uri that is neither https nor on loopback',
  ],
  [
    'a page with a user name',
    { verification_uri: 'https://sso.example.com@evil.example/' },
    'with a verification_uri that is neither https nor on loopback',
  ],
  ['a code that never expires', { expires_in: undefined }, 'without a usable expires_in'],
  ['a code that has expired', { expires_in: 0 }, 'without a usable expires_in'],
] as const)('an answer with %s is refused', async (_what, members, message) => {
  await using server = startFakeServer(() => Response.json({ ...usual, ...members }));
  const parts = createClientParts({ now: NOW });
  expect(await faultOf(authorizeDevice(authorityAt(server.url), request, parts))).toContain(
    `login: ${server.url}/device answered ${message}`,
  );
});

test('an Authority elsewhere must not send the person to a page on this machine', async () => {
  await using server = startFakeServer(() =>
    Response.json({ ...usual, verification_uri: 'http://127.0.0.1:1/' }),
  );
  const authority = { ...authorityAt(server.url), issuer: 'https://sso.example.com' };
  expect(await faultOf(authorizeDevice(authority, request, createClientParts({ now: NOW })))).toContain(
    'a verification_uri that is on this machine, but the server that names it is not',
  );
});

test('an Authority without this grant, and one that does not give it to this client, say what to enable', async () => {
  await using server = startFakeServer(() =>
    Response.json({ error: 'unauthorized_client', error_description: '\u001b[31mno' }, { status: 400 }),
  );
  const parts = createClientParts({ now: NOW });
  const none = { ...authorityAt(server.url), deviceAuthorizationEndpoint: null };
  expect(await faultOf(authorizeDevice(none, request, parts))).toContain(
    'offers no device authorization grant',
  );
  expect(await faultOf(authorizeDevice(authorityAt(server.url), request, parts))).toBe(
    `login: ${server.url}/device answered 400 unauthorized_client: "\\u001b[31mno"; ` +
      'allow this client the device authorization grant at the Authority',
  );
});

test('an answer of 100 MB is cut off at a megabyte', async () => {
  let sent = 0;
  await using server = startFakeServer(
    () =>
      new Response(
        new ReadableStream({
          pull: (controller) => {
            sent += 65_536;
            if (sent > 100_000_000) controller.close();
            else controller.enqueue(new Uint8Array(65_536).fill(32));
          },
        }),
      ),
  );
  const parts = createClientParts({ now: NOW });
  expect(await faultOf(authorizeDevice(authorityAt(server.url), request, parts))).toContain(
    'more than 1048576 bytes',
  );
  expect(sent).toBeLessThan(50_000_000);
});

const device: DeviceAuthorization = {
  deviceCode: 'device-code-1',
  userCode: 'WDJB-MJHT',
  verificationUri: 'https://sso.example.com/device',
  completeUri: null,
  expiresAt: NOW + 600,
  interval: 5,
};

const granted = { access_token: 'op.tok.1', token_type: 'DPoP', expires_in: 60, refresh_token: 'refresh-1' };
const error = (name: string, status = 400) => Response.json({ error: name }, { status });

/** The Authority answers each poll with the next of these; the last one stays. */
function startAuthority(answers: readonly (() => Response)[]): FakeServer {
  return startFakeServer((_heard, before) =>
    (answers[Math.min(before, answers.length - 1)] ?? Response.error)(),
  );
}

/** Waits for the approval, with the seconds between the polls. */
async function wait(server: FakeServer, own: Partial<DeviceAuthorization> = {}) {
  const parts = createClientParts({ now: NOW });
  let outcome = 'no refresh token';
  const onRefreshToken = (refreshToken: string) => {
    outcome = refreshToken;
  };
  const shown = { ...device, ...own };
  await awaitApproval(authorityAt(server.url), shown, { ...request, onRefreshToken }, parts).catch(
    (cause: Error) => {
      outcome = cause.message;
    },
  );
  return { outcome, seconds: parts.pauses.map((pause) => pause / 1000) };
}

test('the client polls until the person has approved, with a proof each time', async () => {
  await using server = startAuthority([
    () => error('authorization_pending'),
    () => error('authorization_pending'),
    () => Response.json(granted),
  ]);
  expect(await wait(server)).toEqual({ outcome: 'refresh-1', seconds: [5, 5, 5] });
  expect(Object.fromEntries(server.heard[0]?.form ?? [])).toEqual({
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    device_code: 'device-code-1',
    resource: 'urn:registry',
    audience: 'registry',
    client_id: 'cli',
  });
  const proofs = server.heard.map(({ headers }) => decodePart(headers.get('dpop') ?? '', 1));
  expect(new Set(proofs.map(({ jti }) => jti)).size).toBe(3);
});

test('slow_down adds 5 seconds for good', async () => {
  await using server = startAuthority([
    () => error('slow_down'),
    () => error('authorization_pending'),
    () => error('slow_down'),
    () => error('authorization_pending'),
    () => Response.json(granted),
  ]);
  expect((await wait(server)).seconds).toEqual([5, 10, 10, 15, 15]);
});

test('an Authority that has too much to do is asked ever more seldom', async () => {
  await using server = startAuthority([
    () => new Response('', { status: 502 }),
    () => new Response('', { status: 429 }),
    () => error('authorization_pending'),
    ...Array.from({ length: 3 }, () => () => new Response('', { status: 503 })),
    () => Response.json(granted),
  ]);
  expect(await wait(server)).toEqual({ outcome: 'refresh-1', seconds: [5, 10, 20, 20, 40, 60, 60] });
});

test('an Authority that cannot be reached is asked until the code has expired', async () => {
  const port = await findFreePort();
  const parts = createClientParts({ now: NOW });
  const told: string[] = [];
  const outcome = awaitApproval(
    authorityAt(`http://127.0.0.1:${port}`),
    { ...device, expiresAt: NOW + 100 },
    request,
    parts,
    ({ message }) => told.push(message),
  );
  expect(await faultOf(outcome)).toBe(
    'login: the code expired before it was approved; run registry-token login again',
  );
  expect(parts.pauses.map((pause) => pause / 1000)).toEqual([5, 10, 20, 40, 25]);
  expect(told).toHaveLength(5);
  expect(told[0]).toContain('did not answer: connection refused');
});

test('a nonce that the Authority asks for at a poll is sent', async () => {
  await using server = startFakeServer((_heard, before) =>
    before === 0
      ? Response.json({ error: 'use_dpop_nonce' }, { status: 400, headers: { 'DPoP-Nonce': 'n1' } })
      : Response.json(granted),
  );
  expect(await wait(server)).toEqual({ outcome: 'refresh-1', seconds: [5] });
  expect(decodePart(server.heard[1]?.headers.get('dpop') ?? '', 1)).toMatchObject({ nonce: 'n1' });
});

test.each([
  ['denied', 'access_denied', 'login: the request was denied at the Authority'],
  [
    'expired',
    'expired_token',
    'login: the code expired before it was approved; run registry-token login again',
  ],
  ['unknown', 'invalid_grant', 'answered 400 invalid_grant; run registry-token login again'],
  [
    'for another grant',
    'unauthorized_client',
    'allow this client the grant urn:ietf:params:oauth:grant-type:device_code',
  ],
])('a code that is %s ends the wait', async (_what, name, message) => {
  await using server = startAuthority([() => error('authorization_pending'), () => error(name)]);
  const { outcome, seconds } = await wait(server);
  expect(outcome).toContain(message);
  expect(seconds).toEqual([5, 5]);
});

test('an Authority for which nothing is ever approved is asked until the code expires, and not after', async () => {
  await using server = startAuthority([() => error('authorization_pending')]);
  const { outcome, seconds } = await wait(server, { expiresAt: NOW + 12, interval: 5 });
  expect(outcome).toContain('the code expired');
  expect(seconds).toEqual([5, 5, 2]);
  expect(server.heard).toHaveLength(3);
});

test('an answer with a token that is bound to nothing ends the wait', async () => {
  await using server = startAuthority([() => Response.json({ ...granted, token_type: 'Bearer' })]);
  expect((await wait(server)).outcome).toContain('answered with a Bearer token');
});

test('a person who gives up ends the wait at once', async () => {
  await using server = startAuthority([() => error('authorization_pending')]);
  const stop = new AbortController();
  stop.abort();
  const base = createClientParts({ now: NOW });
  const parts: ClientParts = { ...base, http: { ...base.http, stop: stop.signal } };
  expect(await faultOf(awaitApproval(authorityAt(server.url), device, request, parts))).toContain(
    'interrupted',
  );
  expect(base.pauses).toHaveLength(1);
});
