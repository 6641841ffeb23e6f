/** A bundle at a running service with several threads. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { type Members, SITE, signBundle, vendorKeySet } from '../support/bundles.ts';
import { type ConfiguredService, startConfiguredService } from '../support/configured-service.ts';
import { createKey } from '../support/keys.ts';
import { createTemporaryFolder, run } from '../support/processes.ts';
import { words } from '../support/service-process.ts';

setDefaultTimeout(120_000);

const vendor = await createKey('ES256');
const now = Math.floor(Date.now() / 1000);
const pull = 'repository:vendor/app:pull';
const license = (name: string) => ({ 'stellaops:license': name });

/** What the requests of several connections get, which reach all threads: each answer once. */
async function answers(service: ConfiguredService, name: string): Promise<string[]> {
  const statuses = await Promise.all(
    Array.from({ length: 24 }, async () => {
      const response = await service.ask(pull, license(name));
      const { reason = '' } = (await response.json()) as { reason?: string };
      return `${response.status} ${reason}`.trim();
    }),
  );
  return [...new Set(statuses)];
}

test('every thread decides by the bundle, by the next one, and by the revocations of one that entered alone', async () => {
  await using folder = await createTemporaryFolder();
  const carry = (payload: Members) =>
    writeFileSync(folder.at('bundle.jws'), signBundle(vendor, now, { payload }));
  writeFileSync(folder.at('vendor.json'), vendorKeySet(vendor));
  carry({ revokedLicenses: ['L1'] });
  const entitlements = { path: folder.at('bundle.jws'), keysPath: folder.at('vendor.json'), site: SITE };
  const sections = { server: { workers: 3 }, entitlements };
  await using service = await startConfiguredService(sections);
  expect(await answers(service, 'L1')).toEqual(['403 license-revoked']);
  expect(await answers(service, 'L2')).toEqual(['200']);

  carry({ serial: 2, revokedLicenses: ['L1', 'L2'] });
  await service.untilReloads('success', 1);
  expect(await answers(service, 'L2')).toEqual(['403 license-revoked']);
  expect(await service.metric('registry_token_entitlements_serial')).toBe(2);

  service.configure({ ...sections, signing: { issuer: 'x', keyPath: 'missing.pem' } });
  await service.untilReloads('failure', 1);
  carry({ serial: 3, revokedLicenses: ['L3'], plans: { basic: {} } });
  await service.untilReloads('failure', 2);
  expect(await answers(service, 'L3')).toEqual(['403 license-revoked']);
  expect(await answers(service, 'L2')).toEqual(['200']);
  expect(await service.metric('registry_token_revoked_licenses')).toBe(1);

  service.configure(sections);
  await service.untilReloads('success', 2);
  expect(await answers(service, 'L2')).toEqual(['403 plan-denied']);
  expect(await service.metric('registry_token_entitlements_serial')).toBe(3);
});

test('a service that was killed does not start with an older bundle, and starts again with the newest', async () => {
  await using folder = await createTemporaryFolder();
  const carry = (payload: Members) =>
    writeFileSync(folder.at('bundle.jws'), signBundle(vendor, now, { payload }));
  writeFileSync(folder.at('vendor.json'), vendorKeySet(vendor));
  carry({ serial: 4 });
  const entitlements = { path: folder.at('bundle.jws'), keysPath: folder.at('vendor.json'), site: SITE };
  await using service = await startConfiguredService({ server: { workers: 2 }, entitlements });
  carry({ serial: 5, revokedLicenses: ['L1'] });
  await service.untilReloads('success', 1);
  service.child.signal('SIGKILL');
  await service.child.exited;
  carry({ serial: 4 });
  const configuration = service.folder.at('registry-token.yaml');
  const refused = await run([...words, 'serve', '--config', configuration]);
  expect(refused.exitCode).toBe(78);
  expect(refused.stderr).toContain('bundle.jws: has the serial 4; this site already had 5');
  expect((await run([...words, 'check', '--mistakes', '--config', configuration])).exitCode).toBe(78);
  carry({ serial: 5, revokedLicenses: ['L1'] });
  expect((await run([...words, 'check', '--mistakes', '--config', configuration])).exitCode).toBe(0);
});
