/** A login with oidc-provider, which rotates refresh tokens and ends a login whose old one comes back. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import {
  chmodSync,
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { decodeJwt } from 'jose';
import { ClientFault } from '../../src/client/client-fault.ts';
import { type ClientSettings, openClient } from '../../src/client/client-settings.ts';
import { openDpopKey } from '../../src/client/dpop.ts';
import type { ClientParts } from '../../src/client/http.ts';
import { type LoginSource, logIn, logOut } from '../../src/client/login.ts';
import { readLogin, writeLogin } from '../../src/client/login-file.ts';
import { type Authority, startAuthority } from '../support/authority.ts';
import { plainHttp } from '../support/client-parts.ts';
import { describeAsRoot } from '../support/debian-parts.ts';
import { startFakeServer } from '../support/fake-server.ts';
import { approveAtOidcProvider, denyAtOidcProvider } from '../support/people.ts';
import { createTemporaryFolder, run, runOrFail, type TemporaryFolder } from '../support/processes.ts';

setDefaultTimeout(60_000);

let authority: Authority;
let folder: TemporaryFolder;
beforeAll(async () => {
  authority = await startAuthority({
    clients: [{ id: 'cli', plan: 'enterprise', isForPeople: true }, { id: 'builder' }],
  });
});
afterAll(() => authority[Symbol.asyncDispose]());
beforeEach(async () => {
  folder = await createTemporaryFolder();
});
afterEach(() => folder[Symbol.asyncDispose]());

const parts: ClientParts = {
  http: plainHttp,
  clock: () => Date.now() / 1000,
  // The Authority takes polls as they come.
  pause: (milliseconds) => Bun.sleep(Math.min(milliseconds, 100)),
};
const options = { bind: null, onNewKey: () => {}, warn: () => {} };

const sourceIn = (own: Partial<LoginSource> = {}): LoginSource => ({
  kind: 'login',
  authority: authority.issuer,
  clientId: 'cli',
  authenticationMethod: null,
  secretPath: null,
  clientKeyPath: null,
  clientKeyId: null,
  assertionAudience: null,
  scope: 'registry.token.issue',
  resources: [],
  audience: null,
  loginPath: folder.at('me.login'),
  dpopKeyPath: folder.at('me.pem'),
  isKeyNamed: false,
  ...own,
});

const clientOf = (
  source: LoginSource,
  own: Partial<ClientSettings> = {},
  bearer: 'ourselves' | 'stock client' = 'ourselves',
) =>
  openClient({ source, bind: null, certificate: null, caPath: null, dpopKeyPath: null, ...own }, bearer, {
    ...options,
    env: {},
    clock: parts.clock,
    pause: parts.pause,
  });

async function logInAs(name: string, source = sourceIn()): Promise<string | null> {
  const approvals: Promise<void>[] = [];
  const subject = await logIn(source, options, parts, (device) => {
    approvals.push(approveAtOidcProvider(device, name));
  });
  await Promise.all(approvals);
  return subject;
}

const logOutOf = (source: LoginSource) => logOut(source, { ...options, pause: parts.pause }, () => parts);

const refreshTokenIn = (path: string) => readLogin(path)?.refreshToken ?? null;

test('login, OpToks with a new refresh token each, logout', async () => {
  const source = sourceIn();
  expect(await logInAs('alice')).toBe('alice');
  expect(readdirSync(folder.path).sort()).toEqual(['me.login', 'me.pem']);
  for (const name of readdirSync(folder.path)) expect(statSync(folder.at(name)).mode & 0o777).toBe(0o600);

  const { requestOpTok } = clientOf(source);
  const { key } = await openDpopKey(source.dpopKeyPath);
  const seen = new Set([refreshTokenIn(source.loginPath)]);
  for (let count = 0; count < 3; count += 1) {
    const opTok = await requestOpTok();
    expect(decodeJwt(opTok.accessToken)).toMatchObject({
      sub: 'alice',
      aud: 'registry',
      scope: 'registry.token.issue',
      cnf: { jkt: key.thumbprint },
    });
    expect(opTok).toMatchObject({ isBearer: false, isReusable: true });
    expect(Object.keys(opTok)).not.toContain('refreshToken');
    seen.add(refreshTokenIn(source.loginPath));
  }
  expect(seen.size).toBe(4);

  const copy = readLogin(source.loginPath);
  const keyText = readFileSync(source.dpopKeyPath);
  expect(await logOutOf(source)).toBe('revoked');
  expect(readdirSync(folder.path)).toEqual([]);
  await expect(requestOpTok()).rejects.toThrow('nobody is logged in; run registry-token login');
  expect(await logOutOf(source)).toBe('nothing');

  // A copy that somebody has kept is of no use any more.
  if (copy === null) throw new Error('there was no login');
  writeLogin(source.loginPath, copy);
  writeFileSync(source.dpopKeyPath, keyText, { mode: 0o600 });
  await expect(clientOf(source).requestOpTok()).rejects.toThrow(
    'the login has ended; run registry-token login again, for the same profile',
  );
});

test('clients that refresh at once do so one after another', async () => {
  const source = sourceIn();
  await logInAs('alice');
  const opToks = await Promise.all(Array.from({ length: 8 }, () => clientOf(source).requestOpTok()));
  expect(new Set(opToks.map(({ accessToken }) => accessToken)).size).toBe(8);
  expect(decodeJwt((await clientOf(source).requestOpTok()).accessToken)).toMatchObject({ sub: 'alice' });
});

test('a refresh token without its DPoP key is of no use', async () => {
  const source = sourceIn();
  await logInAs('alice');
  const { requestOpTok } = clientOf(source);
  const before = authority.requestsTo('/token');
  await Bun.file(source.dpopKeyPath).delete();
  await expect(requestOpTok()).rejects.toThrow(`a DPoP key that is gone (${source.dpopKeyPath})`);
  const { key } = await openDpopKey(source.dpopKeyPath);
  await expect(requestOpTok()).rejects.toThrow('the login is bound to another DPoP key');
  expect(authority.requestsTo('/token')).toBe(before);
  // A thief would say that it is bound to a key of theirs.
  const login = readLogin(source.loginPath);
  if (login === null) throw new Error('there is no login');
  writeLogin(source.loginPath, { ...login, binding: { jkt: key.thumbprint } });
  await expect(requestOpTok()).rejects.toThrow('answered 400 invalid_grant');
});

test('a login that is denied, or has no refresh token, changes nothing', async () => {
  const source = sourceIn();
  await logInAs('alice');
  const before = refreshTokenIn(source.loginPath);
  const denials: Promise<void>[] = [];
  const denied = logIn(source, options, parts, (device) => {
    denials.push(denyAtOidcProvider(device));
  });
  await expect(denied).rejects.toThrow('login: the request was denied at the Authority');
  await Promise.all(denials);
  expect(refreshTokenIn(source.loginPath)).toBe(before);
  expect(await clientOf(source).requestOpTok()).toMatchObject({ isBearer: false });
});

test('two logins at once: the last one is kept, with one key, and it works', async () => {
  const source = sourceIn();
  expect((await Promise.all([logInAs('alice'), logInAs('bob')])).sort()).toEqual(['alice', 'bob']);
  const { sub } = decodeJwt((await clientOf(source).requestOpTok()).accessToken);
  expect(['alice', 'bob']).toContain(String(sub));
});

test('a key that the user has named outlives the logout', async () => {
  const source = sourceIn({ isKeyNamed: true });
  await openDpopKey(source.dpopKeyPath);
  await logInAs('alice', source);
  expect(await logOutOf(source)).toBe('revoked');
  expect(readdirSync(folder.path)).toEqual(['me.pem']);
});

test('an OpTok by a login is not given to a client that can make no proofs', async () => {
  const source = sourceIn();
  await logInAs('alice');
  await expect(clientOf(source, {}, 'stock client').requestOpTok()).rejects.toThrow(
    "the login is bound to a DPoP key, and only this program can make proofs: use 'agent' or 'token'",
  );
  await expect(clientOf(source, { bind: 'certificate' }).requestOpTok()).rejects.toThrow(
    'bind is certificate; run registry-token login again',
  );
});

test('a login that others can read is refused, and logout removes it', async () => {
  const source = sourceIn();
  await logInAs('alice');
  chmodSync(source.loginPath, 0o644);
  await expect(clientOf(source).requestOpTok()).rejects.toThrow('other users can read it (mode 644)');
  expect(await logOutOf(source)).toMatchObject({
    message: expect.stringContaining('mode 644'),
  });
  expect(readdirSync(folder.path)).toEqual([]);
});

describeAsRoot([], 'a DPoP key of another user', () => {
  test('is not what tokens are bound to: that user could use them', async () => {
    const source = sourceIn({ isKeyNamed: true });
    await openDpopKey(source.dpopKeyPath);
    chownSync(source.dpopKeyPath, 65534, 65534);
    const refused = `the DPoP key ${source.dpopKeyPath} belongs to the user 65534`;
    await expect(logInAs('alice', source)).rejects.toThrow(refused);
    chownSync(source.dpopKeyPath, 0, 0);
    await logInAs('alice', source);
    chownSync(source.dpopKeyPath, 65534, 65534);
    await expect(clientOf(source).requestOpTok()).rejects.toThrow(refused);
  });
});

describeAsRoot([], 'a disk that is full', () => {
  test('is noticed before the refresh token is used up', async () => {
    await runOrFail(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'registry-token-test', folder.path]);
    try {
      const source = sourceIn();
      await logInAs('alice', source);
      const before = authority.requestsTo('/token');
      await run(['dd', 'if=/dev/zero', `of=${folder.at('filler')}`]);
      await expect(clientOf(source).requestOpTok()).rejects.toThrow('(ENOSPC)');
      expect(authority.requestsTo('/token')).toBe(before);
      await Bun.file(folder.at('filler')).delete();
      expect(await clientOf(source).requestOpTok()).toMatchObject({ isBearer: false });
    } finally {
      await runOrFail(['umount', folder.path]);
    }
  });
});

/** An Authority that answers as the test says; its metadata are those of a usual one. */
function startFakeAuthority(token: (form: URLSearchParams) => Response, more: Record<string, unknown> = {}) {
  const server = startFakeServer(({ path, form }) => {
    switch (path) {
      case '/token':
        return token(form);
      case '/device':
        return Response.json({
          device_code: 'd',
          user_code: 'WDJB-MJHT',
          verification_uri: `${server.url}/page`,
          expires_in: 60,
          interval: 1,
        });
      case '/revoke':
        return new Response('no', { status: 503 });
      default:
        return Response.json({
          issuer: server.url,
          token_endpoint: `${server.url}/token`,
          device_authorization_endpoint: `${server.url}/device`,
          ...more,
          ...(more.revocation_endpoint === true ? { revocation_endpoint: `${server.url}/revoke` } : {}),
        });
    }
  });
  return server;
}

const granted = { access_token: 'e30.e30.c2ln', token_type: 'DPoP', expires_in: 60 };

test('an Authority that gives no refresh token says what to change', async () => {
  await using server = startFakeAuthority(() => Response.json(granted));
  const source = sourceIn({ authority: server.url });
  await expect(logIn(source, options, parts, () => {})).rejects.toThrow(
    'the Authority gave no refresh token, so the login would end with the first OpTok; allow this client the grant ' +
      'refresh_token there, or add offline_access to authorityScope',
  );
  expect(existsSync(source.loginPath)).toBe(false);
});

test('offline_access is requested once, where the Authority has it or the settings name it', async () => {
  const scopeAt = async (own: Partial<LoginSource>, scopes_supported?: readonly string[]) => {
    await using server = startFakeAuthority(() => Response.json({ ...granted, refresh_token: 'r1' }), {
      scopes_supported,
    });
    await logIn(sourceIn({ authority: server.url, ...own }), options, parts, () => {});
    return server.heardAt('/device')[0]?.form.get('scope');
  };
  expect(await scopeAt({})).toBe('registry.token.issue');
  expect(await scopeAt({}, ['openid', 'offline_access'])).toBe('registry.token.issue offline_access');
  expect(await scopeAt({ scope: 'a  offline_access' }, ['offline_access'])).toBe('a offline_access');
  expect(await scopeAt({ scope: 'a offline_access' })).toBe('a offline_access');
  expect(await scopeAt({ scope: '' })).toBe(null);
});

test('a refresh token that stays the same is kept, and one that cannot be used is not taken', async () => {
  const answers = [
    { refresh_token: 'r1' },
    {},
    { refresh_token: 'r1' },
    { refresh_token: 'a\nb' },
    { refresh_token: 7 },
    { refresh_token: 'r2' },
  ];
  let next = 0;
  await using server = startFakeAuthority(() => Response.json({ ...granted, ...answers[next++] }));
  const source = sourceIn({ authority: server.url });
  await logIn(source, options, parts, () => {});
  const { requestOpTok } = clientOf(source);
  const seen: (string | null)[] = [];
  for (let count = 1; count < answers.length; count += 1) {
    await requestOpTok();
    seen.push(refreshTokenIn(source.loginPath));
  }
  expect(seen).toEqual(['r1', 'r1', 'r1', 'r1', 'r2']);
});

test('a refresh token is kept though the OpTok that came with it cannot be used', async () => {
  const answers = [
    { refresh_token: 'r1' },
    { refresh_token: 'r2', token_type: 'Bearer' },
    { refresh_token: 'r3', access_token: 'not a token' },
    { refresh_token: 'r4' },
  ];
  let next = 0;
  await using server = startFakeAuthority(() => Response.json({ ...granted, ...answers[next++] }));
  const source = sourceIn({ authority: server.url });
  await logIn(source, options, parts, () => {});
  const { requestOpTok } = clientOf(source);
  await expect(requestOpTok()).rejects.toThrow('answered with a Bearer token');
  await expect(requestOpTok()).rejects.toThrow('without a usable access_token');
  expect(await requestOpTok()).toMatchObject({ isBearer: false });
  const sent = server.heardAt('/token').map(({ form }) => form.get('refresh_token'));
  expect(sent).toEqual([null, 'r1', 'r2', 'r3']);
});

test('bind: certificate without a certificate is refused, and nobody is asked for a code', async () => {
  const denied = logIn(sourceIn(), { ...options, bind: 'certificate' }, parts, () => {
    throw new Error('a code was shown');
  });
  await expect(denied).rejects.toThrow('bind is certificate, and there is no certificate');
  expect(readdirSync(folder.path)).toEqual([]);
});

test('Ctrl-C does not cut off a refresh: the next refresh token is in its answer', async () => {
  const stop = new AbortController();
  let isFirst = true;
  await using server = startFakeAuthority(() => {
    if (!isFirst) stop.abort();
    const refresh_token = isFirst ? 'r1' : 'r2';
    isFirst = false;
    return Response.json({ ...granted, refresh_token });
  });
  const source = sourceIn({ authority: server.url });
  await logIn(source, options, parts, () => {});
  const settings = { source, bind: null, certificate: null, caPath: null, dpopKeyPath: null };
  const client = openClient(settings, 'ourselves', {
    ...options,
    env: {},
    clock: parts.clock,
    pause: parts.pause,
    stop: stop.signal,
  });
  await client.requestOpTok();
  expect(refreshTokenIn(source.loginPath)).toBe('r2');
});

test('a logout at an Authority without revocation says so', async () => {
  await using server = startFakeAuthority(() => Response.json({ ...granted, refresh_token: 'r-secret' }));
  const source = sourceIn({ authority: server.url });
  await logIn(source, options, parts, () => {});
  expect(await logOutOf(source)).toBe('not offered');
  expect(readdirSync(folder.path)).toEqual([]);
});

test('a logout that the Authority does not revoke says so, and removes the login all the same', async () => {
  await using server = startFakeAuthority(() => Response.json({ ...granted, refresh_token: 'r-secret' }), {
    revocation_endpoint: true,
  });
  const source = sourceIn({ authority: server.url });
  await logIn(source, options, parts, () => {});
  const fault = await logOutOf(source);
  expect(fault).toMatchObject({ message: `logout: ${server.url}/revoke answered 503` });
  expect(server.heardAt('/revoke')[0]?.form.get('token')).toBe('r-secret');
  expect(readdirSync(folder.path)).toEqual([]);
});

test('a logout revokes a login whose DPoP key is gone, too', async () => {
  const source = sourceIn();
  await logInAs('alice');
  await Bun.file(source.dpopKeyPath).delete();
  expect(await logOutOf(source)).toBe('revoked');
  expect(readdirSync(folder.path)).toEqual([]);
});

test('an Authority that repeats the refresh token in its refusal does not have it shown', async () => {
  await using server = startFakeAuthority((form) => {
    const refreshToken = form.get('refresh_token');
    if (refreshToken === null) return Response.json({ ...granted, refresh_token: 'r-secret-1' });
    const error_description = `no such token: ${refreshToken}`;
    return Response.json({ error: 'invalid_grant', error_description }, { status: 400 });
  });
  const source = sourceIn({ authority: server.url });
  await logIn(source, options, parts, () => {});
  const refreshed = clientOf(source).requestOpTok();
  await expect(refreshed).rejects.toThrow(
    `OpTok: ${server.url}/token answered 400 invalid_grant: "no such token: [removed]"`,
  );
});

test('a logout where nobody ever logged in leaves no folder behind, and a link is removed, not what it leads to', async () => {
  const source = sourceIn({ loginPath: folder.at('none/me.login') });
  expect(await logOutOf(source)).toBe('nothing');
  expect(readdirSync(folder.path)).toEqual([]);
  writeFileSync(folder.at('target'), 'theirs');
  const linked = sourceIn();
  symlinkSync(folder.at('target'), linked.loginPath);
  expect(await logOutOf(linked)).toMatchObject({ message: expect.stringContaining('it is a symbolic link') });
  expect(readdirSync(folder.path)).toEqual(['target']);
});

test('a logout whose certificate is gone removes the login all the same', async () => {
  const source = sourceIn();
  await logInAs('alice');
  const outcome = await logOut(source, { ...options, pause: parts.pause }, () => {
    throw new ClientFault('cannot read the client certificate');
  });
  expect(outcome).toMatchObject({ message: 'cannot read the client certificate' });
  expect(readdirSync(folder.path)).toEqual([]);
});

test('a logout without a network says so, and removes the login all the same', async () => {
  const server = startFakeAuthority(() => Response.json({ ...granted, refresh_token: 'r1' }));
  const source = sourceIn({ authority: server.url });
  await logIn(source, options, parts, () => {});
  await server[Symbol.asyncDispose]();
  expect(await logOutOf(source)).toMatchObject({
    message: expect.stringContaining('connection refused'),
  });
  expect(readdirSync(folder.path)).toEqual([]);
});
