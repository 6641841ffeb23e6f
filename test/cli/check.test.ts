/** `check`: each of the common broken setups, made for real, is named with its place, its fault and its mend. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { brokenSetups, makeOtherCertificate, set, writeCertificateFor } from '../support/broken-setups.ts';
import { type CheckSite, createCheckSite } from '../support/check-site.ts';

setDefaultTimeout(20_000);

describe('a setup that would start', () => {
  test('and that has nothing to mend has no finding', async () => {
    await using site = await createCheckSite();
    const { exitCode, stdout } = await site.check('--strict');
    expect(stdout).toContain(': serve would start; nothing to mend.\n');
    expect(exitCode).toBe(0);
    expect(await site.findings()).toEqual([]);
  });

  test.each(brokenSetups)(
    'and has a fault, $setup, is told it and its mend, and nothing else',
    async (breach) => {
      await using site = await createCheckSite(...(breach.keygen ?? []));
      await breach.breaks(site);
      const findings = await site.findings();
      expect(findings.map(({ code }) => code)).toEqual([breach.code]);
      const [{ severity, place, fault, mend } = { severity: '', place: '', fault: '', mend: '' }] = findings;
      expect(severity).toBe(breach.severity);
      expect(place).toMatch(new RegExp(`/${RegExp.escape(breach.file)}(?::\\d+:\\d+)?$`));
      expect(fault).toMatch(breach.fault);
      expect(mend).toMatch(breach.mend);
      const { exitCode, stdout } = await site.check('--strict');
      // Two looks at two clocks may differ by a second.
      const steady = (text: string) => text.replace(/\d+ s ahead/, 'some seconds ahead');
      expect(steady(stdout)).toContain(steady(`${place}: ${severity}: ${fault}\n    ${mend}\n`));
      expect(exitCode).toBe(severity === 'note' ? 0 : 1);
      expect((await site.check()).exitCode).toBe(0);
    },
  );
});

test.each([
  'http://127.evil.example/token',
  'http://localhost.evil.example/token',
  'http://127.0.0.1.evil.example/token',
  'http://registry.localhost/token',
])('a realm at %s is another machine, reached in plain text', async (realm) => {
  await using site = await createCheckSite();
  set(site, 'service', 'registry', { realm });
  set(site, 'registry', 'token', { realm });
  const findings = await site.findings('--offline');
  expect(findings).toMatchObject([{ severity: 'warning', code: 'realm-plain-http' }]);
  expect(findings[0]?.fault).toContain(realm);
});

test("what a registry's file says reaches the terminal escaped", async () => {
  await using site = await createCheckSite();
  set(site, 'registry', 'token', {
    issuer: 'x\u001b[2J\u009b1m\u202ey\nserve would start; nothing to mend.',
  });
  for (const { stdout } of [await site.check('--offline'), await site.check('--offline', '--json')]) {
    expect(stdout).toContain('\\u009b1m\\u202ey');
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(stdout).not.toContain('\nserve would start');
  }
});

test('with --offline nobody is asked, and what only they could tell is not told', async () => {
  await using site = await createCheckSite();
  site.authority.status = 500;
  site.challengeRealm = null;
  expect((await site.findings()).map(({ code }) => code)).toEqual(['authority', 'realm']);
  const asked = site.requests();
  expect(await site.findings('--offline')).toEqual([]);
  expect(site.requests()).toBe(asked);
});

test('with --json the section for the registry comes along', async () => {
  await using site = await createCheckSite();
  const { registrySample } = JSON.parse((await site.check('--json')).stdout);
  expect(registrySample).toContain(
    '# registry 2.8: config.yml\nauth:\n  token:\n    realm: http://127.0.0.1:',
  );
});

describe('a setup that would not start', () => {
  const impossible: [string, (site: CheckSite) => void | Promise<void>, string][] = [
    [
      'an expired certificate',
      (site) => writeCertificateFor(site, -1),
      'signing.certificatePath: A certificate ended on ',
    ],
    [
      'the certificate of another key',
      async (site) => set(site, 'service', 'signing', { certificatePath: await makeOtherCertificate(site) }),
      'signing.certificatePath: The first certificate is not that of the signing key: name the one ',
    ],
    [
      'a misspelt key',
      (site) => set(site, 'service', 'signing', { certficatePath: 'x' }),
      'signing.certficatePath: is no known key; the nearest is certificatePath',
    ],
  ];
  test.each(impossible)('with %s is told why, with exit code 78', async (_, breaks, message) => {
    await using site = await createCheckSite();
    await breaks(site);
    const { exitCode, stdout, stderr } = await site.check();
    expect({ exitCode, stdout }).toEqual({ exitCode: 78, stdout: '' });
    expect(stderr).toMatch(new RegExp(`^/.*/registry-token\\.yaml:\\d+:\\d+: ${RegExp.escape(message)}`));
    const asJson = await site.check('--json');
    expect(asJson.exitCode).toBe(78);
    const { findings } = JSON.parse(asJson.stdout);
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({ severity: 'error', code: 'configuration' });
    expect(findings[0].fault).toStartWith(message);
  });
});
