/** The client commands against a real Authority and the compiled service. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { stat, writeFile } from 'node:fs/promises';
import { decodeJwt } from 'jose';
import { type Authority, startAuthority } from '../support/authority.ts';
import { writeCertificate } from '../support/certificates.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, type TemporaryFolder } from '../support/processes.ts';
import {
  REGISTRY_SERVICE,
  type RunningService,
  runBinary,
  startService,
  TOKEN_ISSUER,
} from '../support/running-service.ts';

setDefaultTimeout(30_000);

const SCOPE = 'repository:team-a/app:pull';

describeWith(['openssl'], 'a client of the service', () => {
  let folder: TemporaryFolder;
  let authority: Authority;
  let service: RunningService;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    const { keyPath } = await writeCertificate(folder, 'registry-signing');
    authority = await startAuthority({ clients: [{ id: 'builder', plan: 'enterprise' }] });
    service = await startService({ authorityIssuer: authority.issuer, signing: { keyPath } });
    await writeFile(folder.at('secret'), `${authority.clientSecret}\n`);
  });

  afterAll(async () => {
    await service?.[Symbol.asyncDispose]();
    await authority?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  const tokenCommand = (secretPath: string, ...more: string[]) =>
    runBinary([
      'token',
      ...['--authority', authority.issuer, '--client-id', 'builder', '--client-secret-path', secretPath],
      ...['--realm', service.realm, '--service', REGISTRY_SERVICE, ...more],
    ]);

  test('gets a registry token, and nothing else on standard output, by `token`', async () => {
    const { exitCode, stdout, stderr } = await tokenCommand(folder.at('secret'), '--scope', SCOPE);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect(decodeJwt(stdout.trim())).toMatchObject({
      iss: TOKEN_ISSUER,
      sub: 'builder',
      aud: REGISTRY_SERVICE,
      access: [{ type: 'repository', name: 'team-a/app', actions: ['pull'] }],
    });
  });

  test('gets the whole answer by `token --json`, and keeps the key where it is told to', async () => {
    const keyPath = folder.at('kept-key.pem');
    const options = ['--scope', SCOPE, '--json', '--dpop-key', keyPath];
    const first = await tokenCommand(folder.at('secret'), ...options);
    expect(JSON.parse(first.stdout)).toMatchObject({ token: expect.any(String), expires_in: 300 });
    expect((await stat(keyPath)).mode & 0o777).toBe(0o600);
    const second = await tokenCommand(folder.at('secret'), ...options);
    expect(second.exitCode).toBe(0);
  });

  test('learns from `token` who refused and why, with 1 and without the secret', async () => {
    const denied = await tokenCommand(folder.at('secret'), '--scope', 'repository:elsewhere/app:pull');
    expect({ exitCode: denied.exitCode, stdout: denied.stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(denied.stderr).toContain('elsewhere/app');
    const secret = 'not-the-right-secret';
    await writeFile(folder.at('wrong-secret'), secret);
    const refused = await tokenCommand(folder.at('wrong-secret'), '--scope', SCOPE);
    expect({ exitCode: refused.exitCode, stdout: refused.stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(refused.stderr).toContain('invalid_client');
    expect(refused.stderr).not.toContain(secret);
  });
});
