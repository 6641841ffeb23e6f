/** `token`: from a client's credentials to a registry token, with oidc-provider and the real service. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { clientDependencies, toClientSettings } from '../../../src/cli/client/options.ts';
import { token } from '../../../src/cli/client/token.ts';
import { openClient } from '../../../src/client/client-settings.ts';
import { certificateThumbprint } from '../../../src/client/op-tok.ts';
import { type Authority, startAuthority } from '../../support/authority.ts';
import { describeWith } from '../../support/debian-parts.ts';
import { startFakeServer } from '../../support/fake-server.ts';
import { createTemporaryFolder, runOrFail, type TemporaryFolder } from '../../support/processes.ts';
import { runCommand } from '../../support/run-command.ts';
import { type ServedHarness, serveHarness } from '../../support/served-harness.ts';
import { decodePart, SERVICE } from '../../support/tokens.ts';

describe('with oidc-provider and the service', () => {
  let folder: TemporaryFolder;
  let authority: Authority;
  let service: ServedHarness;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    authority = await startAuthority({ clients: [{ id: 'builder', plan: 'enterprise' }] });
    service = await serveHarness(authority);
    writeFileSync(folder.at('secret'), `${authority.clientSecret}\n`);
    writeFileSync(folder.at('wrong-secret'), 'a wrong secret\n');
  });

  afterAll(async () => {
    await service?.[Symbol.asyncDispose]();
    await authority?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  /** The words of a good command, and more: a later option replaces an earlier one. */
  function get(...more: readonly string[]) {
    const client = ['--client-id', 'builder', '--client-secret-path', folder.at('secret')];
    const target = ['--authority', authority.issuer, '--realm', service.realm, '--service', SERVICE];
    return runCommand(token, [...target, ...client, ...more]);
  }

  test('prints a registry token for the scopes, and nothing else', async () => {
    const scopes = ['--scope', 'repository:team-a/app:pull,push', '--scope', 'repository:team-b/lib:pull'];
    const { exitCode, stdout, stderr } = await get(...scopes);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect(decodePart(stdout.trim(), 1)).toMatchObject({
      sub: 'builder',
      aud: SERVICE,
      access: [
        { type: 'repository', name: 'team-a/app', actions: ['pull', 'push'] },
        { type: 'repository', name: 'team-b/lib', actions: ['pull'] },
      ],
    });
  });

  test('an OpTok that exists already is brought with the DPoP key that it is bound to', async () => {
    const settings = toClientSettings(
      {
        authority: authority.issuer,
        'client-id': 'builder',
        'client-secret-path': folder.at('secret'),
        'dpop-key': folder.at('given.pem'),
      },
      {},
      {},
    );
    const dependencies = clientDependencies({ env: {}, tell: () => {} });
    const { accessToken } = await openClient(settings, 'ourselves', dependencies).requestOpTok();
    writeFileSync(folder.at('given.optok'), `${accessToken}\n`);
    const ask = (...args: readonly string[]) =>
      runCommand(token, ['--realm', service.realm, '--service', SERVICE, ...args], '', {
        OPTOK: accessToken,
        PATH: '/usr/bin:/bin',
      });
    const key = ['--dpop-key', folder.at('given.pem')];
    for (const source of [
      ['--op-tok-path', folder.at('given.optok')],
      ['--op-tok-env', 'OPTOK'],
      ['--op-tok-command', `cat ${folder.at('given.optok')}`],
    ]) {
      const { exitCode, stdout, stderr } = await ask(...source, ...key);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      expect(decodePart(stdout.trim(), 1)).toMatchObject({ sub: 'builder' });
    }
    expect(await ask('--op-tok-env', 'OPTOK')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('is bound to a DPoP key; name its file'),
    });
    expect(await ask('--op-tok-env', 'OPTOK', '--dpop-key', folder.at('none.pem'))).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('none.pem does not exist'),
    });
  });

  test('a bearer token is not sent to a realm that only the registry names', async () => {
    const bearer = `e30.${Buffer.from('{}').toString('base64url')}.c2ln`;
    await using registry = startFakeServer(
      () =>
        new Response(null, {
          status: 401,
          headers: { 'WWW-Authenticate': `Bearer realm="${service.realm}",service="${SERVICE}"` },
        }),
    );
    const ask = (...args: readonly string[]) =>
      runCommand(token, ['--registry', registry.url, '--op-tok-env', 'OPTOK', ...args], '', {
        OPTOK: bearer,
      });
    expect((await ask()).stderr).toContain('set realm in the profile, or --realm');
    // The realm is named, so the service is asked, and refuses what is no token of its Authority.
    expect((await ask('--realm', service.realm)).stderr).toContain('answered 401');
  });

  test('without a scope the token is good for a login', async () => {
    const { stdout } = await get();
    expect(decodePart(stdout.trim(), 1)).toMatchObject({ access: [] });
  });

  test('--json prints the whole answer on one line', async () => {
    const { stdout } = await get('--json');
    expect(stdout).toMatch(/^\{.*\}\n$/);
    expect(JSON.parse(stdout)).toMatchObject({ token: expect.any(String), expires_in: 900 });
  });

  test('--dpop-key is made, used, and used again', async () => {
    const first = await get('--dpop-key', folder.at('dpop.pem'));
    expect(first).toMatchObject({
      exitCode: 0,
      stderr: `Created the DPoP key ${folder.at('dpop.pem')} (ES256).\n`,
    });
    expect(await get('--dpop-key', folder.at('dpop.pem'))).toMatchObject({ exitCode: 0, stderr: '' });
    const confirmations = service.harness.decisions.slice(-2).map(({ caller }) => {
      if (caller?.kind !== 'verified') throw new Error('The caller is not known.');
      return caller.claims.cnf;
    });
    expect(confirmations[0]).toEqual({ jkt: expect.any(String) });
    expect(confirmations[1]).toEqual(confirmations[0]);
  });

  test('what the plan refuses is said, with exit code 1 and nothing printed', async () => {
    const { exitCode, stdout, stderr } = await get('--scope', 'repository:other/app:pull');
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toStartWith(`registry token: ${service.realm} answered 403 insufficient_scope: "`);
  });

  test('a wrong secret is the Authority’s to refuse, and is not shown', async () => {
    const { exitCode, stderr } = await get('--client-secret-path', folder.at('wrong-secret'));
    expect(exitCode).toBe(1);
    expect(stderr).toStartWith(`OpTok: ${authority.issuer}/token answered 401 invalid_client: "`);
    expect(stderr).toEndWith('; compare the client ID and its secret with those at the Authority\n');
    expect(stderr).not.toContain('a wrong secret');
  });

  test('an OpTok that was given without the scope comes with what to do', async () => {
    const { stderr } = await get('--authority-scope', 'registry.everything');
    expect(stderr).toContain('lacks the scope registry.token.issue');
    expect(stderr).toEndWith(
      '(token-scope); request that scope from the Authority, and allow it for this client there\n',
    );
  });

  test('an Authority that goes by another name is told', async () => {
    const { stderr } = await get('--authority', authority.issuer.replace('127.0.0.1', 'localhost'));
    expect(stderr).toContain(`discovery: http://localhost:${authority.port}/`);
  });

  test.each([
    [
      ['--client-secret-path', '/nonexistent/secret'],
      'cannot read the client secret from /nonexistent/secret: no such file (ENOENT)',
    ],
    [
      ['--ca', '/nonexistent/ca.pem'],
      'cannot read the certificate authority from /nonexistent/ca.pem: no such file (ENOENT)',
    ],
  ])('%j is a failure that names the file', async (more, message) => {
    expect(await get(...more)).toMatchObject({ exitCode: 1, stderr: `${message}\n` });
  });
});

const client = ['--authority', 'https://a', '--client-id', 'b', '--client-secret-path', 's'];

test.each([
  [[], '--authority (or --op-tok-path, --op-tok-env, --op-tok-command, --profile) is missing'],
  [['--authority', 'https://a'], '--client-id is missing'],
  [client.slice(0, 4), '--client-secret-path, or --client-key, or --cert and --key, is missing'],
  [client, '--realm is missing (or --registry, to ask the registry for it)'],
  [[...client, '--realm', 'https://r'], '--service is missing (or --registry, to ask the registry for it)'],
  [[...client, '--cert', 'c'], '--cert and --key must be given together'],
  [[...client, '--key', 'k'], '--cert and --key must be given together'],
  [[...client, '--client-key', 'k'], '--client-secret-path and --client-key cannot be combined'],
  [
    [...client, '--client-auth', 'basic'],
    '--client-auth must be one of client_secret_basic, client_secret_post, ',
  ],
  [[...client, '--bind', 'mtls'], '--bind must be dpop or certificate'],
  [
    [...client, '--op-tok-env', 'T'],
    '--authority (with or without --login), --op-tok-path, --op-tok-env and --op-tok-command cannot be combined',
  ],
  [[...client, '--json', '--env'], '--json, --env and --docker-config cannot be combined'],
  [['--profiles', 'f'], '--profiles needs --profile, the name of one of its profiles'],
  [[...client, '--realm', 'https://r', '--service', 's', '--docker-config', 'c'], '--registry is missing'],
])('%j is a usage error', async (args, message) => {
  const { exitCode, stderr } = await runCommand(token, args);
  expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining(message) });
});

describeWith(['openssl'], 'with a client certificate', () => {
  let folder: TemporaryFolder;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    for (const name of ['client', 'other']) {
      const key = [
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        folder.at(`${name}.key`),
      ];
      await runOrFail([
        'openssl',
        'req',
        '-x509',
        ...key,
        '-subj',
        `/CN=${name}`,
        '-out',
        folder.at(`${name}.crt`),
      ]);
    }
    const thumbprint = certificateThumbprint(readFileSync(folder.at('client.crt'), 'utf8'));
    const claims = JSON.stringify({ cnf: { 'x5t#S256': thumbprint } });
    bound = `e30.${Buffer.from(claims).toString('base64url')}.c2ln`;
  });

  afterAll(async () => {
    await folder?.[Symbol.asyncDispose]();
  });

  /** An OpTok that is bound to the certificate. */
  let bound: string;

  /** An Authority and a realm in one, that gives a token of this type. */
  function fake(tokenType: string, metadata: Record<string, unknown> = {}, opTok = bound) {
    const server = startFakeServer(({ path }) => {
      const [issuer, endpoint] = [server.url, `${server.url}/op-tok`];
      if (path.startsWith('/.well-known/'))
        return Response.json({ issuer, token_endpoint: endpoint, ...metadata });
      if (path === '/op-tok') return Response.json({ access_token: opTok, token_type: tokenType });
      return Response.json({ token: 'registry.token.1' });
    });
    return server;
  }

  function get(url: string, ...more: readonly string[]) {
    const target = [
      '--authority',
      url,
      '--realm',
      `${url}/token`,
      '--service',
      SERVICE,
      '--client-id',
      'builder',
    ];
    const certificate = ['--cert', folder.at('client.crt'), '--key', folder.at('client.key')];
    return runCommand(token, [...target, ...certificate, ...more]);
  }

  test('no proof is made where the Authority binds to certificates', async () => {
    await using server = fake('Bearer', { tls_client_certificate_bound_access_tokens: true });
    expect((await get(server.url)).stdout).toBe('registry.token.1\n');
    expect(server.heardAt('/op-tok')[0]?.form.get('client_id')).toBe('builder');
    expect(server.heardAt('/op-tok')[0]?.headers.has('dpop')).toBe(false);
    expect(server.heardAt('/token')[0]?.headers.get('authorization')).toBe(`Bearer ${bound}`);
    expect(server.heardAt('/token')[0]?.headers.has('dpop')).toBe(false);
  });

  test('an Authority that does not say so is sent a proof, and a Bearer token is brought as it is', async () => {
    await using server = fake('Bearer');
    expect((await get(server.url)).stdout).toBe('registry.token.1\n');
    expect(server.heardAt('/op-tok')[0]?.headers.has('dpop')).toBe(true);
    expect(server.heardAt('/token')[0]?.headers.get('authorization')).toBe(`Bearer ${bound}`);
    expect(server.heardAt('/token')[0]?.headers.has('dpop')).toBe(false);
  });

  test('one that is bound to nothing is brought to nobody', async () => {
    await using server = fake('Bearer', {}, 'op.tok.1');
    const { exitCode, stdout, stderr } = await get(server.url);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toContain('not bound to a certificate; make it bind');
    expect(server.heardAt('/token')).toHaveLength(0);
  });

  test('with --dpop-key the OpTok is bound by DPoP whatever the Authority does with certificates', async () => {
    await using server = fake('DPoP', { tls_client_certificate_bound_access_tokens: true });
    expect((await get(server.url, '--dpop-key', folder.at('dpop.pem'))).stdout).toBe('registry.token.1\n');
    expect(server.heardAt('/token')[0]?.headers.get('authorization')).toBe(`DPoP ${bound}`);
    expect(server.heardAt('/token')[0]?.headers.has('dpop')).toBe(true);
  });

  test('the OpTok is asked for where the Authority has clients with a certificate go', async () => {
    await using mtls = fake('Bearer');
    const aliases = { token_endpoint: `${mtls.url}/op-tok` };
    await using server = fake('Bearer', { mtls_endpoint_aliases: aliases });
    expect((await get(server.url)).exitCode).toBe(0);
    expect(server.heardAt('/op-tok')).toHaveLength(0);
    expect(mtls.heardAt('/op-tok')).toHaveLength(1);
  });

  test('a secret beside the certificate is what authenticates the client', async () => {
    await using server = fake('Bearer', { tls_client_certificate_bound_access_tokens: true });
    writeFileSync(folder.at('secret'), 's3cret');
    await get(server.url, '--client-secret-path', folder.at('secret'));
    expect(server.heardAt('/op-tok')[0]?.headers.get('authorization')).toBe(
      `Basic ${btoa('builder:s3cret')}`,
    );
  });

  test.each([
    ['other.key', 'does not belong to the first certificate in'],
    ['client.crt', 'holds no PEM private key'],
  ])('%s is refused as the key before anything is sent', async (name, message) => {
    await using server = fake('Bearer');
    const { exitCode, stderr } = await get(server.url, '--key', folder.at(name));
    expect(exitCode).toBe(1);
    expect(stderr).toContain(folder.at(name));
    expect(stderr).toContain(message);
    expect(server.heard).toHaveLength(0);
  });

  test('a key that is no certificate is refused as one', async () => {
    const { stderr } = await get('https://a', '--cert', folder.at('client.key'));
    expect(stderr).toBe(`${folder.at('client.key')} holds no PEM certificate, but a PRIVATE KEY\n`);
  });

  test('a failed discovery makes no DPoP key', async () => {
    await using server = startFakeServer(() => new Response('', { status: 500 }));
    expect((await get(server.url, '--dpop-key', folder.at('never.pem'))).exitCode).toBe(1);
    expect(existsSync(folder.at('never.pem'))).toBe(false);
  });
});
