/** `anonymousPlan` in the real process: what stock clients without credentials see, at a real registry too. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { type ConfiguredService, startConfiguredService } from '../support/configured-service.ts';
import { describeWith } from '../support/debian-parts.ts';
import { writeImage } from '../support/images.ts';
import { run } from '../support/processes.ts';
import { createRestartableRegistry } from '../support/restartable-registry.ts';
import { push } from '../support/skopeo.ts';
import { decodePart, SERVICE } from '../support/tokens.ts';

setDefaultTimeout(60_000);

let service: ConfiguredService;

beforeAll(async () => {
  service = await startConfiguredService({ anonymousPlan: 'community' });
});

afterAll(() => service?.[Symbol.asyncDispose]());

test('a request without credentials pulls as nobody, and no more', async () => {
  const response = await service.askAnonymously('repository:public/app:pull');
  expect(response.status).toBe(200);
  const { token } = (await response.json()) as { token: string };
  expect(decodePart(token, 1)).toMatchObject({
    sub: '',
    access: [{ name: 'public/app', actions: ['pull'] }],
  });
  for (const scope of ['repository:public/app:push', 'registry:catalog:*', 'repository:private/app:pull']) {
    const refused = await service.askAnonymously(scope);
    expect([scope, refused.status]).toEqual([scope, 401]);
    expect(refused.headers.get('www-authenticate')).toMatch(/^DPoP .*, Bearer .*, Basic /);
  }
});

test('credentials that are no good are refused, and so is a proof alone', async () => {
  const headers = [{ Authorization: 'Bearer x' }, { Authorization: 'Basic dXNlcjo=' }, { DPoP: 'x' }];
  for (const header of headers) {
    const response = await service.askAnonymously('repository:public/app:pull', header);
    expect([400, 401]).toContain(response.status);
  }
});

test('a reload switches it off, and the log says so while it is on', async () => {
  expect(service.child.stderr()).toContain('anonymous: requests without credentials may pull');
  service.configure({});
  service.child.signal('SIGHUP');
  await service.untilReloads('success', 1);
  expect((await service.askAnonymously('repository:public/app:pull')).status).toBe(401);
  service.configure({ anonymousPlan: 'community' });
  service.child.signal('SIGHUP');
  await service.untilReloads('success', 2);
  expect((await service.askAnonymously('repository:public/app:pull')).status).toBe(200);
});

describeWith(['docker-registry', 'skopeo'], 'a stock client without credentials', () => {
  test('pulls from a real registry, and cannot push to it', async () => {
    await using registry = await createRestartableRegistry();
    const rootcertbundle = service.folder.at('registry-signing.crt');
    const token = { realm: `${service.url}/token`, service: SERVICE, issuer: 'registry-token.example.com' };
    await registry.restart(`auth: ${JSON.stringify({ token: { ...token, rootcertbundle } })}\n`);
    const image = await writeImage(service.folder.at('image'));
    const response = await service.ask('repository:public/app:pull,push');
    const { token: pushToken } = (await response.json()) as { token: string };
    expect(await push(image.source, `${registry.host}/public/app:1`, pushToken)).toMatchObject({
      exitCode: 0,
    });

    const source = `docker://${registry.host}/public/app:1`;
    const options = ['--insecure-policy', '--src-no-creds', '--src-tls-verify=false'];
    const pulled = await run([
      'skopeo',
      'copy',
      ...options,
      source,
      `oci:${service.folder.at('pulled')}:latest`,
    ]);
    expect(pulled).toMatchObject({ exitCode: 0 });
    const target = `docker://${registry.host}/public/app:2`;
    const pushOptions = ['--insecure-policy', '--dest-no-creds', '--dest-tls-verify=false'];
    const pushed = await run(['skopeo', 'copy', ...pushOptions, image.source, target]);
    expect(pushed.exitCode).not.toBe(0);
    expect(pushed.stderr).toMatch(/unauthorized|authentication required|denied/);
  });
});
