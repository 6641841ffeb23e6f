/** The scopes of stock clients against a real registry: what skopeo deletes, and what containerd pushes of another's layers. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { type ConfiguredService, startConfiguredService } from '../support/configured-service.ts';
import { startContainerd } from '../support/containerd.ts';
import { describeWith } from '../support/debian-parts.ts';
import { imageId } from '../support/image-clients.ts';
import { writeImage } from '../support/images.ts';
import { run, settled } from '../support/processes.ts';
import { type Registry, startRegistry } from '../support/registry.ts';
import { SERVICE } from '../support/tokens.ts';

setDefaultTimeout(60_000);

const PLAN = 'stellaops:plan';

describeWith(['docker-registry', 'skopeo', 'openssl'], 'a registry, and a plan of some actions', () => {
  let service: ConfiguredService;
  let registry: Registry;

  beforeAll(async () => {
    service = await startConfiguredService({
      logging: { level: 'info', format: 'json' },
      senderConstraint: { accept: ['none'] },
      plans: {
        maintainer: { repositories: [{ pattern: 'team/*', actions: ['pull', 'push', 'delete'] }] },
        developer: { repositories: [{ pattern: 'team/*', actions: ['pull', 'push'] }] },
        publisher: { repositories: [{ pattern: 'public/*', actions: ['pull', 'push'] }] },
        everyone: { repositories: [{ pattern: 'public/*' }] },
      },
      defaultPlan: 'everyone',
      anonymousPlan: 'everyone',
    });
    registry = await startRegistry({
      realm: `${service.url}/token`,
      service: SERVICE,
      issuer: 'registry-token.example.com',
      rootCertificatePath: service.folder.at('registry-signing.crt'),
    });
  });

  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await service?.[Symbol.asyncDispose]();
  });

  /** `user:password`, where the password is an OpTok that nothing is bound to. */
  const credentials = (plan: string) => {
    const { Authorization } = service.credentials({ [PLAN]: plan, cnf: undefined });
    return `any:${Authorization?.replace('DPoP ', '')}`;
  };

  const skopeo = (words: readonly string[]) => run(['skopeo', ...words]);

  const newImage = async (name: string) => {
    const path = service.folder.at(name);
    await writeImage(path);
    return path;
  };

  const push = async (image: string, target: string, plan: string) => {
    const options = ['--insecure-policy', '--dest-tls-verify=false', '--dest-creds', credentials(plan)];
    const { exitCode, stderr } = await skopeo([
      'copy',
      ...options,
      `oci:${image}:latest`,
      `docker://${target}`,
    ]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  };

  test('skopeo, which asks for * alone, deletes with pull, push and delete', async () => {
    const target = `${registry.host}/team/app:1`;
    await push(await newImage('to-delete'), target, 'maintainer');
    const options = ['--tls-verify=false', '--creds', credentials('maintainer')];
    const inspected = await skopeo(['inspect', ...options, `docker://${target}`]);
    expect(inspected).toMatchObject({ exitCode: 0 });
    expect(await skopeo(['delete', ...options, `docker://${target}`])).toMatchObject({
      exitCode: 0,
      stderr: '',
    });
    const after = await skopeo(['inspect', ...options, `docker://${target}`]);
    expect(after.stderr).toContain('manifest unknown');
  });

  test('skopeo deletes nothing without delete', async () => {
    const target = `${registry.host}/team/kept:1`;
    await push(await newImage('to-keep'), target, 'developer');
    const options = ['--tls-verify=false', '--creds', credentials('developer')];
    const deleted = await skopeo(['delete', ...options, `docker://${target}`]);
    expect(deleted.exitCode).toBe(1);
    expect(await skopeo(['inspect', ...options, `docker://${target}`])).toMatchObject({ exitCode: 0 });
  });

  describeWith(['containerd', 'ctr'], 'containerd 1.6', () => {
    test('is given such a token too, and gives up where the registry does not let it mount', async () => {
      await using containerd = await startContainerd(null);
      const base = `${registry.host}/public/old-base:1`;
      await push(await newImage('old-base'), base, 'publisher');
      expect(await containerd.fetch(base, null)).toMatchObject({ exitCode: 0 });
      const target = `${registry.host}/team/old-derived:1`;
      const pushed = await containerd.push(target, base, credentials('developer'));
      expect(pushed).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('insufficient_scope') });
      const log = await settled(service.child.stderr);
      const asked = log.split('\n').findLast((line) => line.includes('team/old-derived'));
      expect(JSON.parse(asked ?? '{}')).toMatchObject({ message: 'issued' });
    });
  });

  describeWith(['containerd-2', 'ctr-2'], 'containerd 2', () => {
    test('pushes an image whose layers it pulled without credentials from a repository that its plan lacks', async () => {
      await using containerd = await startContainerd(null, 'containerd-2');
      const image = await newImage('base');
      const base = `${registry.host}/public/base:1`;
      await push(image, base, 'publisher');
      expect(await containerd.fetch(base, null)).toMatchObject({ exitCode: 0 });
      const target = `${registry.host}/team/derived:1`;
      expect(await containerd.push(target, base, credentials('developer'))).toMatchObject({ exitCode: 0 });
      const log = await settled(service.child.stderr);
      const asked = log
        .split('\n')
        .find((line) => line.includes('team/derived') && line.includes('public/base'));
      expect(JSON.parse(asked ?? '{}')).toMatchObject({
        message: 'issued',
        asked: ['repository:public/base:pull', 'repository:team/derived:pull,push'],
        granted: ['repository:team/derived:pull,push'],
      });
      const options = ['--tls-verify=false', '--creds', credentials('developer')];
      const { stdout } = await skopeo(['inspect', '--raw', '--config', ...options, `docker://${target}`]);
      expect(new Bun.CryptoHasher('sha256').update(stdout.trimEnd()).digest('hex')).toBe(
        await imageId(image),
      );
    });
  });
});
