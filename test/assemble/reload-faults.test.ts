/** What must not slip through a reload: a late answer, a fault that nobody has expected, a request that began before. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { Runtime } from '../../src/assemble/runtime.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import {
  answersJson,
  createGate,
  type FaultyAuthority,
  keySetOf,
  METADATA_PATH,
  startFaultyAuthority,
} from '../support/faulty-authority.ts';
import { createKey, type TestKey } from '../support/keys.ts';
import { noCertificate } from '../support/service.ts';
import { SERVICE } from '../support/tokens.ts';
import { createInstallation, type Sections } from './installation.ts';

setDefaultTimeout(30_000);

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

function configureWith(authority: FaultyAuthority, sections: Sections = {}): void {
  site.configure({ authority: { jwksPath: undefined, metadataUrl: authority.metadataUrl }, ...sections });
}

async function statusOf(runtime: Runtime, key: TestKey): Promise<number> {
  const claims = { 'stellaops:license': 'LIC-9' };
  const opTok = site.opTok({ key, header: { kid: key.thumbprint }, claims });
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: site.proof(opTok) };
  const request = new Request(`http://x/token?service=${SERVICE}`, { headers });
  return (await runtime.handle(request, noCertificate)).status;
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    if (condition()) return;
    await Bun.sleep(10);
  }
  throw new Error('It did not come about within 5 s.');
}

test('a key set that arrives from an Authority that the configuration no longer names is not adopted', async () => {
  const [former, present] = await Promise.all([createKey('ES256'), createKey('ES256')]);
  await using formerAuthority = await startFaultyAuthority([former]);
  await using presentAuthority = await startFaultyAuthority([present]);
  const gate = createGate(answersJson(keySetOf([former])));
  formerAuthority.behave({ keySet: gate.behaviour });
  configureWith(formerAuthority);
  const runtime = await site.open();
  const told: string[] = [];
  runtime.onKeySet = ({ json }) => told.push(json);
  const waiting = statusOf(runtime, former);
  await until(() => formerAuthority.fetches() === 1);
  configureWith(presentAuthority);
  expect(await runtime.reload()).toEqual([]);
  gate.open();
  // Decided by the configuration in force, to which its key means nothing.
  expect(await waiting).toBe(401);
  expect(await statusOf(runtime, former)).toBe(401);
  expect(await statusOf(runtime, present)).toBe(200);
  expect(told.filter((json) => json.includes(former.thumbprint))).toEqual([]);
  await runtime.close();
});

test('a request that waits for the Authority gets no token for a licence that is revoked meanwhile', async () => {
  const key = await createKey('ES256');
  await using authority = await startFaultyAuthority([key]);
  const gate = createGate(answersJson(keySetOf([key])));
  authority.behave({ keySet: gate.behaviour });
  configureWith(authority);
  const runtime = await site.open();
  const waiting = statusOf(runtime, key);
  await until(() => authority.fetches() === 1);
  configureWith(authority, { revokedLicenses: ['LIC-9'] });
  expect(await runtime.reload()).toEqual([]);
  gate.open();
  expect(await waiting).toBe(403);
  expect(site.logLines.at(-1)).toMatchObject({ reason: 'license-revoked', generation: 2 });
  // A reload asks anew: the operator may know that the keys have changed.
  expect(authority.requests.filter((path) => path === METADATA_PATH)).toHaveLength(2);
  await runtime.close();
});

test('a fault of a reload that nobody has expected is logged by its name and place, and changes nothing', async () => {
  site.configure();
  let fault: Error | null = null;
  const load = () => {
    if (fault !== null) throw fault;
    return loadConfiguration(site.folder.at('registry-token.yaml'), {});
  };
  const processUsage = () => ({ cpuSeconds: 0, residentBytes: 0, startedAt: 0 });
  const runtime = await Runtime.create(load, { clock: () => site.clock.now, log: site.log, processUsage });
  const before = runtime.service;
  fault = new TypeError('with a secret in it');
  expect(await runtime.reloadAndLog()).toBe(false);
  const { level, message, fault: told } = site.logLines.at(-1) ?? {};
  expect({ level, message }).toEqual({ level: 'error', message: 'not reloaded' });
  expect(told).toMatch(/^TypeError at .*reload-faults/);
  expect(runtime.service).toBe(before);
  const metrics = await (await runtime.handle(new Request('http://x/metrics'), noCertificate)).text();
  expect(metrics).toMatch(/^registry_token_config_reload_total\{result="failure"\} 1$/m);
  expect(metrics).toMatch(/^registry_token_configuration_generation 1$/m);
  fault = null;
  expect(await runtime.reloadAndLog()).toBe(true);
  expect(site.logLines.at(-1)).toMatchObject({ message: 'reloaded', generation: 2, revokedLicenses: 0 });
});

test('a reload that not every thread takes is no reload: it is logged and counted as a failure', async () => {
  site.configure();
  const runtime = await site.open();
  runtime.onReplaced = async () => {
    throw new Error('worker 2 still uses the old configuration: a fault');
  };
  expect(await runtime.reloadAndLog()).toBe(false);
  expect(site.logLines.at(-1)).toMatchObject({
    level: 'error',
    message: 'reload incomplete',
    fault: 'worker 2 still uses the old configuration: a fault',
  });
  const metrics = await (await runtime.handle(new Request('http://x/metrics'), noCertificate)).text();
  expect(metrics).toMatch(/^registry_token_config_reload_total\{result="failure"\} 1$/m);
  expect(metrics).toMatch(/^registry_token_configuration_generation 1$/m);
});

test('reloads that are asked for together are logged once', async () => {
  site.configure();
  const runtime = await site.open();
  const before = site.logLines.length;
  const first = runtime.reloadAndLog();
  await Promise.resolve();
  await Promise.resolve();
  await Promise.all([first, ...Array.from({ length: 20 }, () => runtime.reloadAndLog())]);
  const told = site.logLines.slice(before).filter(({ message }) => message === 'reloaded');
  expect(told.length).toBeLessThanOrEqual(2);
  expect(told.map(({ generation }) => generation)).toEqual(told.map((_, index) => index + 2));
});
