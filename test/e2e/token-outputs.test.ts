/** `token` before a real registry: the registry tells where to go, and what comes out pulls and pushes. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { type Authority, startAuthority } from '../support/authority.ts';
import { writeCertificate } from '../support/certificates.ts';
import { describeWith } from '../support/debian-parts.ts';
import { startFakeServer } from '../support/fake-server.ts';
import { createGoClient } from '../support/go-clients.ts';
import { imageId } from '../support/image-clients.ts';
import { writeImage } from '../support/images.ts';
import { createTemporaryFolder, run, start, type TemporaryFolder } from '../support/processes.ts';
import { type Registry, startRegistry } from '../support/registry.ts';
import {
  BINARY,
  REGISTRY_SERVICE,
  type RunningService,
  runBinary,
  startService,
  TOKEN_ISSUER,
} from '../support/running-service.ts';
import { pull, push } from '../support/skopeo.ts';

setDefaultTimeout(60_000);

describeWith(['docker-registry', 'openssl', 'skopeo'], 'a job with a profile', () => {
  let folder: TemporaryFolder;
  let authority: Authority;
  let service: RunningService;
  let registry: Registry;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    const { keyPath, certificatePath } = await writeCertificate(folder, 'registry-signing');
    authority = await startAuthority({ clients: [{ id: 'builder', plan: 'enterprise' }] });
    const signing = { keyPath, certificatePath };
    service = await startService({ authorityIssuer: authority.issuer, signing });
    registry = await startRegistry({
      realm: service.realm,
      service: REGISTRY_SERVICE,
      issuer: TOKEN_ISSUER,
      rootCertificatePath: certificatePath,
    });
    writeFileSync(folder.at('secret'), authority.clientSecret);
    const common = { clientId: 'builder', clientSecretPath: 'secret', registry: registry.host };
    const profiles = { build: { authority: authority.issuer, ...common } };
    writeFileSync(folder.at('client.yaml'), stringify({ profiles }));
  });

  afterAll(async () => {
    for (const part of [registry, service, authority, folder]) await part?.[Symbol.asyncDispose]();
  });

  const byProfile = () => ['token', '--profile', 'build', '--profiles', folder.at('client.yaml')];

  test('pushes with the variable that --env sets, and pulls with the token that --docker-config stores', async () => {
    const image = await writeImage(folder.at('image'));
    const target = `${registry.host}/team-a/app:1`;
    const script = `
      eval "$("$@" --scope repository:team-a/app:pull,push --env)"
      skopeo copy --insecure-policy --dest-tls-verify=false --dest-registry-token "$REGISTRY_TOKEN" \
        ${image.source} docker://${target}`;
    const pushed = await run(['sh', '-euc', script, 'sh', BINARY, ...byProfile()]);
    expect(pushed).toMatchObject({ exitCode: 0, stderr: '' });

    const path = folder.at('docker/config.json');
    const scope = ['--scope', 'repository:team-a/app:pull'];
    const stored = await runBinary([...byProfile(), ...scope, '--docker-config', path]);
    expect(stored).toMatchObject({ exitCode: 0, stdout: '' });
    const { registrytoken } = JSON.parse(readFileSync(path, 'utf8')).auths[registry.host];
    const pulled = await pull(target, folder.at('pulled'), registrytoken);
    expect(pulled).toMatchObject({ exitCode: 0 });
    expect(await imageId(folder.at('pulled'))).toBe(await imageId(folder.at('image')));
  });

  describeWith(['oras'], 'oras', () => {
    test('pushes and pulls with the token that --docker-config stores', async () => {
      await using home = await createTemporaryFolder();
      const scope = ['--scope', 'repository:team-a/oras:pull,push'];
      const stored = await runBinary([...byProfile(), ...scope, '--docker-config', home.at('config.json')]);
      expect(stored).toMatchObject({ exitCode: 0, stdout: '' });
      const client = createGoClient('oras', home, { DOCKER_CONFIG: home.path });
      await writeImage(home.at('image'));
      const target = `${registry.host}/team-a/oras:1`;
      expect(await client.push(home.at('image'), target, 'plain-http')).toMatchObject({ exitCode: 0 });
      const id = await imageId(home.at('image'));
      expect(await client.pull(target, 'plain-http')).toMatchObject({ id });
      const elsewhere = await client.pull(target.replace('team-a/oras', 'team-a/other'), 'plain-http');
      expect(elsewhere).toMatchObject({ id: null, stderr: expect.stringMatching(/unauthorized/i) });
    });
  });

  describeWith(['docker'], 'the docker CLI', () => {
    test('shows a manifest with the token that --docker-config stores', async () => {
      await using home = await createTemporaryFolder();
      const image = await writeImage(home.at('image'));
      const [repository, target] = ['team-a/docker', `${registry.host}/team-a/docker:1`];
      const scope = ['--scope', `repository:${repository}:pull,push`];
      const stored = await runBinary([...byProfile(), ...scope, '--docker-config', home.at('config.json')]);
      expect(stored).toMatchObject({ exitCode: 0, stdout: '' });
      const { auths } = JSON.parse(readFileSync(home.at('config.json'), 'utf8'));
      const pushed = await push(image.source, target, auths[registry.host].registrytoken);
      expect(pushed).toMatchObject({ exitCode: 0 });
      const inspect = ['docker', 'manifest', 'inspect', '--insecure', target];
      const shown = await run(inspect, { env: { DOCKER_CONFIG: home.path } });
      expect(shown).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(image.layer.digest) });
      expect((await run(inspect)).exitCode).not.toBe(0);
    });
  });

  test('that is interrupted while another writer has the file ends at once, and leaves both to him', async () => {
    await using home = await createTemporaryFolder();
    const path = home.at('config.json');
    writeFileSync(path, '{}');
    await using writer = start([
      'flock',
      '--no-fork',
      `${path}.lock`,
      'sh',
      '-c',
      'echo held; exec sleep 60',
    ]);
    await writer.waitForLine(/^held$/);
    const scope = ['--scope', 'repository:team-a/app:pull'];
    await using child = start([BINARY, ...byProfile(), ...scope, '--docker-config', path]);
    const issued = () => service.child.stderr().split('"message":"issued"').length;
    const before = issued();
    while (issued() === before) await Bun.sleep(10);
    await Bun.sleep(200);
    child.signal('SIGINT');
    expect(await child.exited).toBe(1);
    expect(child.stderr()).toBe('registry-token token: interrupted\n');
    expect(readFileSync(path, 'utf8')).toBe('{}');
    expect(readdirSync(home.path).sort()).toEqual(['config.json', 'config.json.lock']);
  });

  test('that is interrupted ends at once, and leaves the file as it was', async () => {
    await using silent = startFakeServer(() => new Promise<Response>(() => {}));
    await using folderOfFile = await createTemporaryFolder();
    const path = folderOfFile.at('config.json');
    writeFileSync(path, '{}');
    await using child = start([
      ...[BINARY, ...byProfile(), '--authority', silent.url],
      ...['--realm', service.realm, '--service', REGISTRY_SERVICE, '--docker-config', path],
    ]);
    while (silent.heard.length === 0) await Bun.sleep(10);
    const before = performance.now();
    child.signal('SIGINT');
    expect(await child.exited).toBe(1);
    expect(performance.now() - before).toBeLessThan(3000);
    expect(child.stderr()).toContain('did not answer: it was interrupted\n');
    expect(readFileSync(path, 'utf8')).toBe('{}');
    expect(readdirSync(folderOfFile.path)).toEqual(['config.json']);
  });
});
