/** A bundle in force: what it replaces, which one comes next, and what is remembered of it. */
import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import type { Runtime } from '../../src/assemble/runtime.ts';
import { formatMistake } from '../../src/document/mistakes.ts';
import { type BundleParts, type Members, SITE, signBundle, vendorKeySet } from '../support/bundles.ts';
import { createKey } from '../support/keys.ts';
import { noCertificate } from '../support/service.ts';
import { SERVICE } from '../support/tokens.ts';
import { createInstallation, type Section, type Sections } from './installation.ts';

setDefaultTimeout(120_000);

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());
const vendor = await createKey('ES256');
const started = site.clock.now;
const DAY = 86_400;
const stateFile = site.folder.at('entitlements.state');

const entitlements = { path: 'bundle.jws', keysPath: 'vendor.json', site: SITE };
const configure = (settings: Section = {}, sections: Sections = {}) =>
  site.configure({ entitlements: { ...entitlements, ...settings }, ...sections });
const carry = (payload: Members = {}, parts: BundleParts = {}) =>
  site.write('bundle.jws', signBundle(vendor, started, { ...parts, payload }));

beforeEach(() => {
  site.clock.now = started;
  (site.logLines as unknown[]).length = 0;
  rmSync(stateFile, { force: true, recursive: true });
  site.write('vendor.json', vendorKeySet(vendor));
  configure();
  carry();
});

async function ask(runtime: Runtime, scope = '', claims: Members = {}): Promise<string> {
  const opTok = site.opTok({ claims });
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: site.proof(opTok) };
  const query = new URLSearchParams({ service: SERVICE, scope });
  const response = await runtime.handle(new Request(`http://x/token?${query}`, { headers }), noCertificate);
  const { reason = '' } = (await response.json()) as { reason?: string };
  return [response.status, reason].join(' ').trim();
}

const pull = (name: string) => `repository:${name}:pull`;
const plan = (name: string, pattern: string) => ({ [name]: { repositories: [{ pattern }] } });
const license = (name: string) => ({ 'stellaops:license': name });
const reload = async (runtime: Runtime) =>
  (await runtime.reload()).map(formatMistake).join('\n').replaceAll(`${site.folder.path}/`, '');
const logged = (message: string) =>
  site.logLines.filter(({ message: text }) => String(text).includes(message));

describe('a bundle in force', () => {
  test('replaces the plans of the configuration and its defaultPlan', async () => {
    const runtime = await site.open();
    expect(await ask(runtime, pull('vendor/app'))).toBe('200');
    expect(await ask(runtime, pull('public/app'))).toBe('403 plan-denied');
    expect(await ask(runtime, pull('public/app'), { 'stellaops:plan': 'community' })).toBe(
      '403 plan-unknown',
    );
  });

  test('leaves the configuration its own plans where localPlans is allow, and has the last word on one of its own', async () => {
    configure(
      { localPlans: 'allow' },
      { plans: { ...plan('local', 'local/*'), ...plan('basic', 'public/*') } },
    );
    const runtime = await site.open();
    expect(await ask(runtime, pull('local/app'), { 'stellaops:plan': 'local' })).toBe('200');
    expect(await ask(runtime, pull('vendor/app'), { 'stellaops:plan': 'basic' })).toBe('200');
    expect(await ask(runtime, pull('public/app'), { 'stellaops:plan': 'basic' })).toBe('403 plan-denied');
  });

  test('that names no defaultPlan leaves that of the configuration', async () => {
    carry({ defaultPlan: undefined, plans: plan('community', 'vendor/*') });
    expect(await ask(await site.open(), pull('vendor/app'))).toBe('200');
  });

  test('revokes licences beside those of the site', async () => {
    site.write('revoked.txt', 'L2\n');
    configure({}, { revokedLicenses: ['L1'], revokedLicensesPath: 'revoked.txt' });
    carry({ revokedLicenses: ['L2', 'L3'] });
    const runtime = await site.open();
    for (const name of ['L1', 'L2', 'L3'])
      expect(await ask(runtime, '', license(name))).toBe('403 license-revoked');
    expect(await ask(runtime, '', license('L4'))).toBe('200');
    expect(runtime.service.revokedLicenses).toBe(3);
  });

  test('may lack a plan that a rule of the site names: its requests are refused', async () => {
    const authority = { planRules: [{ when: { sub: '*' }, plan: 'community' }] };
    configure({}, { authority });
    expect(await ask(await site.open())).toBe('403 plan-unknown');
  });

  test('is counted', async () => {
    configure({ maxAge: '10d' });
    const runtime = await site.open();
    const response = await runtime.handle(new Request('http://x/metrics'), noCertificate);
    const text = await response.text();
    expect(text).toContain('\nregistry_token_entitlements_serial 1\n');
    expect(text).toContain(
      `\nregistry_token_entitlements_expiry_timestamp_seconds ${started - 60 + 10 * DAY}\n`,
    );
    expect(text).toContain('\nregistry_token_entitlements_last_load_successful 1\n');
    expect(text).toContain('\nregistry_token_issued_total{plan="basic"} 0\n');
  });
});

describe('at the start, no service is made of', () => {
  test.each([
    ['a bundle for another site', { aud: 'plant-8' }, 'is for plant-8; this site is plant-7'],
    ['one that is not valid yet', { nbf: started + 3600 }, 'is not valid before'],
    ['one that is dated ahead', { iat: started + 3600 }, 'says it was signed at'],
    ['one that has expired', { iat: 1, nbf: 1, exp: started - 301 }, 'no serial is remembered'],
    ['one with a mistake', { serial: 'x' }, 'must be a number, not "x"'],
  ])('%s', async (_, payload, message) => {
    carry(payload);
    expect(await site.mistakes()).toContain(message);
  });

  test('none, or no keys', async () => {
    rmSync(site.folder.at('bundle.jws'));
    site.write('vendor.json', '{"keys":[]}');
    const mistakes = await site.mistakes();
    expect(mistakes).toContain('entitlements.path: bundle.jws does not exist; get the vendor');
    expect(mistakes).toContain('entitlements.keysPath: The key set holds no public signature key.');
  });

  test('a file of 100 GB, which is not read', async () => {
    truncateSync(site.folder.at('bundle.jws'), 100 * 1024 ** 3);
    expect(await site.mistakes()).toContain('bytes; at most 67108864 are read');
    rmSync(site.folder.at('bundle.jws'));
  });

  test('private keys of the vendor', async () => {
    const { privateJwk, thumbprint } = vendor;
    site.write('vendor.json', JSON.stringify({ keys: [{ ...privateJwk, kid: thumbprint }] }));
    expect(await site.mistakes()).toContain('entitlements.keysPath: holds private or secret keys');
  });

  test('one for named sites, where the site has no name', async () => {
    configure({ site: undefined });
    expect(await site.mistakes()).toContain('entitlements.site is not set');
    carry({ aud: ['plant-9', '*'] });
    expect(await site.mistakes()).toBe('');
  });

  test('one that the clocks differ about by less than five minutes is taken', async () => {
    carry({ nbf: started + 299 });
    expect(await site.mistakes()).toBe('');
  });
});

describe('the next bundle', () => {
  test('comes into force with a higher serial', async () => {
    const runtime = await site.open();
    carry({ serial: 2, plans: plan('basic', 'public/*'), revokedLicenses: ['L1'] });
    expect(await reload(runtime)).toBe('');
    expect(await ask(runtime, pull('public/app'))).toBe('200');
    expect(await ask(runtime, pull('vendor/app'))).toBe('403 plan-denied');
    expect(await ask(runtime, '', license('L1'))).toBe('403 license-revoked');
    expect(logged('entitlements in force').map(({ serial }) => serial)).toEqual([1, 2]);
  });

  test('is refused with a lower serial, or the same and other content', async () => {
    carry({ serial: 5, revokedLicenses: ['L1'] });
    const runtime = await site.open();
    carry({ serial: 4 });
    expect(await reload(runtime)).toMatch(/^bundle\.jws: has the serial 4; this site already had 5/);
    carry({ serial: 5 });
    expect(await reload(runtime)).toMatch(/^bundle\.jws: has the serial 5 like .* but other content/);
    expect(await ask(runtime, '', license('L1'))).toBe('403 license-revoked');
    expect(await ask(runtime, pull('vendor/app'))).toBe('200');
    const { value } = { value: runtime.observe().entitlements };
    expect(value).toMatchObject({ serial: 5, isLoaded: false });
    carry({ serial: 5, revokedLicenses: ['L1'] });
    expect(await reload(runtime)).toBe('');
    expect(runtime.observe().entitlements).toMatchObject({ serial: 5, isLoaded: true });
  });

  test('may be the same one, signed by the next key', async () => {
    const runtime = await site.open();
    const next = await createKey('EdDSA');
    site.write('vendor.json', vendorKeySet(next));
    expect(await reload(runtime)).toContain('has no such key');
    site.write('bundle.jws', signBundle(next, started));
    expect(await reload(runtime)).toBe('');
    expect(runtime.service.entitlements?.keyId).toBe(next.thumbprint);
  });

  test('is refused where its file is gone, and the one in force stays', async () => {
    const runtime = await site.open();
    rmSync(site.folder.at('bundle.jws'));
    expect(await reload(runtime)).toContain('entitlements.path: bundle.jws does not exist');
    expect(await ask(runtime, pull('vendor/app'))).toBe('200');
  });

  test('brings its revocations, and they alone, although another part has mistakes', async () => {
    carry({ revokedLicenses: ['L1'] });
    const runtime = await site.open();
    const next = { serial: 2, plans: plan('basic', 'public/*'), revokedLicenses: ['L1', 'L2'] };
    carry(next);
    configure({}, { signing: { keyPath: 'missing.pem' } });
    expect(await reload(runtime)).toStartWith(`registry-token.yaml`);
    expect(await ask(runtime, '', license('L2'))).toBe('403 license-revoked');
    expect(await ask(runtime, pull('vendor/app'))).toBe('200');
    expect(await ask(runtime, pull('public/app'))).toBe('403 plan-denied');
    expect(runtime.service.revokedLicenses).toBe(2);
    const { generation } = runtime.service;
    await reload(runtime);
    expect(runtime.service.generation).toBe(generation);
    carry({ revokedLicenses: ['L1'] });
    expect(await reload(runtime)).toContain('has the serial 1; this site already had 2');
    expect(await ask(runtime, '', license('L2'))).toBe('403 license-revoked');
    carry({ ...next, serial: 3, revokedLicenses: ['L3'] });
    await reload(runtime);
    expect(await ask(runtime, '', license('L3'))).toBe('403 license-revoked');
    expect(await ask(runtime, '', license('L2'))).toBe('200');
    configure();
    expect(await reload(runtime)).toBe('');
    expect(await ask(runtime, pull('public/app'))).toBe('200');
    expect(await ask(runtime, '', license('L3'))).toBe('403 license-revoked');
  });

  test('brings its revocations although the configuration and the list of the site have mistakes', async () => {
    site.write('revoked.txt', 'S1\n');
    configure({}, { revokedLicensesPath: 'revoked.txt' });
    const runtime = await site.open();
    carry({ serial: 2, revokedLicenses: ['L2'] });
    site.write('revoked.txt', 'S1, S2\n');
    site.write('registry-token.yaml', 'nonsense: true\n');
    expect(await reload(runtime)).toContain('nonsense');
    expect(await ask(runtime, '', license('L2'))).toBe('403 license-revoked');
    expect(await ask(runtime, '', license('S1'))).toBe('403 license-revoked');
    site.write('revoked.txt', 'S1\nS2\n');
    await reload(runtime);
    for (const name of ['L2', 'S2'])
      expect(await ask(runtime, '', license(name))).toBe('403 license-revoked');
  });
});

describe('the highest serial', () => {
  test('is kept for the next start, readable by its owner alone', async () => {
    carry({ serial: 7 });
    await (await site.open()).close();
    expect(statSync(stateFile).mode & 0o777).toBe(0o600);
    carry({ serial: 6 });
    expect(await site.mistakes()).toContain('has the serial 6; this site already had 7');
    carry({ serial: 7, note: 'another' });
    expect(await site.mistakes()).toContain('but other content');
    carry({ serial: 7 });
    expect(await site.mistakes()).toBe('');
  });

  test('of revocations that entered alone is kept too', async () => {
    const runtime = await site.open();
    carry({ serial: 9, revokedLicenses: ['L1'] });
    configure({}, { signing: { keyPath: 'missing.pem' } });
    await reload(runtime);
    configure();
    carry({ serial: 8 });
    expect(await site.mistakes()).toContain('this site already had 9');
  });

  test('stands beside senderConstraint.replay.statePath, or where entitlements.statePath says', async () => {
    mkdirSync(site.folder.at('state'), { recursive: true });
    configure({}, { senderConstraint: { replay: { statePath: 'state/replay.state' } } });
    await (await site.open()).close();
    expect(readFileSync(site.folder.at('state/entitlements.state'), 'utf8')).toContain('"serial":1');
    configure({ statePath: 'state/other.state' });
    await (await site.open()).close();
    expect(readFileSync(site.folder.at('state/other.state'), 'utf8')).toContain('"serial":1');
  });

  test('is not known at the first start, which is said; then a bundle that has expired is refused', async () => {
    await (await site.open()).close();
    expect(logged('no serial of entitlements is remembered')).toHaveLength(1);
    (site.logLines as unknown[]).length = 0;
    site.clock.now = started + 36 * DAY;
    await (await site.open()).close();
    expect(logged('no serial of entitlements is remembered')).toEqual([]);
    rmSync(stateFile);
    expect(await site.mistakes()).toContain('no serial is remembered that would show that it is the newest');
  });

  test.each([
    ['is damaged', () => writeFileSync(stateFile, '{'), 'it is damaged'],
    ['is something else', () => writeFileSync(stateFile, 'x'.repeat(5000)), 'it holds something else'],
    ['may be written by others', () => chmodSync(stateFile, 0o666), 'other users can write to it'],
  ])('is said to be lost where its file %s, and the file is written again', async (_, spoil, fault) => {
    await (await site.open()).close();
    spoil();
    (site.logLines as unknown[]).length = 0;
    await (await site.open()).close();
    expect(logged('no serial of entitlements is remembered')).toMatchObject([{ level: 'warn', fault }]);
    expect(readFileSync(stateFile, 'utf8')).toContain('"serial":1');
  });

  test('is written again while the service runs, if its file is lost', async () => {
    const runtime = await site.open();
    rmSync(stateFile);
    runtime.watchBundle();
    expect(readFileSync(stateFile, 'utf8')).toContain('"serial":1');
    rmSync(stateFile);
    carry({ serial: 0.5 });
    await reload(runtime);
    carry({ serial: 1, note: 'other' });
    expect(await reload(runtime)).toContain('but other content');
  });

  test('that cannot be kept is an error in the log; the service runs, and remembers while it does', async () => {
    mkdirSync(stateFile);
    const runtime = await site.open();
    expect(logged('is not kept')).toMatchObject([
      { level: 'error', fault: expect.stringContaining('EISDIR') },
    ]);
    runtime.watchBundle();
    expect(logged('is not kept')).toHaveLength(1);
    carry({ serial: 2 });
    expect(await reload(runtime)).toBe('');
    carry({ serial: 1 });
    expect(await reload(runtime)).toContain('this site already had 2');
    rmSync(stateFile, { recursive: true });
    runtime.watchBundle();
    expect(logged('is kept again')).toHaveLength(1);
    expect(readFileSync(stateFile, 'utf8')).toContain('"serial":2');
  });

  test('of another process with a higher one is not lowered', async () => {
    const runtime = await site.open();
    const state = JSON.parse(readFileSync(stateFile, 'utf8'));
    writeFileSync(stateFile, JSON.stringify({ ...state, serial: 4 }));
    runtime.watchBundle();
    expect(readFileSync(stateFile, 'utf8')).toContain('"serial":4');
  });
});

describe('over time', () => {
  test('the end is told from seven days before, once a day, and once it has come as an error', async () => {
    const runtime = await site.open();
    const expiry = started + 35 * DAY;
    const at = (now: number) => {
      site.clock.now = now;
      (site.logLines as unknown[]).length = 0;
      runtime.watchBundle();
      return logged('expire').map(({ level, message }) => `${level} ${message}`);
    };
    expect(at(expiry - 7 * DAY - 1)).toEqual([]);
    expect(at(expiry - 7 * DAY + 1)).toEqual(['warn the entitlements expire soon: get a new bundle']);
    expect(at(expiry - 7 * DAY + 60)).toEqual([]);
    expect(at(expiry - 6 * DAY + 2)).toHaveLength(1);
    expect(at(expiry + 1)).toEqual(['error the entitlements have expired: get a new bundle']);
    expect(at(expiry + 60)).toEqual([]);
    expect(at(expiry + DAY + 2)).toHaveLength(1);
  });

  test('an expired bundle stays in use where onExpiry is keep, over a restart too', async () => {
    const runtime = await site.open();
    site.clock.now = started + 36 * DAY;
    expect(await ask(runtime)).toBe('200');
    expect(await ask(await site.open())).toBe('200');
  });

  test('everything is answered 503 where onExpiry is deny, also after maxAge, until the next bundle', async () => {
    configure({ onExpiry: 'deny', maxAge: '10d' });
    const runtime = await site.open();
    const answer = async () =>
      runtime.handle(new Request(`http://x/token?service=${SERVICE}`), noCertificate);
    const readiness = async () => runtime.handle(new Request('http://x/readyz'), noCertificate);
    site.clock.now = started - 60 + 10 * DAY + 299;
    expect([await ask(runtime), (await readiness()).status]).toEqual(['200', 200]);
    site.clock.now += 2;
    expect((await ask(runtime)).split(' ')[0]).toBe('503');
    const refused = await answer();
    expect([refused.status, refused.headers.get('Retry-After')]).toEqual([503, '60']);
    expect(await (await readiness()).text()).toContain('entitlements: the bundle has expired');
    expect(logged('refused').at(-1)).toMatchObject({ reason: 'entitlements-expired' });
    site.write('bundle.jws', signBundle(vendor, site.clock.now, { payload: { serial: 2 } }));
    expect(await reload(runtime)).toBe('');
    expect([await ask(runtime), (await readiness()).status]).toEqual(['200', 200]);
  });

  test('a bundle that was in force stays acceptable where the clock was set back a day', async () => {
    await (await site.open()).close();
    site.clock.now = started - DAY;
    expect(await site.mistakes()).toBe('');
    carry({ serial: 2 });
    expect(await site.mistakes()).toContain('compare the clocks');
  });
});
