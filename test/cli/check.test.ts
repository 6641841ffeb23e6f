/** `check`: each of the common broken setups, made for real, is named with its place, its fault and its mend. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { brokenSetups, makeOtherCertificate, set, writeCertificateFor } from '../support/broken-setups.ts';
import { type CheckSite, createCheckSite } from '../support/check-site.ts';
import { readSample } from '../support/samples.ts';

setDefaultTimeout(20_000);

describe('a setup that would start', () => {
  test('and that has no fault has no finding', async () => {
    await using site = await createCheckSite();
    const { exitCode, stdout } = await site.check('--strict');
    expect(stdout).toContain(': would start, without findings\n');
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
      const steady = (text: string) => text.replace(/\d+ s (ahead|behind)/, 'some seconds $1');
      expect(steady(stdout)).toContain(steady(`${place}: ${severity}: ${fault}\n    ${mend}\n`));
      expect(exitCode).toBe(severity === 'note' ? 0 : 1);
      expect((await site.check()).exitCode).toBe(severity === 'error' ? 1 : 0);
      expect(stdout).toEndWith(`: would start, with 1 finding (1 ${severity})\n`);
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

describe("the registry's file", () => {
  test('has no finding where it is the sample for zot', async () => {
    await using site = await createCheckSite();
    const { realm, rootcertbundle } = site.registry.token ?? {};
    const sample = await readSample('registry/config-zot.json', [
      ['https://registry.example.com/token', String(realm)],
      ['/etc/registry-token/registry-signing.crt', String(rootcertbundle)],
    ]);
    writeFileSync(site.folder.at('config.json'), sample);
    expect(await site.findings('--registry-config', site.folder.at('config.json'))).toEqual([]);
  });

  test('sends clients to the host of the registry by autoredirect: a realm of that host and path fits, whatever realm says', async () => {
    await using site = await createCheckSite();
    const realm = 'https://registry.example.com:5443/auth/token';
    set(site, 'service', 'registry', { realm });
    set(site, 'registry', 'token', { autoredirect: true, realm: 'https://elsewhere.example.com/token' });
    Object.assign(site.registryRest, { http: { host: 'https://registry.example.com:5443' } });
    expect((await site.findings('--offline')).map(({ code }) => code)).toEqual(['registry-realm-unused']);
    set(site, 'registry', 'token', { autoredirectpath: '/tokens' });
    expect((await site.findings('--offline')).map(({ code }) => code)).toEqual([
      'registry-autoredirect',
      'registry-autoredirectpath',
    ]);
    set(site, 'service', 'registry', { realm: realm.replace('/auth/token', '/tokens') });
    expect((await site.findings('--offline')).map(({ severity }) => severity)).toEqual(['note', 'note']);
  });

  test('cannot command the terminal, and no password of it is printed', async () => {
    await using site = await createCheckSite();
    set(site, 'registry', 'token', {
      realm: 'https://user:hunter2@registry.example.com/\u001b[2J\u202etoken\nok: would start',
    });
    Object.assign(site.registryRest, {
      http: { secret: 'hunter2' },
      proxy: { remoteurl: 'https://user:hunter2@\u009bdocker.io', password: 'hunter2' },
    });
    for (const options of [[], ['--json']]) {
      const { stdout } = await site.check('--offline', ...options);
      expect(stdout).toContain('https://***@registry.example.com/');
      expect(stdout).not.toContain('hunter2');
      expect(stdout).not.toMatch(/\p{Cf}|(?!\n)\p{Cc}/u);
      expect(stdout).not.toMatch(/^ok: would start/m);
    }
  });

  test.each([
    ['no YAML', 'auth: [', /^The file is not YAML or JSON \(line 1\)\.$/],
    ['a list', '- auth', /^The file holds no mapping\.$/],
    [
      'aliases of aliases',
      `a: &a [x]\nb: &b [${'*a, '.repeat(30)}]\nc: [${'*b, '.repeat(30)}]`,
      /^The file has too many aliases\.$/,
    ],
    ['a file of 2 MiB', `# ${'x'.repeat(2 ** 21)}`, /^The file is larger than/],
  ])('is one finding where it is %s', async (_, text, fault) => {
    await using site = await createCheckSite();
    const file = site.folder.at('strange.yml');
    writeFileSync(file, text);
    const findings = await site.findings('--offline', '--registry-config', file);
    expect(findings).toEqual([
      {
        severity: 'error',
        code: 'registry-config',
        place: file,
        fault: expect.stringMatching(fault),
        mend: expect.any(String),
      },
    ]);
  });
});

test('says what the environment overrides, and how many licences are revoked', async () => {
  await using site = await createCheckSite();
  Object.assign(site.service, { revokedLicenses: ['a', 'b'], revokedLicensesPath: 'revoked.txt' });
  writeFileSync(site.folder.at('revoked.txt'), 'b\nc\nd\n');
  site.env.REGISTRY_TOKEN_SIGNING__LIFETIME = '10m';
  const { stdout } = await site.check('--offline');
  expect(stdout).toContain('\nThe environment sets signing.lifetime (REGISTRY_TOKEN_SIGNING__LIFETIME).\n');
  expect(stdout).toContain('\n4 revoked licences.\n');
  expect(JSON.parse((await site.check('--offline', '--json')).stdout)).toMatchObject({
    overrides: [{ key: 'signing.lifetime', variable: 'REGISTRY_TOKEN_SIGNING__LIFETIME' }],
    revokedLicenses: 4,
  });
});

describe('a setup that would not start', () => {
  const impossible: [string, (site: CheckSite) => void | Promise<void>, string][] = [
    [
      'an expired certificate',
      (site) => writeCertificateFor(site, -1),
      'signing.certificatePath: A certificate expired on ',
    ],
    [
      'the certificate of another key',
      async (site) => set(site, 'service', 'signing', { certificatePath: await makeOtherCertificate(site) }),
      'signing.certificatePath: The first certificate does not belong to the signing key',
    ],
    [
      'a misspelt key',
      (site) => set(site, 'service', 'signing', { certficatePath: 'x' }),
      'signing.certficatePath: unknown key; did you mean `certificatePath`?',
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
