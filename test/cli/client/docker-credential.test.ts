/** `docker-credential`: docker's protocol on standard input and output, and OpToks bound to a certificate alone. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dockerCredential, hostOf } from '../../../src/cli/client/docker-credential.ts';
import { openDpopKey } from '../../../src/client/dpop.ts';
import { type ClientSite, createClientSite } from '../../support/client-profiles.ts';
import { describeWith } from '../../support/debian-parts.ts';
import { startFakeServer } from '../../support/fake-server.ts';
import { runCommand } from '../../support/run-command.ts';

const NOT_FOUND = 'credentials not found in native keychain\n';

describeWith(['openssl'], 'the credential helper', () => {
  let site: ClientSite;

  beforeEach(async () => {
    site = await createClientSite();
  });

  afterEach(async () => {
    await site[Symbol.asyncDispose]();
  });

  /** With a cache below the site's folder, unless it is told otherwise. */
  function call(
    action: string,
    input: string,
    env: Record<string, string> = { XDG_RUNTIME_DIR: site.folder.path },
  ) {
    return runCommand(dockerCredential, [action, '--profiles', site.profilesPath], input, env);
  }

  const opToks = () => site.authority.heardAt('/token').length;

  test('get prints the host, the user and an OpTok, and nothing else', async () => {
    const { exitCode, stdout, stderr } = await call('get', 'registry.example.com\n');
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      ServerURL: 'registry.example.com',
      Username: 'registry-token',
      Secret: expect.stringMatching(/^e30\.[\w-]+\.c2ln$/),
    });
    expect(stdout).toMatch(/^\{.*\}\n$/);
    expect(site.authority.heardAt('/token')[0]?.headers.has('dpop')).toBe(false);
  });

  test.each(['https://registry.example.com', 'https://registry.example.com/v1/', 'Registry.Example.com'])(
    'get of %s is of the same registry, and repeats the name as it was asked',
    async (serverUrl) => {
      expect(JSON.parse((await call('get', serverUrl)).stdout).ServerURL).toBe(serverUrl);
    },
  );

  test.each(['other.example.com', 'registry.example.com:5000', 'example.com'])(
    'get of %s, which no profile is for, is not found',
    async (host) => {
      expect(await call('get', host)).toEqual({ exitCode: 1, stdout: NOT_FOUND, stderr: '' });
      expect(site.authority.heard).toEqual([]);
    },
  );

  test('get without any file of profiles is not found', async () => {
    const env = { XDG_CONFIG_HOME: site.folder.at('none') };
    const answer = await runCommand(dockerCredential, ['get'], 'registry.example.com', env);
    expect(answer).toEqual({ exitCode: 1, stdout: NOT_FOUND, stderr: '' });
  });

  test.each(['get', 'erase'])('%s without a host says so in the protocol’s words', async (action) => {
    expect(await call(action, ' \n')).toEqual({
      exitCode: 1,
      stdout: 'no credentials server URL\n',
      stderr: '',
    });
  });

  test('the second get takes the OpTok of the first; after erase it is a new one', async () => {
    const first = await call('get', 'registry.example.com');
    expect(await call('get', 'registry.example.com')).toEqual(first);
    expect(opToks()).toBe(1);
    expect(await call('erase', 'registry.example.com')).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    expect((await call('get', 'registry.example.com')).stdout).not.toBe(first.stdout);
    expect(opToks()).toBe(2);
  });

  test('without a runtime folder nothing is kept anywhere', async () => {
    const before = readdirSync(site.folder.path);
    await call('get', 'registry.example.com', {});
    await call('get', 'registry.example.com', {});
    expect(opToks()).toBe(2);
    expect(readdirSync(site.folder.path)).toEqual(before);
  });

  test.each([[0], [undefined]])(
    'an OpTok that is good for %p seconds is handed on and not kept',
    async (lifetime) => {
      site.gives.expires_in = lifetime;
      expect((await call('get', 'registry.example.com')).exitCode).toBe(0);
      expect((await call('get', 'registry.example.com')).exitCode).toBe(0);
      expect(opToks()).toBe(2);
    },
  );

  test('another client or scope is another OpTok', async () => {
    await call('get', 'registry.example.com');
    site.writeProfiles((node) => ({ node: { ...node, authorityScope: 'registry.other' } }));
    await call('get', 'registry.example.com');
    expect(opToks()).toBe(2);
  });

  test.each([
    ['no certificate', undefined, 'not bound to a certificate'],
    ['another certificate', { 'x5t#S256': 'A'.repeat(43) }, 'bound to another certificate'],
    ['a key', { jkt: 'A'.repeat(43) }, 'not bound to a certificate'],
  ])('an OpTok that is bound to %s is not handed on', async (_what, cnf, message) => {
    site.gives.cnf = cnf;
    const { exitCode, stdout } = await call('get', 'registry.example.com');
    expect(exitCode).toBe(1);
    expect(stdout).toContain(message);
    expect(stdout).not.toContain('c2ln');
  });

  test('a bearer token is given away only while the registry names the realm of the profile', async () => {
    let realm = 'https://token.example.com/token';
    await using registry = startFakeServer(
      () =>
        new Response(null, {
          status: 401,
          headers: { 'WWW-Authenticate': `Bearer realm="${realm}",service="s"` },
        }),
    );
    const host = new URL(registry.url).host;
    const bearer = `e30.${Buffer.from('{"sub":"pod"}').toString('base64url')}.c2ln`;
    const own = { opTokEnv: 'OPTOK', hosts: [host] };
    const get = () => call('get', host, { OPTOK: bearer });
    site.writeProfiles(() => ({ own: { ...own, realm } }));
    expect(JSON.parse((await get()).stdout)).toMatchObject({ Secret: bearer });
    realm = 'https://evil.example.com/token';
    const refused = await get();
    expect(refused.exitCode).toBe(1);
    expect(refused.stdout).toContain('names the realm https://evil.example.com/token, and the profile');
    site.writeProfiles(() => ({ own }));
    expect((await get()).stdout).toContain('set realm in the profile');
  });

  test('an OpTok that is bound to a DPoP key is not given to docker, which cannot make proofs', async () => {
    site.writeProfiles(() => ({
      own: { opTokEnv: 'OPTOK', dpopKeyPath: 'dpop.pem', hosts: ['r.example.com'] },
    }));
    const { key } = await openDpopKey(site.folder.at('dpop.pem'));
    const claims = Buffer.from(JSON.stringify({ cnf: { jkt: key.thumbprint } })).toString('base64url');
    const { exitCode, stdout } = await call('get', 'r.example.com', { OPTOK: `e30.${claims}.c2ln` });
    expect(exitCode).toBe(1);
    expect(stdout).toContain("use 'agent' or 'token'");
  });

  test('mistakes in the profiles are one line on standard output', async () => {
    site.writeProfiles(() => ({ one: {}, two: { bind: 'certificate', opTokEnv: 'T' } }));
    const { exitCode, stdout } = await call('get', 'registry.example.com');
    expect([exitCode, stdout.split('\n').length]).toEqual([1, 2]);
    expect(stdout).toContain('profiles.one: needs authority, opTokPath');
    expect(stdout).toContain('profiles.two.bind: is certificate, which needs certPath and keyPath');
  });

  test('a profile without a certificate is told what it lacks', async () => {
    writeFileSync(site.folder.at('secret'), 's3cret');
    site.writeProfiles(({ certPath: _, keyPath: __, ...node }) => ({
      node: { ...node, clientSecretPath: 'secret' },
    }));
    const { exitCode, stdout } = await call('get', 'registry.example.com');
    expect(exitCode).toBe(1);
    expect(stdout).toContain('set certPath and keyPath to the client certificate');
  });

  test('what the Authority refuses is on standard output, where docker shows it', async () => {
    await site.authority[Symbol.asyncDispose]();
    const { exitCode, stdout, stderr } = await call('get', 'registry.example.com');
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: '' });
    expect(stdout).toContain('connection refused: nothing listens there (ECONNREFUSED)\n');
  });

  test('mistakes in the profiles are there too, each at its place', async () => {
    site.writeProfiles((node) => ({ node: { ...node, clientid: 'x', hosts: [] } }));
    const { exitCode, stdout } = await call('get', 'registry.example.com');
    expect(exitCode).toBe(1);
    expect(stdout).toContain(
      `${site.profilesPath}:8:5: profiles.node.clientid: unknown key; did you mean \`clientId\`?\n`,
    );
    expect(stdout).toContain('profiles.node.hosts: must be at least 1 long');
  });

  test('list names the hosts of every profile, whether or not there is a certificate', async () => {
    site.writeProfiles((node) => ({
      node,
      more: { ...node, registry: undefined, hosts: ['a.example.com:5000', 'B.example.com'] },
      none: { ...node, registry: undefined },
    }));
    const { exitCode, stdout } = await call('list', 'unused');
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      'registry.example.com': 'registry-token',
      'a.example.com:5000': 'registry-token',
      'b.example.com': 'registry-token',
    });
  });

  test('list without profiles is an empty object', async () => {
    rmSync(site.profilesPath);
    const env = { HOME: site.folder.path };
    expect(await runCommand(dockerCredential, ['list'], '', env)).toEqual({
      exitCode: 0,
      stdout: '{}\n',
      stderr: '',
    });
  });

  test('store takes back what get gave, as docker login does, and writes nothing', async () => {
    const { stdout } = await call('get', 'registry.example.com', {});
    const before = readdirSync(site.folder.path);
    expect(await call('store', stdout)).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    expect(readdirSync(site.folder.path)).toEqual(before);
  });

  test.each([
    [
      { ServerURL: 'r', Username: 'me', Secret: 'hunter2' },
      'nothing was stored: this helper keeps no passwords',
    ],
    [{ ServerURL: '', Username: 'me', Secret: 'hunter2' }, 'no credentials server URL\n'],
    [{ ServerURL: 'r', Username: '', Secret: 'hunter2' }, 'no credentials username\n'],
    ['hunter2', 'the credentials on standard input are not a JSON object'],
  ])('store of %j fails, and does not repeat the password', async (credentials, message) => {
    const { exitCode, stdout, stderr } = await call('store', JSON.stringify(credentials));
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: '' });
    expect(stdout).toStartWith(message);
    expect(stdout).not.toContain('hunter2');
  });

  test('erase of a host without a profile succeeds', async () => {
    expect(await call('erase', 'other.example.com')).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  });
});

test('version prints name and version', async () => {
  const { stdout } = await runCommand(dockerCredential, ['version']);
  expect(stdout).toMatch(/^docker-credential-registry-token \d+\.\d+\.\d+\n$/);
});

test.each([[[]], [['put']], [['get', 'more']], [['get', '--verbose']]])(
  '%j is a usage error',
  async (args) => {
    expect((await runCommand(dockerCredential, args)).exitCode).toBe(2);
  },
);

test.each([
  ['https://registry.example.com/v2/team/app', 'registry.example.com'],
  ['registry.example.com/team', 'registry.example.com'],
  ['HTTP://[::1]:5000', '[::1]:5000'],
])('%s is on the host %s', (serverUrl, host) => {
  expect(hostOf(serverUrl)).toBe(host);
});
