/**
 * People: the executable logs somebody in at real OAuth servers, pulls and pushes at a real registry in their name, and logs out.
 * Keycloak and Glewlwyd are set up by their recipes in etc/authorities.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { decodeJwt } from 'jose';
import { parse, stringify } from 'yaml';
import { certificateThumbprint } from '../../src/client/op-tok.ts';
import { shellWords } from '../../src/platform/quoting.ts';
import { AUTHORITY_SCOPE, startAuthority } from '../support/authority.ts';
import { writeCertificate } from '../support/certificates.ts';
import { describeWith, type Part } from '../support/debian-parts.ts';
import { startGlewlwyd } from '../support/glewlwyd.ts';
import { writeImage } from '../support/images.ts';
import { type ClientSettings, startKeycloak } from '../support/keycloak.ts';
import type { OAuthServer } from '../support/oauth-servers.ts';
import {
  approveAtGlewlwyd,
  approveAtOidcProvider,
  decideAtKeycloak,
  denyAtOidcProvider,
  type Person,
  type ShownCode,
} from '../support/people.ts';
import {
  type Child,
  createTemporaryFolder,
  findFreePort,
  run,
  start,
  type TemporaryFolder,
} from '../support/processes.ts';
import { recipeBlock, recipeConfiguration } from '../support/recipes.ts';
import { type Registry, startRegistry } from '../support/registry.ts';
import {
  BINARY,
  REGISTRY_SERVICE,
  type RunningService,
  runBinary,
  type Section,
  startService,
  TOKEN_ISSUER,
} from '../support/running-service.ts';
import { keepSecret } from '../support/secret-watch.ts';
import { type CertificateAuthority, createCertificateAuthority } from '../support/tls-identities.ts';

// Keycloak takes half a minute to start, and several on a loaded machine.
setDefaultTimeout(400_000);

/** An OAuth server with a client that people log in to. */
interface PeoplesServer extends AsyncDisposable {
  readonly issuer: string;
  /** Sections of the service's configuration. */
  readonly sections: Section;
  /** The profile of a person, beside the registry. */
  readonly profile: Readonly<Record<string, unknown>>;
  readonly approve: (code: ShownCode) => Promise<void>;
  /** Whether its logout revokes the login. */
  readonly revokes: boolean;
}

interface Setting<Server extends PeoplesServer = PeoplesServer> {
  readonly folder: TemporaryFolder;
  readonly server: Server;
  readonly service: RunningService;
  readonly registry: Registry;
  /** Of the person's shell. */
  readonly env: Readonly<Record<string, string>>;
}

const SCOPE = 'repository:team/app:pull,push';
const alice: Person = { name: 'alice', password: keepSecret(crypto.randomUUID()) };

/** What the recipe prints for the service and for people, for a server that is here. */
function recipeFor(name: string, server: OAuthServer): Pick<PeoplesServer, 'sections' | 'profile'> {
  const { profiles } = parse(recipeBlock(name, 'People', 'yaml', 'login: true')) as {
    readonly profiles: { readonly me: Record<string, unknown> };
  };
  const own = { authority: server.issuer, caPath: server.caPath };
  return { sections: recipeConfiguration(name, server), profile: { ...profiles.me, ...own } };
}

/** Starts a login, and has the code approved once it is shown. */
async function logInBy(env: Readonly<Record<string, string>>, decide: (code: ShownCode) => Promise<void>) {
  await using child = start([BINARY, 'login', '--profile', 'me'], { env });
  await decide(await shownBy(child));
  return { exitCode: await child.exited, stdout: child.stdout(), stderr: child.stderr() };
}

async function shownBy(child: Child): Promise<ShownCode> {
  const [, verificationUri = '', userCode = ''] = await child.waitForLine(
    /^Open (\S+) and enter the code (\S+) within \d+:\d\d\.$/,
  );
  return { verificationUri, userCode };
}

const loginFilesOf = ({ env }: Setting) => {
  const folder = `${env.HOME}/.local/state/registry-token`;
  return readdirSync(folder).map((name) => `${folder}/${name}`);
};

function describeServer<Server extends PeoplesServer>(
  name: string,
  parts: readonly Part[],
  startServer: (certificateAuthority: CertificateAuthority) => Promise<Server>,
  more: (setting: () => Setting<Server>) => void = () => {},
): void {
  describeWith([...parts, 'docker-registry', 'skopeo', 'openssl'], `a person with ${name}`, () => {
    const stack = new AsyncDisposableStack();
    let setting: Setting<Server>;

    beforeAll(async () => {
      const folder = stack.use(await createTemporaryFolder());
      const server = stack.use(await startServer(await createCertificateAuthority(folder, 'ca')));
      const signing = await writeCertificate(folder, 'registry-signing');
      const service = stack.use(
        await startService({
          authorityIssuer: server.issuer,
          signing: { ...signing },
          sections: server.sections,
        }),
      );
      const registry = stack.use(
        await startRegistry({
          realm: service.realm,
          service: REGISTRY_SERVICE,
          issuer: TOKEN_ISSUER,
          rootCertificatePath: signing.certificatePath,
        }),
      );
      const env = { HOME: folder.path, XDG_CONFIG_HOME: folder.path };
      await mkdir(folder.at('registry-token'));
      const profiles = { me: { ...server.profile, registry: registry.host } };
      await writeFile(folder.at('registry-token/client.yaml'), stringify({ profiles }));
      setting = { folder, server, service, registry, env };
    });

    afterAll(() => stack.disposeAsync());

    const token = () => runBinary(['token', '--profile', 'me', '--scope', SCOPE], { env: setting.env });

    test('is told to log in', async () => {
      const { exitCode, stderr } = await token();
      expect(exitCode).toBe(1);
      expect(stderr).toContain('nobody is logged in; run registry-token login');
    });

    test('logs in, pushes and pulls with the agent and with a token, and logs out', async () => {
      const { folder, server, registry, env } = setting;
      const loggedIn = await logInBy(env, server.approve);
      expect(loggedIn).toMatchObject({ exitCode: 0, stdout: '' });
      expect(loggedIn.stderr).toContain(`Logged in at ${server.issuer} as `);
      const files = loginFilesOf(setting);
      expect(files.map((file) => file.replace(/.*\./, '')).sort()).toEqual(['login', 'pem']);
      for (const file of files) expect(statSync(file).mode & 0o777).toBe(0o600);
      const login = files.find((file) => file.endsWith('.login')) ?? '';
      const refreshTokens = new Set([keepSecret(JSON.parse(readFileSync(login, 'utf8')).refreshToken)]);

      for (let count = 0; count < 2; count += 1) {
        const { exitCode, stdout, stderr } = await token();
        expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
        expect(decodeJwt(stdout.trim())).toMatchObject({
          access: [{ type: 'repository', name: 'team/app', actions: ['pull', 'push'] }],
        });
        refreshTokens.add(keepSecret(JSON.parse(readFileSync(login, 'utf8')).refreshToken));
      }
      expect(refreshTokens.size).toBe(3);

      const address = `127.0.0.1:${await findFreePort()}`;
      const listen = ['--listen', address, '--registry', registry.url];
      await using agent = start([BINARY, 'agent', '--profile', 'me', ...listen], { env });
      await agent.waitForLine(/"ready"/);
      const copy = (...words: readonly string[]) =>
        run([
          'skopeo',
          'copy',
          '--insecure-policy',
          '--src-tls-verify=false',
          '--dest-tls-verify=false',
          ...words,
        ]);
      const image = await writeImage(folder.at('image'));
      expect(await copy(image.source, `docker://${address}/team/app:1`)).toMatchObject({ exitCode: 0 });
      // While the agent runs, another process refreshes too.
      expect(await token()).toMatchObject({ exitCode: 0 });
      const pulled = `oci:${folder.at('pulled')}:latest`;
      expect(await copy(`docker://${address}/team/app:1`, pulled)).toMatchObject({ exitCode: 0 });
      await agent.stop();

      await cp(`${env.HOME}/.local`, folder.at('copy'), { recursive: true });
      const out = await runBinary(['logout', '--profile', 'me'], { env });
      expect(out).toMatchObject({ exitCode: 0, stdout: '' });
      expect(out.stderr).toContain(server.revokes ? 'the login is revoked at' : 'offers no revocation');
      expect(loginFilesOf(setting)).toEqual([]);
      expect((await token()).stderr).toContain('nobody is logged in');
      if (!server.revokes) return;
      // Whoever has a copy of key and refresh token has nothing.
      await rm(`${env.HOME}/.local`, { recursive: true });
      await cp(folder.at('copy'), `${env.HOME}/.local`, { recursive: true });
      const { exitCode, stderr } = await token();
      expect(exitCode).toBe(1);
      expect(stderr).toContain('the login has ended; run registry-token login again');
      await rm(`${env.HOME}/.local`, { recursive: true });
    });

    more(() => setting);
  });
}

/** Seconds. */
const SHORT = 4;

describeServer(
  'oidc-provider',
  [],
  async () => {
    const authority = await startAuthority({
      clients: [{ id: 'registry-cli', plan: 'enterprise', isForPeople: true }],
      tokenLifetime: SHORT,
      deviceCodeLifetime: 30,
    });
    return {
      issuer: authority.issuer,
      sections: {
        plans: { enterprise: { repositories: [{ pattern: 'team/**', actions: ['pull', 'push'] }] } },
        defaultPlan: 'enterprise',
      },
      profile: {
        authority: authority.issuer,
        clientId: 'registry-cli',
        login: true,
        authorityScope: AUTHORITY_SCOPE,
      },
      approve: (code) => approveAtOidcProvider(code, alice.name),
      revokes: true,
      [Symbol.asyncDispose]: () => authority[Symbol.asyncDispose](),
    };
  },
  (setting) => {
    test('who denies the request is told so, and nobody is logged in', async () => {
      const { env } = setting();
      const { exitCode, stderr } = await logInBy(env, denyAtOidcProvider);
      expect(exitCode).toBe(1);
      expect(stderr).toEndWith('registry-token login: login: the request was denied at the Authority\n');
      expect(loginFilesOf(setting()).filter((file) => file.endsWith('.login'))).toEqual([]);
    });

    test('a code that nobody approves expires', async () => {
      const { exitCode, stderr } = await logInBy(setting().env, async () => {});
      expect(exitCode).toBe(1);
      expect(stderr).toContain('the code expired before it was approved; run registry-token login again');
    });

    test('Ctrl-C ends the wait at once and leaves no login', async () => {
      await using child = start([BINARY, 'login', '--profile', 'me'], { env: setting().env });
      await shownBy(child);
      child.signal('SIGINT');
      expect(await child.exited).toBe(1);
      expect(child.stderr()).toEndWith('registry-token login: interrupted\n');
      expect(loginFilesOf(setting()).filter((file) => file.endsWith('.login'))).toEqual([]);
    });

    test('the agent gets a new OpTok by the login when the one it has has expired', async () => {
      const { env, server, registry } = setting();
      expect(await logInBy(env, server.approve)).toMatchObject({ exitCode: 0 });
      const address = `127.0.0.1:${await findFreePort()}`;
      const listen = ['--listen', address, '--registry', registry.url];
      await using agent = start([BINARY, 'agent', '--profile', 'me', ...listen], { env });
      await agent.waitForLine(/"ready"/);
      // Each repository needs a registry token of its own, and its OpTok must not have expired.
      for (const repository of ['team/one', 'team/two']) {
        const response = await fetch(`http://${address}/v2/${repository}/tags/list`);
        // The registry does not know the repository, but lets the agent in.
        expect([repository, response.status]).toEqual([repository, 404]);
        await Bun.sleep(SHORT * 1000 + 500);
      }
      expect(await runBinary(['logout', '--profile', 'me'], { env })).toMatchObject({ exitCode: 0 });
    });

    test('eight processes that get a token at once do not end the login', async () => {
      const { env, server } = setting();
      expect(await logInBy(env, server.approve)).toMatchObject({ exitCode: 0 });
      const words = ['token', '--profile', 'me', '--scope', SCOPE];
      const results = await Promise.all(Array.from({ length: 8 }, () => runBinary(words, { env })));
      expect(results.map(({ exitCode, stderr }) => [exitCode, stderr])).toEqual(results.map(() => [0, '']));
      expect(await runBinary(words, { env })).toMatchObject({ exitCode: 0 });
    });

    test('processes that are interrupted, whenever it is, do not end the login', async () => {
      const { env, server } = setting();
      expect(await logInBy(env, server.approve)).toMatchObject({ exitCode: 0 });
      const words = [BINARY, 'token', '--profile', 'me', '--scope', SCOPE];
      for (let delay = 0; delay < 200; delay += 10) {
        await using child = start(words, { env });
        await Bun.sleep(delay);
        child.signal(delay % 20 === 0 ? 'SIGINT' : 'SIGTERM');
        await child.exited;
      }
      expect(await runBinary(words.slice(1), { env })).toMatchObject({ exitCode: 0 });
    });

    test('a terminal shows page, code, QR code and the time that is left; a pipe gets no QR code', async () => {
      const { env, server } = setting();
      const command = shellWords([BINARY, 'login', '--profile', 'me']);
      const onTerminal = async (words: string, shows: (text: string) => void) => {
        await using child = start(
          ['script', '--quiet', '--flush', '--return', '--command', words, '/dev/null'],
          {
            env: { ...env, TERM: 'xterm-256color' },
          },
        );
        await child.waitForLine(/Waiting for the approval, (?:0:30|0:2\d) left/);
        const text = child.stdout();
        const [, verificationUri = ''] = /^ {2}(http\S+)\r?$/m.exec(text) ?? [];
        const [, userCode = ''] = /^ {2}([A-Z]{4}-[A-Z]{4})\r?$/m.exec(text) ?? [];
        shows(text);
        await server.approve({ verificationUri, userCode });
        expect(await child.exited).toBe(0);
        expect(child.stdout()).toContain('Logged in at');
        expect(new Set(child.stdout().match(/\d:\d\d left/g)).size).toBeGreaterThan(1);
      };
      await onTerminal(`stty columns 100; ${command}`, (text) =>
        expect(text.match(/[ ▀▄█]{33}/g)).toHaveLength(17),
      );
      await onTerminal(`stty columns 100; ${command} --no-qr`, (text) => expect(text).not.toMatch(/[▀▄█]/));
      await onTerminal(`stty columns 20; ${command}`, (text) => expect(text).not.toMatch(/[▀▄█]/));
      await onTerminal(`${command} | cat`, (text) => expect(text).not.toMatch(/[▀▄█]/));
    });
  },
);

describeServer('Glewlwyd', ['glewlwyd'], async (certificateAuthority) => {
  const server = await startGlewlwyd(alice.password, certificateAuthority);
  const instance = {
    'auth-type-device-enabled': true,
    'device-authorization-expiration': 600,
    'device-authorization-interval': 1,
    'auth-type-refresh-enabled': true,
    'refresh-token-one-use': 'always',
  };
  const issuer = await server.addInstance('people', instance);
  await server.addClient('registry-cli', {
    confidential: false,
    authorization_type: ['device_authorization', 'refresh_token'],
    token_endpoint_auth_method: ['none'],
  });
  await server.addPerson(alice.name, alice.password);
  return {
    ...recipeFor('glewlwyd', { ...server, issuer }),
    issuer,
    approve: (code) => approveAtGlewlwyd(code, alice, certificateAuthority.certificate),
    // It revokes for clients with a credential alone.
    revokes: false,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
});

/** A public client whose tokens are bound to the certificate of whoever logs in. */
const withCertificate: ClientSettings = {
  clientId: 'registry-cli-certificate',
  publicClient: true,
  standardFlowEnabled: false,
  attributes: {
    'oauth2.device.authorization.grant.enabled': 'true',
    'tls.client.certificate.bound.access.tokens': 'true',
  },
  defaultClientScopes: ['registry.token.issue', 'roles', 'basic'],
  optionalClientScopes: ['offline_access'],
};

interface KeycloakForPeople extends PeoplesServer {
  readonly certificateAuthority: CertificateAuthority;
  readonly deny: (code: ShownCode) => Promise<void>;
}

describeServer<KeycloakForPeople>(
  'Keycloak',
  ['java', 'keycloak'],
  async (certificateAuthority) => {
    const server = await startKeycloak(certificateAuthority);
    const client = recipeBlock('keycloak', 'People', 'json', '"clientId": "registry-cli"');
    await server.addClient(JSON.parse(client) as ClientSettings, []);
    await server.addClient(withCertificate, []);
    await server.addPerson(alice.name, alice.password, ['enterprise']);
    const { certificate } = certificateAuthority;
    return {
      ...recipeFor('keycloak', server),
      issuer: server.issuer,
      certificateAuthority,
      approve: (code) => decideAtKeycloak(code, alice, certificate, 'accept'),
      deny: (code) => decideAtKeycloak(code, alice, certificate, 'cancel'),
      revokes: true,
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  },
  (setting) => {
    test('who denies the request is told so', async () => {
      const { env, server } = setting();
      const { exitCode, stderr } = await logInBy(env, server.deny);
      expect(exitCode).toBe(1);
      expect(stderr).toEndWith('registry-token login: login: the request was denied at the Authority\n');
    });

    test('logs in with a certificate, and the credential helper gives out what is bound to it', async () => {
      const { folder, server, env, registry } = setting();
      const { certificatePath, keyPath, certificate } = await server.certificateAuthority.issue('laptop');
      const { clientId } = withCertificate;
      const me = { ...server.profile, clientId, bind: 'certificate', certPath: certificatePath, keyPath };
      const shell = { ...env, XDG_CONFIG_HOME: folder.at('with-certificate') };
      await mkdir(folder.at('with-certificate/registry-token'), { recursive: true });
      const profiles = stringify({ profiles: { me: { ...me, registry: registry.host } } });
      await writeFile(folder.at('with-certificate/registry-token/client.yaml'), profiles);
      expect(await logInBy(shell, server.approve)).toMatchObject({ exitCode: 0 });
      for (let count = 0; count < 2; count += 1) {
        const get = await runBinary(['docker-credential', 'get'], { env: shell, input: registry.host });
        expect(get).toMatchObject({ exitCode: 0, stderr: '' });
        expect(decodeJwt(JSON.parse(get.stdout).Secret)).toMatchObject({
          cnf: { 'x5t#S256': certificateThumbprint(certificate) },
          realm_access: { roles: expect.arrayContaining(['enterprise']) },
        });
      }
      expect(await runBinary(['logout', '--profile', 'me'], { env: shell })).toMatchObject({ exitCode: 0 });
    });
  },
);
