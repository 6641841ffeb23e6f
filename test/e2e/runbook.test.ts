/** The runbook of etc/README.md: its steps are done as they are printed, and end as it says. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { type ConfiguredService, startConfiguredService } from '../support/configured-service.ts';
import { describeWith } from '../support/debian-parts.ts';
import { runOrFail } from '../support/processes.ts';
import { createRestartableRegistry, type RestartableRegistry } from '../support/restartable-registry.ts';
import { BINARY } from '../support/running-service.ts';
import { decodePart, REALM, SERVICE } from '../support/tokens.ts';

setDefaultTimeout(60_000);

const page = readFileSync(new URL('../../etc/README.md', import.meta.url), 'utf8');

/** The commands of this section, for another folder than /etc/registry-token. */
function commandsOf(title: string, folder: string): string[] {
  const [, section = ''] = page.split(`\n### ${title}\n`);
  const lines = (section.split('\n##', 1)[0] ?? '').matchAll(/^(registry-token [^#\n]*)|`(echo [^`]+)`/gm);
  return [...lines].map(([, line, inline]) =>
    (line ?? inline ?? '').trim().replaceAll('/etc/registry-token', folder),
  );
}

const SCOPE = 'repository:public/app:pull';
const SIGNING = {
  issuer: 'registry-token.example.com',
  keyPath: 'registry-signing.pem',
  certificatePath: 'registry-signing.crt',
};

const LOGGING = { level: 'info', format: 'json', auditPath: 'audit.log' };

async function tokenFor(service: ConfiguredService, license: string): Promise<string | number> {
  const response = await service.ask(SCOPE, { 'stellaops:license': license });
  const { token } = (await response.json()) as { token?: string };
  return token ?? response.status;
}

/** 401: the registry does not accept the token. 404: it does, and has no such image. */
async function registryStatus(registry: RestartableRegistry, token: string): Promise<number> {
  const headers = { Authorization: `Bearer ${token}` };
  const response = await fetch(`${registry.url}/v2/public/app/manifests/1`, { headers, keepalive: false });
  await response.body?.cancel();
  return response.status;
}

describeWith(['docker-registry'], 'the runbook', () => {
  test('revokes a licence, lists its tokens that are still good, and ends them early by another key', async () => {
    await using service = await startConfiguredService({ logging: LOGGING });
    const { folder } = service;
    writeFileSync(folder.at('revoked.txt'), '# empty\n');
    service.configure({ signing: SIGNING, revokedLicensesPath: 'revoked.txt', logging: LOGGING });
    await service.untilReloads('success', 1);
    await using registry = await createRestartableRegistry();
    const rootcertbundle = folder.at('registry-signing.crt');
    const token = { realm: REALM, service: SERVICE, issuer: SIGNING.issuer, rootcertbundle };
    const auth = `auth: ${JSON.stringify({ token })}\n`;
    await registry.restart(auth);
    const issued = String(await tokenFor(service, 'LIC-4711'));
    expect(await registryStatus(registry, issued)).toBe(404);

    const [append = ''] = commandsOf('Revoke a licence at night', folder.path);
    expect(append).toBe(`echo LIC-4711 >> ${folder.path}/revoked.txt`);
    await runOrFail(['sh', '-ec', append]);
    await service.untilReloads('success', 2);
    expect(await tokenFor(service, 'LIC-4711')).toBe(403);
    // What the registry has no reason to refuse.
    expect(await registryStatus(registry, issued)).toBe(404);
    const log = ['log', '--config', folder.at('registry-token.yaml'), '--tokens-of', 'LIC-4711', '--json'];
    const listed = await runOrFail([BINARY, ...log]);
    expect(listed).toContain(String(decodePart(issued, 1).jti));

    const [keygen = ''] = commandsOf('The signing key is lost or stolen', folder.path);
    expect(keygen).toBe(`registry-token keygen --out ${folder.path} --force`);
    await runOrFail([BINARY, ...keygen.split(' ').slice(1)]);
    await service.untilReloads('success', 3);
    await registry.restart(auth);
    expect(await registryStatus(registry, issued)).toBe(401);
    expect(await registryStatus(registry, String(await tokenFor(service, 'LIC-4712')))).toBe(404);
  });
});
