/** What a runtime tells of itself, for the report. */
import { afterAll, expect, test } from 'bun:test';
import { createInstallation } from './installation.ts';

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

test('after a reload with thousands of mistakes some are kept, of each file at least the first, and their number', async () => {
  site.configure();
  site.write('revoked.txt', 'L-1\n');
  site.configure({ revokedLicensesPath: 'revoked.txt' });
  const runtime = await site.open();
  const repositories = Array.from({ length: 3000 }, () => ({ pattern: 'A//' }));
  site.configure({ revokedLicensesPath: 'revoked.txt', plans: { community: { repositories } } });
  site.write('revoked.txt', 'L 1\n');
  const mistakes = await runtime.reload();
  const { configuration } = await runtime.snapshot();
  expect(mistakes.length).toBeGreaterThan(3000);
  expect(configuration.lastReload).toMatchObject({ count: mistakes.length, fault: null });
  expect(configuration.lastReload?.mistakes).toHaveLength(20);
  const sources = configuration.lastReload?.mistakes.map(({ source }) => source);
  expect(sources).toContain(site.folder.at('revoked.txt'));
  await runtime.close();
});

test('a file that changed since the reload that took it is named until the next one', async () => {
  site.configure();
  const runtime = await site.open();
  const changed = async () => (await runtime.snapshot()).configuration.changedFiles;
  expect(await changed()).toEqual([]);
  site.configure({ signing: { lifetime: '6m' } });
  expect(await changed()).toEqual([site.folder.at('registry-token.yaml')]);
  expect(await runtime.reload()).toEqual([]);
  expect(await changed()).toEqual([]);
  site.configure({ signing: { lifetime: 'long' } });
  expect((await runtime.reload()).length).toBe(1);
  expect(await changed()).toEqual([site.folder.at('registry-token.yaml')]);
  await runtime.close();
});

test('newer revocations that entered alone are no change since, and what kept the rest out is', async () => {
  site.write('revoked.txt', 'L-1\n');
  site.configure({ revokedLicensesPath: 'revoked.txt' });
  const runtime = await site.open();
  site.write('revoked.txt', 'L-1\nL-2\n');
  site.configure({ revokedLicensesPath: 'revoked.txt', signing: { lifetime: 'long' } });
  expect((await runtime.reload()).length).toBe(1);
  const { configuration, revocations } = await runtime.snapshot();
  expect(configuration.changedFiles).toEqual([site.folder.at('registry-token.yaml')]);
  expect(revocations).toMatchObject({ count: 2, list: { file: site.folder.at('revoked.txt') } });
  await runtime.close();
});
