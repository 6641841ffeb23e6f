/** `login` and `logout`: what a person sees, where the login is kept, and which commands use it. */
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { dockerCredential } from '../../../src/cli/client/docker-credential.ts';
import { kubeletCredentialProvider } from '../../../src/cli/client/kubelet-credential-provider.ts';
import { login } from '../../../src/cli/client/login.ts';
import { logout } from '../../../src/cli/client/logout.ts';
import { token } from '../../../src/cli/client/token.ts';
import { certificateThumbprint } from '../../../src/client/op-tok.ts';
import { writeCertificate } from '../../support/certificates.ts';
import { describeWith } from '../../support/debian-parts.ts';
import { type FakeServer, startFakeServer } from '../../support/fake-server.ts';
import { createTemporaryFolder, type TemporaryFolder } from '../../support/processes.ts';
import { runCommand } from '../../support/run-command.ts';

setDefaultTimeout(30_000);

let folder: TemporaryFolder;
let authority: FakeServer;
/** What the Authority says beside the usual; `claims` are of its access tokens. */
let says: { device: object; tokens: object; metadata: object; claims: object };

beforeEach(async () => {
  folder = await createTemporaryFolder();
  says = { device: {}, tokens: {}, metadata: {}, claims: { sub: 'alice' } };
  authority = startFakeServer(({ path }, before) => {
    const { url } = authority;
    if (path === '/device')
      return Response.json({
        ...{ device_code: 'd', user_code: 'WDJB-MJHT', verification_uri: `${url}/page` },
        ...{ expires_in: 60, interval: 1, ...says.device },
      });
    if (path === '/revoke') return new Response('');
    if (path === '/token') {
      const claims = Buffer.from(JSON.stringify(says.claims)).toString('base64url');
      const access_token = `e30.${claims}.c2ln`;
      const refresh_token = `refresh-${before}`;
      return Response.json({
        access_token,
        token_type: 'DPoP',
        expires_in: 60,
        refresh_token,
        ...says.tokens,
      });
    }
    return Response.json({
      ...{ issuer: url, token_endpoint: `${url}/token`, revocation_endpoint: `${url}/revoke` },
      ...{ device_authorization_endpoint: `${url}/device`, ...says.metadata },
    });
  });
});
afterEach(async () => {
  await authority[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const env = () => ({ HOME: folder.path });
const client = () => ['--authority', authority.url, '--client-id', 'cli'];
const kept = () => readdirSync(folder.at('.local/state/registry-token')).sort();

test('without a terminal a person gets one line with page and code, and no QR code', async () => {
  const { exitCode, stdout, stderr } = await runCommand(login, client(), '', env());
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: '' });
  const [key, open, done] = stderr.split('\n');
  const path = `${folder.path}/.local/state/registry-token/127.0.0.1-`;
  expect(key).toStartWith(`Created the DPoP key ${path}`);
  expect(open).toBe(`Open ${authority.url}/page and enter the code WDJB-MJHT within 1:00.`);
  expect(done).toStartWith(`Logged in at ${authority.url} as alice. The login is kept in ${path}`);
});

test('what the Authority says is escaped: no control character reaches the terminal', async () => {
  const evil = '\u001b]0;title\u0007\u202e\r\nLogged in';
  says.device = { user_code: evil, verification_uri: `${authority.url}/${evil}` };
  says.claims = { sub: `${evil}${'x'.repeat(1000)}` };
  const { exitCode, stderr } = await runCommand(login, client(), '', env());
  expect(exitCode).toBe(0);
  expect(stderr.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\u2028]/u);
  expect(stderr.trimEnd().split('\n')).toHaveLength(3);
  expect(stderr).toContain('enter the code \\u001b]0;title\\u0007\\u202e\\u000d\\u000aLogged in within');
  expect(stderr.length).toBeLessThan(2000);
});

test('the login is in the state folder, 0600 in 0700, by what it is for', async () => {
  await runCommand(login, client(), '', env());
  expect(kept()).toEqual([
    expect.stringMatching(/^127\.0\.0\.1-[\da-f]{16}\.login$/),
    expect.stringMatching(/^127\.0\.0\.1-[\da-f]{16}\.pem$/),
  ]);
  const state = folder.at('.local/state/registry-token');
  expect(statSync(state).mode & 0o777).toBe(0o700);
  for (const name of kept()) expect(statSync(`${state}/${name}`).mode & 0o777).toBe(0o600);
  // Another client, another scope and another resource are other logins.
  await runCommand(login, [...client(), '--authority-scope', 'other'], '', env());
  await runCommand(login, [...client(), '--resource', 'urn:other'], '', env());
  expect(kept().filter((name) => name.endsWith('.login'))).toHaveLength(3);
});

test('XDG_STATE_HOME is the state folder if it is absolute, and a named DPoP key has its login beside it', async () => {
  await runCommand(login, client(), '', { ...env(), XDG_STATE_HOME: folder.at('state') });
  expect(readdirSync(folder.at('state/registry-token'))).toHaveLength(2);
  await runCommand(login, client(), '', { ...env(), XDG_STATE_HOME: 'relative' });
  expect(kept()).toHaveLength(2);
  await runCommand(login, [...client(), '--dpop-key', folder.at('my.jwk')], '', env());
  expect(existsSync(folder.at('my.jwk.login'))).toBe(true);
  await runCommand(logout, [...client(), '--dpop-key', folder.at('my.jwk')], '', env());
  expect(existsSync(folder.at('my.jwk.login'))).toBe(false);
  expect(existsSync(folder.at('my.jwk'))).toBe(true);
});

test.each([
  [['--client-id', 'c'], '--authority (or'],
  [['--authority', 'https://a'], '--client-id is missing'],
  [['--authority', 'https://a', '--client-id', 'c', '--op-tok-env', 'T'], "Unknown option '--op-tok-env'"],
  [
    ['--authority', 'https://a', '--client-id', 'c', '--dpop-key', 'k', '--bind', 'mtls'],
    '--bind must be dpop or certificate',
  ],
  [['--authority', 'https://a', '--client-id', 'c'], 'a login needs a folder: set HOME or XDG_STATE_HOME'],
  [['--authority', 'https://a', '--client-id', 'c', 'me'], 'unexpected argument "me"'],
])('%j is a usage error', async (args, message) => {
  for (const command of [login, logout]) {
    const { exitCode, stderr } = await runCommand(command, args);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  }
});

test('a profile that does not use the login is told', async () => {
  const profile = { authority: authority.url, clientId: 'cli' };
  const profiles = { me: { ...profile, login: true }, other: { ...profile, clientSecretPath: 'secret' } };
  writeFileSync(folder.at('client.yaml'), stringify({ profiles }));
  writeFileSync(folder.at('secret'), 'secret');
  const by = (name: string) =>
    runCommand(login, ['--profile', name, '--profiles', folder.at('client.yaml')], '', env());
  expect((await by('me')).stderr).not.toContain('Warning');
  expect((await by('other')).stderr).toContain('Warning: the profile other has no login: true');
});

test('token uses the login with --login alone, and says when there is none', async () => {
  await using realm = startFakeServer(() => Response.json({ token: 'registry-token-1' }));
  const words = [...client(), '--realm', `${realm.url}/token`, '--service', 's'];
  const before = await runCommand(token, [...words, '--login'], '', env());
  expect(before).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('nobody is logged in; run registry-token login'),
  });
  await runCommand(login, client(), '', env());
  const after = await runCommand(token, [...words, '--login'], '', env());
  expect(after).toEqual({ exitCode: 0, stdout: 'registry-token-1\n', stderr: '' });
  expect(await runCommand(token, words, '', env())).toMatchObject({ exitCode: 2 });
  const forms = authority.heardAt('/token').map(({ form }) => form.get('grant_type'));
  expect(forms).toEqual(['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token']);
});

test('logout revokes and removes, says so, and does so once', async () => {
  await runCommand(login, client(), '', env());
  expect(await runCommand(logout, client(), '', env())).toEqual({
    exitCode: 0,
    stdout: '',
    stderr: `Logged out: the login is revoked at ${authority.url} and removed from this machine.\n`,
  });
  expect(Object.fromEntries(authority.heardAt('/revoke')[0]?.form ?? [])).toEqual({
    token: 'refresh-0',
    token_type_hint: 'refresh_token',
    client_id: 'cli',
  });
  expect(kept()).toEqual([]);
  expect(await runCommand(logout, client(), '', env())).toMatchObject({
    exitCode: 0,
    stderr: 'Nobody was logged in.\n',
  });
});

test('a logout without revocation, and one whose CA file is gone, remove the login and say what is left', async () => {
  says.metadata = { revocation_endpoint: undefined };
  await runCommand(login, client(), '', env());
  const { exitCode, stderr } = await runCommand(logout, client(), '', env());
  expect({ exitCode, stderr }).toEqual({
    exitCode: 0,
    stderr: `Logged out: the login is removed from this machine. ${authority.url} offers no revocation, so it stays valid there until it expires.\n`,
  });
  await runCommand(login, client(), '', env());
  const gone = await runCommand(logout, [...client(), '--ca', folder.at('gone.pem')], '', env());
  expect(gone.exitCode).toBe(1);
  expect(gone.stderr).toContain('is removed from this machine, but could not be revoked');
  expect(kept()).toEqual([]);
});

describeWith(['openssl'], 'a login that is bound to a certificate', () => {
  test('serves the credential helper, and its logout removes what the helper has kept', async () => {
    const { certificatePath, keyPath } = await writeCertificate(folder, 'laptop');
    const thumbprint = certificateThumbprint(readFileSync(certificatePath, 'utf8'));
    says.claims = { sub: 'alice', cnf: { 'x5t#S256': thumbprint } };
    says.tokens = { token_type: 'Bearer' };
    const me = {
      ...{ authority: authority.url, clientId: 'cli', login: true, bind: 'certificate' },
      ...{ certPath: certificatePath, keyPath, registry: 'registry.example.com' },
    };
    writeFileSync(folder.at('client.yaml'), stringify({ profiles: { me } }));
    const profile = ['--profile', 'me', '--profiles', folder.at('client.yaml')];
    const shell = { ...env(), XDG_RUNTIME_DIR: folder.at('run') };
    await Bun.write(folder.at('run/.keep'), '');
    const get = () =>
      runCommand(
        dockerCredential,
        ['get', '--profiles', folder.at('client.yaml')],
        'registry.example.com',
        shell,
      );

    expect(await get()).toMatchObject({
      exitCode: 1,
      stdout: expect.stringContaining('nobody is logged in'),
    });
    expect(await runCommand(login, profile, '', shell)).toMatchObject({ exitCode: 0 });
    expect(authority.heardAt('/token').map(({ headers }) => headers.has('dpop'))).toEqual([false]);
    const { Secret: secret } = JSON.parse((await get()).stdout);
    expect(secret).toStartWith('e30.');
    await get();
    // The second one came from the cache: one approval, one refresh.
    expect(authority.heardAt('/token')).toHaveLength(2);
    expect(readdirSync(folder.at('run/registry-token'))).toHaveLength(1);

    expect(await runCommand(logout, profile, '', shell)).toMatchObject({ exitCode: 0 });
    expect(readdirSync(folder.at('run/registry-token'))).toEqual([]);
    expect(await get()).toMatchObject({
      exitCode: 1,
      stdout: expect.stringContaining('nobody is logged in'),
    });
  });

  test('serves the kubelet too', async () => {
    const { certificatePath, keyPath } = await writeCertificate(folder, 'laptop');
    const thumbprint = certificateThumbprint(readFileSync(certificatePath, 'utf8'));
    says.claims = { cnf: { 'x5t#S256': thumbprint } };
    says.tokens = { token_type: 'Bearer' };
    const me = { authority: authority.url, clientId: 'cli', login: true, certPath: certificatePath, keyPath };
    const profiles = { me: { ...me, bind: 'certificate', registry: 'registry.example.com' } };
    writeFileSync(folder.at('client.yaml'), stringify({ profiles }));
    const file = ['--profiles', folder.at('client.yaml')];
    await runCommand(login, ['--profile', 'me', ...file], '', env());
    const request = {
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      kind: 'CredentialProviderRequest',
      image: 'registry.example.com/team/app:1',
    };
    const { stdout } = await runCommand(kubeletCredentialProvider, file, JSON.stringify(request), env());
    expect(JSON.parse(stdout).auth['registry.example.com'].password).toStartWith('e30.');
  });

  test('is chosen by the metadata of the Authority, unless a DPoP key is named', async () => {
    const { certificatePath, keyPath } = await writeCertificate(folder, 'laptop');
    const thumbprint = certificateThumbprint(readFileSync(certificatePath, 'utf8'));
    says.metadata = { tls_client_certificate_bound_access_tokens: true };
    const words = [...client(), '--cert', certificatePath, '--key', keyPath];
    says.claims = { cnf: { 'x5t#S256': thumbprint } };
    says.tokens = { token_type: 'Bearer' };
    expect(await runCommand(login, words, '', env())).toMatchObject({ exitCode: 0 });
    says.tokens = {};
    const byKey = await runCommand(login, [...words, '--dpop-key', folder.at('my.pem')], '', env());
    expect(byKey).toMatchObject({ exitCode: 0 });
    const proofs = authority.heardAt('/token').map(({ headers }) => headers.has('dpop'));
    expect(proofs).toEqual([false, true]);
  });

  test('is refused if the Authority binds it to nothing', async () => {
    const { certificatePath, keyPath } = await writeCertificate(folder, 'laptop');
    says.tokens = { token_type: 'Bearer' };
    const words = [...client(), '--cert', certificatePath, '--key', keyPath, '--bind', 'certificate'];
    const { exitCode, stderr } = await runCommand(login, words, '', env());
    expect(exitCode).toBe(1);
    expect(stderr).toContain('the Authority issued one that is not bound to a certificate');
    expect(kept()).toEqual([]);
  });

  test('is that of this certificate alone', async () => {
    const laptop = await writeCertificate(folder, 'laptop');
    const other = await writeCertificate(folder, 'other');
    const thumbprint = certificateThumbprint(readFileSync(laptop.certificatePath, 'utf8'));
    says.claims = { cnf: { 'x5t#S256': thumbprint } };
    says.tokens = { token_type: 'Bearer' };
    const by = ({ certificatePath, keyPath }: typeof laptop) => ['--cert', certificatePath, '--key', keyPath];
    await runCommand(login, [...client(), ...by(laptop), '--bind', 'certificate'], '', env());
    const realm = ['--login', '--realm', 'http://127.0.0.1:9/token', '--service', 's'];
    const use = async (...words: readonly string[]) =>
      (await runCommand(token, [...client(), ...realm, ...words], '', env())).stderr;
    expect(await use(...by(other))).toContain(
      'the login is bound to another certificate than the one in certPath',
    );
    expect(await use()).toContain('the login is bound to a certificate; name it and its key');
    expect(await use(...by(laptop), '--bind', 'dpop')).toContain('a certificate, and bind is dpop');
    expect(authority.heardAt('/token')).toHaveLength(1);
  });
});
