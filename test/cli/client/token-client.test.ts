/** `token`: how the client shows who it is, what a profile and a registry tell it, and where the token goes. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import type { JWK } from 'jose';
import { stringify } from 'yaml';
import { token } from '../../../src/cli/client/token.ts';
import { type Authority, startAuthority } from '../../support/authority.ts';
import { type FakeServer, startFakeServer } from '../../support/fake-server.ts';
import { createTemporaryFolder, run, type TemporaryFolder } from '../../support/processes.ts';
import { runCommand } from '../../support/run-command.ts';
import { type ServedHarness, serveHarness } from '../../support/served-harness.ts';
import { decodePart, SERVICE } from '../../support/tokens.ts';

setDefaultTimeout(20_000);

const SCOPE = 'repository:team-a/app:pull';

describe('with oidc-provider and the service', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  let folder: TemporaryFolder;
  let authority: Authority;
  let service: ServedHarness;
  let registry: FakeServer;
  let host: string;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    const assertionKey = { ...createPublicKey(privateKey).export({ format: 'jwk' }), kid: 'k1' } as JWK;
    authority = await startAuthority({
      clients: [
        { id: 'builder', plan: 'enterprise' },
        { id: 'signer', plan: 'enterprise', assertionKey },
      ],
      secretMethod: 'client_secret_post',
    });
    service = await serveHarness(authority);
    const challenge = `Bearer realm="${service.realm}",service="${SERVICE}"`;
    registry = startFakeServer(
      () => new Response('', { status: 401, headers: { 'WWW-Authenticate': challenge } }),
    );
    host = registry.url.replace('http://', '');
    writeFileSync(folder.at('secret'), `${authority.clientSecret}\n`);
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(folder.at('client-key.pem'), pem);
    writeFileSync(
      folder.at('client.jwk'),
      JSON.stringify({ ...privateKey.export({ format: 'jwk' }), kid: 'k1' }),
    );
    const common = { authority: authority.issuer, registry: host };
    const profiles = {
      build: { ...common, clientId: 'builder', clientSecretPath: 'secret', dpopKeyPath: 'dpop.jwk' },
      sign: { ...common, clientId: 'signer', clientKeyPath: 'client.jwk' },
      elsewhere: { ...common, clientId: 'x', clientSecretPath: 'secret', service: 'other.example.com' },
    };
    writeFileSync(folder.at('client.yaml'), stringify({ profiles }));
  });

  afterAll(async () => {
    for (const part of [registry, service, authority, folder]) await part?.[Symbol.asyncDispose]();
  });

  function get(clientId: string, ...more: readonly string[]) {
    const target = ['--authority', authority.issuer, '--realm', service.realm, '--service', SERVICE];
    return runCommand(token, [...target, '--client-id', clientId, '--scope', SCOPE, ...more]);
  }

  function getByProfile(name: string, ...more: readonly string[]) {
    return runCommand(token, [
      '--profile',
      name,
      '--profiles',
      folder.at('client.yaml'),
      '--scope',
      SCOPE,
      ...more,
    ]);
  }

  function expectToken({ exitCode, stdout, stderr }: Awaited<ReturnType<typeof get>>, subject: string): void {
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(decodePart(stdout.trim(), 1)).toMatchObject({ sub: subject, aud: SERVICE });
  }

  test('a secret goes in the form where the Authority takes it only there', async () => {
    expectToken(await get('builder', '--client-secret-path', folder.at('secret')), 'builder');
  });

  test('a method that is demanded is not given up for what the client has', async () => {
    const demanded = ['--client-secret-path', folder.at('secret'), '--client-auth', 'private_key_jwt'];
    expect(await get('builder', ...demanded)).toEqual({
      exitCode: 1,
      stdout: '',
      stderr: "client authentication by private_key_jwt needs the client's key\n",
    });
  });

  test.each(['client.jwk', 'client-key.pem'])(
    'a client with the key %s signs its assertion',
    async (file) => {
      const named = file.endsWith('.pem') ? ['--client-key-id', 'k1'] : [];
      expectToken(await get('signer', '--client-key', folder.at(file), ...named), 'signer');
    },
  );

  test('a key ID that the Authority does not know is its to refuse', async () => {
    const named = ['--client-key', folder.at('client.jwk'), '--client-key-id', 'k2'];
    expect((await get('signer', ...named)).stderr).toContain('invalid_client');
  });

  test('some other key is the Authority’s to refuse, with what to compare', async () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    writeFileSync(folder.at('other.pem'), other.export({ type: 'pkcs8', format: 'pem' }));
    const { exitCode, stderr } = await get('signer', '--client-key', folder.at('other.pem'));
    expect(exitCode).toBe(1);
    expect(stderr).toContain('invalid_client');
    expect(stderr).toContain(
      'compare the client ID and its key (and its key ID) with those at the Authority',
    );
  });

  test('an assertion for the wrong audience is refused, for the token endpoint taken', async () => {
    const key = ['--client-key', folder.at('client.jwk')];
    expect((await get('signer', ...key, '--assertion-audience', 'https://other.example.com')).exitCode).toBe(
      1,
    );
    expectToken(await get('signer', ...key, '--assertion-audience', `${authority.issuer}/token`), 'signer');
  });

  test('the registry is asked for the realm and the service that are not given', async () => {
    const client = [
      '--authority',
      authority.issuer,
      '--client-id',
      'signer',
      '--client-key',
      folder.at('client.jwk'),
    ];
    const answer = await runCommand(token, [...client, '--registry', host, '--scope', SCOPE]);
    expectToken(answer, 'signer');
    const { stderr } = await runCommand(token, [
      ...client,
      '--registry',
      host,
      '--service',
      'other.example.com',
    ]);
    expect(stderr).toContain('other.example.com');
    expect(registry.heard.at(-1)).toMatchObject({ method: 'GET', path: '/v2/' });
    expect(registry.heard.at(-1)?.headers.has('authorization')).toBe(false);
  });

  test('a profile is enough, and its key for DPoP is made beside it', async () => {
    const { exitCode, stdout, stderr } = await getByProfile('build');
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: `Created the DPoP key ${folder.at('dpop.jwk')} (ES256).\n`,
    });
    expect(decodePart(stdout.trim(), 1)).toMatchObject({ sub: 'builder' });
    expectToken(await getByProfile('sign'), 'signer');
  });

  test('what is given replaces what the profile has', async () => {
    const { stderr } = await getByProfile('elsewhere');
    expect(stderr).toContain('invalid_client');
    const given = ['--client-id', 'builder', '--service', SERVICE];
    expectToken(await getByProfile('elsewhere', ...given), 'builder');
    const asSigner = ['--client-id', 'signer', '--client-key', folder.at('client.jwk')];
    expectToken(await getByProfile('build', ...asSigner), 'signer');
  });

  test('a profile that is not there is a fault of the configuration', async () => {
    const { exitCode, stderr } = await getByProfile('bild');
    expect(exitCode).toBe(78);
    expect(stderr).toContain('has no profile bild; did you mean `build`?');
  });

  test('--env prints a line that a shell takes as the token and nothing else', async () => {
    const { stdout } = await getByProfile('sign', '--env');
    expect(stdout).toMatch(/^export REGISTRY_TOKEN=[\w.-]+\n$/);
    const shown = await run(['sh', '-c', `${stdout}\nprintf %s "$REGISTRY_TOKEN"`]);
    expect(decodePart(shown.stdout, 1)).toMatchObject({ sub: 'signer' });
  });

  test('--docker-config stores the token for the registry, and prints it nowhere', async () => {
    const path = folder.at('config.json');
    writeFileSync(path, '{"credsStore": "secretservice"}', { mode: 0o600 });
    const { exitCode, stdout, stderr } = await getByProfile('sign', '--docker-config', path);
    expect({ exitCode, stdout, stderr }).toEqual({
      exitCode: 0,
      stdout: '',
      stderr: `Stored the registry token for ${host} in ${path}, valid for 900 s.\n`,
    });
    const { auths, ...rest } = JSON.parse(readFileSync(path, 'utf8'));
    expect(rest).toEqual({ credsStore: 'secretservice' });
    expect(decodePart(auths[host].registrytoken, 1)).toMatchObject({ sub: 'signer' });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('a broken docker configuration is told before anybody is asked, and not touched', async () => {
    const path = folder.at('broken.json');
    writeFileSync(path, '{"auths": {');
    const before = authority.requestsTo('/token');
    const { exitCode, stderr } = await getByProfile('sign', '--docker-config', path);
    expect(exitCode).toBe(1);
    expect(stderr).toStartWith(`${path} is not valid JSON`);
    expect(authority.requestsTo('/token')).toBe(before);
    expect(readFileSync(path, 'utf8')).toBe('{"auths": {');
  });
});
