/** Real OAuth servers by their recipes in etc/authorities: from discovery to a push and a pull, by `token` and by the agent. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { createPublicKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { decodeJwt } from 'jose';
import { parse } from 'yaml';
import { writeCertificate } from '../support/certificates.ts';
import { describeWith, type Part } from '../support/debian-parts.ts';
import { startGlewlwyd } from '../support/glewlwyd.ts';
import { writeImage } from '../support/images.ts';
import { type ClientSettings, type Keycloak, startKeycloak } from '../support/keycloak.ts';
import type { OAuthServer } from '../support/oauth-servers.ts';
import {
  createTemporaryFolder,
  findFreePort,
  run,
  start,
  type TemporaryFolder,
} from '../support/processes.ts';
import { type Registry, startRegistry } from '../support/registry.ts';
import {
  REGISTRY_SERVICE,
  type RunningService,
  runBinary,
  type Section,
  serviceCommand,
  startService,
  TOKEN_ISSUER,
} from '../support/running-service.ts';
import { keepSecret } from '../support/secret-watch.ts';
import { pull, push } from '../support/skopeo.ts';
import { startSpring } from '../support/spring.ts';

// A Java server takes half a minute to start, and several on a loaded machine.
setDefaultTimeout(400_000);

const recipeOf = (name: string) =>
  readFileSync(new URL(`../../etc/authorities/${name}.md`, import.meta.url), 'utf8');

/** The first block of this kind that the recipe prints below a heading. */
function blockOf(name: string, heading: string, kind: string): string {
  const after = recipeOf(name).split(`\n## ${heading}\n`)[1] ?? '';
  return new RegExp(`\`\`\`${kind}\n(.*?)\`\`\``, 's').exec(after)?.[1] ?? '';
}

/** The recipe's part of the configuration, for a server that is here. */
function configurationOf(name: string, { issuer, caPath }: OAuthServer): Section {
  const { authority, ...plans } = parse(blockOf(name, 'Here', 'yaml'));
  return { authority: { ...authority, issuer, ...(caPath === null ? {} : { caPath }) }, ...plans };
}

interface Setting {
  readonly folder: TemporaryFolder;
  readonly server: OAuthServer;
  readonly service: RunningService;
  readonly registry: Registry;
  readonly secretPath: string;
}

const SCOPE = 'repository:team/app:pull,push';

function describeServer<Server extends OAuthServer>(
  name: string,
  parts: readonly Part[],
  startServer: (secret: string) => Promise<Server>,
  more: (setting: () => Setting & { readonly server: Server }) => void = () => {},
): void {
  describeWith([...parts, 'docker-registry', 'skopeo', 'openssl'], `${name}, by its recipe`, () => {
    const stack = new AsyncDisposableStack();
    let setting: Setting & { readonly server: Server };

    beforeAll(async () => {
      const folder = stack.use(await createTemporaryFolder());
      const secret = keepSecret(randomUUID());
      const secretPath = folder.at('secret');
      await writeFile(secretPath, secret, { mode: 0o600 });
      const signing = await writeCertificate(folder, 'registry-signing');
      const server = stack.use(await startServer(secret));
      const service = stack.use(
        await startService({
          authorityIssuer: server.issuer,
          signing: { ...signing },
          sections: configurationOf(name, server),
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
      setting = { folder, server, service, registry, secretPath };
    });

    afterAll(() => stack.disposeAsync());

    const client = () => [
      ...['--authority', setting.server.issuer, '--client-id', setting.server.clientId],
      ...['--client-secret-path', setting.secretPath, ...setting.server.tokenOptions],
    ];

    test('`check` finds nothing that its tokens could fail for', async () => {
      const { stdout } = await runBinary(['check', '--json', '--config', setting.service.configurationPath]);
      const { findings } = JSON.parse(stdout) as { findings: { code: string }[] };
      const codes = findings.map(({ code }) => code);
      expect(codes.filter((code) => /^(?:authority|proof|clock|audience|rule)/.test(code))).toEqual([]);
    });

    test('`token` gets a token by DPoP, with which skopeo pushes and pulls', async () => {
      const { folder, service, registry } = setting;
      const realm = ['--realm', service.realm, '--service', REGISTRY_SERVICE];
      const { exitCode, stdout, stderr } = await runBinary([
        'token',
        ...client(),
        ...realm,
        '--scope',
        SCOPE,
      ]);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      expect(decodeJwt(stdout.trim())).toMatchObject({
        access: [{ type: 'repository', name: 'team/app', actions: ['pull', 'push'] }],
      });
      const image = await writeImage(folder.at('image'));
      const name = `${registry.host}/team/app:1`;
      expect(await push(image.source, name, stdout.trim())).toMatchObject({ exitCode: 0 });
      expect(await pull(name, folder.at('pulled'), stdout.trim())).toMatchObject({ exitCode: 0 });
    });

    test('the agent pushes and pulls for a client without credentials', async () => {
      const { folder, registry } = setting;
      const port = await findFreePort();
      const listen = ['--listen', `127.0.0.1:${port}`, '--registry', registry.url];
      await using agent = start([...serviceCommand, 'agent', ...listen, ...client()]);
      await agent.waitForLine(/"ready"/, 60_000);
      const copy = (...words: readonly string[]) =>
        run([
          'skopeo',
          'copy',
          '--insecure-policy',
          '--src-tls-verify=false',
          '--dest-tls-verify=false',
          ...words,
        ]);
      const image = await writeImage(folder.at('for-agent'));
      const name = `docker://127.0.0.1:${port}/team/agent:1`;
      expect(await copy(image.source, name)).toMatchObject({ exitCode: 0 });
      expect(await copy(name, `oci:${folder.at('from-agent')}:latest`)).toMatchObject({ exitCode: 0 });
    });

    test('another repository is denied, and the log names the Authority and the rule', async () => {
      const { service } = setting;
      const realm = ['--realm', service.realm, '--service', REGISTRY_SERVICE];
      const scope = ['--scope', 'repository:other/app:pull'];
      const { exitCode, stderr } = await runBinary(['token', ...client(), ...realm, ...scope]);
      expect(exitCode).toBe(1);
      expect(stderr).toContain('The plan enterprise does not allow repository:other/app:pull');
      await service.child.waitForLine(/"authority":"default".*"rule":".*plan-denied/);
    });

    more(() => setting);
  });
}

describeServer('glewlwyd', ['glewlwyd'], startGlewlwyd);

describeServer('spring', ['java', 'spring'], (secret) =>
  startSpring(blockOf('spring', 'There', 'properties'), secret),
);

describeServer('keycloak', ['java', 'keycloak'], startKeycloakAsPrinted, (setting) => {
  const scopes = ['registry.token.issue', 'roles', 'basic'];
  const common = { publicClient: false, serviceAccountsEnabled: true, standardFlowEnabled: false };

  const token = (...client: readonly string[]) => {
    const { server, service } = setting();
    return runBinary([
      ...['token', '--authority', server.issuer, ...server.tokenOptions, ...client],
      ...['--realm', service.realm, '--service', REGISTRY_SERVICE, '--scope', SCOPE],
    ]);
  };

  test('a client with a key (private_key_jwt) gets a token', async () => {
    const { server, folder } = setting();
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = createPublicKey(privateKey).export({ format: 'jwk' });
    const keySet = { keys: [{ ...jwk, kid: 'key-1', alg: 'ES256', use: 'sig' }] };
    const attributes = {
      'dpop.bound.access.tokens': 'true',
      'use.jwks.string': 'true',
      'jwks.string': JSON.stringify(keySet),
    };
    const settings = {
      ...common,
      clientAuthenticatorType: 'client-jwt',
      attributes,
      defaultClientScopes: scopes,
    };
    await server.addClient({ clientId: 'with-key', ...settings }, ['enterprise']);
    await writeFile(folder.at('client.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), {
      mode: 0o600,
    });
    const key = ['--client-key', folder.at('client.pem'), '--client-key-id', 'key-1'];
    expect(await token('--client-id', 'with-key', ...key)).toMatchObject({ exitCode: 0, stderr: '' });
  });

  test('its tokens are bound to a certificate where the client is set so', async () => {
    const { server } = setting();
    const attributes = { 'tls.client.certificate.bound.access.tokens': 'true', 'x509.subjectdn': 'CN=node' };
    const settings = {
      ...common,
      clientAuthenticatorType: 'client-x509',
      attributes,
      defaultClientScopes: scopes,
    };
    await server.addClient({ clientId: 'node', ...settings }, ['enterprise']);
    const { certificate, key } = await server.certificateAuthority.issue('node');
    const response = await fetch(`${server.issuer}/protocol/openid-connect/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'client_credentials', client_id: 'node' }),
      tls: { ca: server.certificateAuthority.certificate, cert: certificate, key },
    });
    const { access_token: opTok } = (await response.json()) as { access_token: string };
    const { configurationPath } = setting().service;
    const words = ['explain', '--config', configurationPath, '--token', '-', '--verify', '--json', SCOPE];
    const { stdout, exitCode } = await runBinary(words, { input: opTok });
    expect(JSON.parse(stdout)).toMatchObject({
      outcome: 'granted',
      faults: [],
      claims: { cnf: { 'x5t#S256': expect.any(String) } },
    });
    expect(exitCode).toBe(0);
  });

  test('tokens signed with a new key are taken as soon as they come', async () => {
    const { server, secretPath } = setting();
    await server.rotateKey();
    // One unknown kid may cause a fetch each 30 seconds.
    const deadline = Date.now() + 60_000;
    let last = await token('--client-id', 'builder', '--client-secret-path', secretPath);
    while (last.exitCode !== 0 && Date.now() < deadline) {
      await Bun.sleep(3000);
      last = await token('--client-id', 'builder', '--client-secret-path', secretPath);
    }
    expect(last).toMatchObject({ exitCode: 0 });
  });
});

async function startKeycloakAsPrinted(secret: string): Promise<Keycloak> {
  const server = await startKeycloak();
  const printed = JSON.parse(blockOf('keycloak', 'There', 'json')) as ClientSettings;
  await server.addClient({ ...printed, secret }, ['enterprise']);
  return server;
}
