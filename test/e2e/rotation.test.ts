/** A key is replaced by another, by the steps that `keygen` prints, while clients pull from a real registry. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { keygen } from '../../src/cli/keygen.ts';
import { type ConfiguredService, startConfiguredService } from '../support/configured-service.ts';
import { describeWith } from '../support/debian-parts.ts';
import { writeImage } from '../support/images.ts';
import { createRestartableRegistry, type RestartableRegistry } from '../support/restartable-registry.ts';
import { runCommand } from '../support/run-command.ts';
import { push } from '../support/skopeo.ts';
import { decodePart, REALM, SERVICE } from '../support/tokens.ts';

setDefaultTimeout(60_000);

const SIGNING = {
  issuer: 'registry-token.example.com',
  keyPath: 'registry-signing.pem',
  certificatePath: 'registry-signing.crt',
  additionalKeys: ['registry-signing-bundle.crt'],
};

function authSection(bundle: string): string {
  const token = { realm: REALM, service: SERVICE, issuer: SIGNING.issuer, rootcertbundle: bundle };
  return `auth: ${JSON.stringify({ token })}\n`;
}

async function tokenOf(service: ConfiguredService, scope: string): Promise<string> {
  const response = await service.ask(scope);
  const { token } = (await response.json()) as { token?: unknown };
  if (response.status !== 200 || typeof token !== 'string')
    throw new Error(`The service answered ${response.status}.`);
  return token;
}

/** null where the registry cannot be reached: it is being restarted. */
async function pullStatus(registry: RestartableRegistry, token: string): Promise<number | null> {
  const headers = { Authorization: `Bearer ${token}`, Accept: 'application/vnd.oci.image.manifest.v1+json' };
  try {
    const response = await fetch(`${registry.url}/v2/public/app/manifests/1`, { headers, keepalive: false });
    await response.body?.cancel();
    return response.status;
  } catch {
    return null;
  }
}

/** Pulls without a pause, with a new token each time and with one that is as old as it may be, until it is ended. */
function startPulling(service: ConfiguredService, registry: RestartableRegistry, oldToken: string) {
  const statuses = new Map<number, number>();
  const keyIds: string[] = [];
  let ended = false;
  const count = (status: number | null) => {
    if (status !== null) statuses.set(status, (statuses.get(status) ?? 0) + 1);
  };
  const loop = async () => {
    while (!ended) {
      const token = await tokenOf(service, 'repository:public/app:pull');
      const keyId = String(decodePart(token, 0).kid);
      if (keyIds.at(-1) !== keyId) keyIds.push(keyId);
      count(await pullStatus(registry, token));
      count(await pullStatus(registry, oldToken));
      await Bun.sleep(5);
    }
  };
  const running = loop();
  return {
    statuses,
    keyIds,
    end: async () => {
      ended = true;
      await running;
    },
  };
}

async function rotationStep(service: ConfiguredService, ...options: readonly string[]): Promise<void> {
  const result = await runCommand(keygen, ['--out', service.folder.path, ...options]);
  if (result.exitCode !== 0) throw new Error(result.stderr);
}

async function publishedKeyIds(service: ConfiguredService): Promise<string[]> {
  const response = await fetch(`${service.url}/.well-known/jwks.json`);
  return ((await response.json()) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);
}

describeWith(['docker-registry', 'skopeo'], 'a rotation under load', () => {
  test('refuses not one pull, neither with a new token nor with one of the old key', async () => {
    await using service = await startConfiguredService();
    await using registry = await createRestartableRegistry();
    const bundle = service.folder.at('registry-signing-bundle.crt');
    await registry.restart(authSection(service.folder.at('registry-signing.crt')));
    const image = await writeImage(service.folder.at('image'));
    const pushToken = await tokenOf(service, 'repository:public/app:pull,push');
    expect(await push(image.source, `${registry.host}/public/app:1`, pushToken)).toMatchObject({
      exitCode: 0,
    });

    const pulling = startPulling(service, registry, await tokenOf(service, 'repository:public/app:pull'));
    await rotationStep(service, '--rotate');
    await registry.restart(authSection(bundle));
    service.configure({ signing: SIGNING });
    await service.untilReloads('success', 1);
    const both = await publishedKeyIds(service);
    const [oldKeyId = '', newKeyId = ''] = both;
    expect(both).toEqual([...pulling.keyIds, newKeyId]);

    await rotationStep(service, '--switch');
    while (pulling.keyIds.length < 2) await Bun.sleep(20);
    await Bun.sleep(500);
    expect(await publishedKeyIds(service)).toEqual([newKeyId, oldKeyId]);
    await pulling.end();
    expect(pulling.keyIds).toEqual([oldKeyId, newKeyId]);
    expect([...pulling.statuses.keys()]).toEqual([200]);
    expect(pulling.statuses.get(200)).toBeGreaterThan(50);

    await rotationStep(service, '--finish', '--force');
    await registry.restart(authSection(bundle));
    const fresh = await tokenOf(service, 'repository:public/app:pull');
    expect(await pullStatus(registry, fresh)).toBe(200);
    expect(await pullStatus(registry, pushToken)).toBe(401);
    while ((await publishedKeyIds(service)).length > 1) await Bun.sleep(50);
    expect(await publishedKeyIds(service)).toEqual([newKeyId]);
  });

  test('that switches before the registry has the bundle is what the registry refuses', async () => {
    await using service = await startConfiguredService();
    await using registry = await createRestartableRegistry();
    const old = service.folder.at('old.crt');
    await Bun.write(old, Bun.file(service.folder.at('registry-signing.crt')));
    await registry.restart(authSection(old));
    expect(await pullStatus(registry, await tokenOf(service, 'repository:public/app:pull'))).toBe(404);
    await rotationStep(service, '--rotate');
    await rotationStep(service, '--switch');
    await service.untilReloads('success', 1);
    expect(await pullStatus(registry, await tokenOf(service, 'repository:public/app:pull'))).toBe(401);
  });
});
