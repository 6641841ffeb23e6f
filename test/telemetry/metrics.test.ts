/** The metrics by name, type and labels, and that no request can create a series. */
import { afterAll, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { reasons } from '../../src/refusal.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { createMetrics, type Observations, shareCollection } from '../../src/telemetry/metrics.ts';
import { createInstallation } from '../assemble/installation.ts';
import { noCertificate } from '../support/service.ts';
import { SERVICE } from '../support/tokens.ts';
import { type Exposition, parseExposition, readValue, seriesOf } from './exposition.ts';

const observations: Observations = {
  replayEntries: 7,
  replayCapacity: 1000,
  authorityKeysAges: new Map([['default', 12.5]]),
  signingCertificateExpiry: 1_900_000_000,
  configurationGeneration: 3,
  entitlements: null,
  revokedLicenses: 5,
  auditDropped: 5,
};
const usage = { cpuSeconds: 1.5, residentBytes: 50_000_000, startedAt: 1_800_000_000 };

function createTestMetrics(observed: Partial<Observations> = {}) {
  const counters = new Counters();
  const metrics = createMetrics(
    counters,
    () => ({ ...observations, ...observed }),
    () => usage,
  );
  return { counters, metrics, read: async () => parseExposition(await metrics.expose()) };
}

/** Every metric of ours, with its type and the names of its labels. */
const contract: readonly (readonly [string, string, readonly string[]])[] = [
  ['registry_token_issued_total', 'counter', ['plan']],
  ['registry_token_rejected_total', 'counter', ['reason']],
  ['registry_token_request_duration_seconds', 'histogram', ['outcome']],
  ['registry_token_event_loop_delay_seconds', 'histogram', []],
  ['registry_token_authority_refresh_total', 'counter', ['authority', 'result']],
  ['registry_token_authority_keys_age_seconds', 'gauge', ['authority']],
  ['registry_token_replay_entries', 'gauge', []],
  ['registry_token_replay_capacity', 'gauge', []],
  ['registry_token_config_reload_total', 'counter', ['result']],
  ['registry_token_configuration_generation', 'gauge', []],
  ['registry_token_revoked_licenses', 'gauge', []],
  ['registry_token_worker_deaths_total', 'counter', []],
  ['registry_token_audit_dropped_total', 'counter', []],
  ['registry_token_signing_certificate_expiry_timestamp_seconds', 'gauge', []],
  ['registry_token_build_info', 'gauge', ['bun', 'commit', 'version']],
  ['process_cpu_seconds_total', 'counter', []],
  ['process_resident_memory_bytes', 'gauge', []],
  ['process_start_time_seconds', 'gauge', []],
];

describe('the exposition', async () => {
  const { counters, metrics, read } = createTestMetrics();
  metrics.announceAuthorities(['default']);
  counters.announcePlans(['community']);
  counters.issued('community', 0.003);
  counters.rejected('plan-denied', 0.0001);
  const exposition = await read();

  test.each(contract)('has %s, a %s with the labels %p', (name, type, labels) => {
    expect(exposition.types.get(name)).toBe(type);
    expect(exposition.help.get(name)).toMatch(/^[A-Z].+\.$/);
    const own = exposition.samples.filter(
      ({ name: sample }) => sample === name || (type === 'histogram' && sample.startsWith(`${name}_`)),
    );
    expect(own.length).toBeGreaterThan(0);
    for (const sample of own)
      expect(
        Object.keys(sample.labels)
          .filter((label) => label !== 'le')
          .sort(),
      ).toEqual([...labels]);
  });

  test('has nothing else', () => {
    expect([...exposition.types.keys()].sort()).toEqual(contract.map(([name]) => name).sort());
    expect([...exposition.help.keys()].sort()).toEqual(contract.map(([name]) => name).sort());
  });

  test('observes what it is told', () => {
    expect(readValue(exposition, 'registry_token_replay_entries')).toBe(7);
    expect(readValue(exposition, 'registry_token_replay_capacity')).toBe(1000);
    expect(readValue(exposition, 'registry_token_authority_keys_age_seconds', { authority: 'default' })).toBe(
      12.5,
    );
    expect(readValue(exposition, 'registry_token_signing_certificate_expiry_timestamp_seconds')).toBe(
      1_900_000_000,
    );
    expect(readValue(exposition, 'process_cpu_seconds_total')).toBe(1.5);
    expect(readValue(exposition, 'process_resident_memory_bytes')).toBe(50_000_000);
    expect(readValue(exposition, 'process_start_time_seconds')).toBe(1_800_000_000);
    const info = exposition.samples.find(({ name }) => name === 'registry_token_build_info');
    expect(info).toMatchObject({
      value: 1,
      labels: { version: expect.stringMatching(/^\d+\.\d+\.\d+/), bun: Bun.version },
    });
  });

  test('counts by plan and by reason', () => {
    expect(readValue(exposition, 'registry_token_issued_total', { plan: 'community' })).toBe(1);
    expect(readValue(exposition, 'registry_token_rejected_total', { reason: 'plan-denied' })).toBe(1);
    expect(readValue(exposition, 'registry_token_rejected_total', { reason: 'internal' })).toBe(0);
  });

  test('has every reason of the closed list from the first scrape on', () => {
    const told = exposition.samples
      .filter(({ name }) => name === 'registry_token_rejected_total')
      .map(({ labels }) => labels.reason);
    expect(told.sort()).toEqual([...reasons].sort());
  });

  test('has a histogram whose buckets add up', () => {
    for (const outcome of ['issued', 'rejected']) {
      const buckets = exposition.samples.filter(
        ({ name, labels }) => name.endsWith('_seconds_bucket') && labels.outcome === outcome,
      );
      const counts = buckets.map(({ value }) => value);
      expect(counts).toEqual(counts.toSorted((a, b) => a - b));
      expect(counts.at(-1)).toBe(1);
      expect(buckets.at(-1)?.labels.le).toBe('+Inf');
      expect(readValue(exposition, 'registry_token_request_duration_seconds_count', { outcome })).toBe(1);
    }
    expect(
      readValue(exposition, 'registry_token_request_duration_seconds_sum', { outcome: 'issued' }),
    ).toBeCloseTo(0.003);
    expect(
      readValue(exposition, 'registry_token_request_duration_seconds_bucket', {
        outcome: 'issued',
        le: '0.0025',
      }),
    ).toBe(0);
    expect(
      readValue(exposition, 'registry_token_request_duration_seconds_bucket', {
        outcome: 'issued',
        le: '0.005',
      }),
    ).toBe(1);
  });
});

test('what cannot be observed has no sample', async () => {
  const { read } = createTestMetrics({
    replayEntries: null,
    replayCapacity: null,
    authorityKeysAges: new Map(),
    signingCertificateExpiry: null,
  });
  const names = (await read()).samples.map(({ name }) => name);
  for (const name of [
    'replay_entries',
    'replay_capacity',
    'authority_keys_age_seconds',
    'signing_certificate_expiry_timestamp_seconds',
  ])
    expect(names).not.toContain(`registry_token_${name}`);
});

const corporate = (result: string) => ({ authority: 'corporate', result });

test('refreshes and reloads are counted by their result, refreshes by the Authority too', async () => {
  const { metrics, read } = createTestMetrics();
  metrics.announceAuthorities(['corporate', 'cluster']);
  metrics.authorityRefreshed('corporate', 'failure');
  metrics.authorityRefreshed('corporate', 'failure');
  metrics.reloaded('success');
  const exposition = await read();
  expect(readValue(exposition, 'registry_token_authority_refresh_total', corporate('failure'))).toBe(2);
  expect(readValue(exposition, 'registry_token_authority_refresh_total', corporate('success'))).toBe(0);
  expect(readValue(exposition, 'registry_token_config_reload_total', { result: 'success' })).toBe(1);
});

test('counters only grow from scrape to scrape', async () => {
  const { counters, read } = createTestMetrics();
  for (let round = 1; round <= 3; round += 1) {
    counters.rejected('internal', 0.1);
    expect(readValue(await read(), 'registry_token_rejected_total', { reason: 'internal' })).toBe(round);
  }
});

test('a plan whose name means something to the format is one series with that name', async () => {
  for (const plan of ['a"b', 'a\\b', 'a{b}', 'a,b="c"', '#HELP', '}', '\\n', '\\"', "a'b"]) {
    const { counters, read } = createTestMetrics();
    counters.announcePlans([plan]);
    counters.issued(plan, 0.1);
    expect(readValue(await read(), 'registry_token_issued_total', { plan })).toBe(1);
  }
});

test('a catalogue of many plans has a series for each', async () => {
  const { counters, read } = createTestMetrics();
  const plans = Array.from({ length: 3000 }, (_, index) => `plan-${index}`);
  counters.announcePlans(plans);
  for (const plan of plans) counters.issued(plan, 0.1);
  const issued = (await read()).samples.filter(({ name }) => name === 'registry_token_issued_total');
  expect(issued.map(({ labels, value }) => [labels.plan, value])).toEqual(plans.map((plan) => [plan, 1]));
});

test('scrapes that come while one is collected share it, and the next collects anew', async () => {
  let collections = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const expose = shareCollection(async () => {
    collections += 1;
    await promise;
    return `a ${collections}\n`;
  });
  const scrapes = Array.from({ length: 1000 }, () => expose());
  resolve();
  expect(new Set(await Promise.all(scrapes))).toEqual(new Set(['a 1\n']));
  expect(await expose()).toBe('a 2\n');
});

test('a collection that fails fails those who share it, and not the next', async () => {
  let isBroken = true;
  const expose = shareCollection(async () => {
    if (isBroken) throw new Error('no worker');
    return 'a 1\n';
  });
  const shared = await Promise.allSettled([expose(), expose()]);
  expect(shared.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  isBroken = false;
  expect(await expose()).toBe('a 1\n');
});

describe('the series of a running service', async () => {
  const site = await createInstallation();
  afterAll(() => site[Symbol.asyncDispose]());
  site.configure({ anonymousPlan: 'community' });
  const { handle } = await site.open();
  const scrape = async (): Promise<Exposition> => {
    const response = await handle(new Request('http://x/metrics'), noCertificate);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    return parseExposition(await response.text());
  };

  test('are the same whatever is asked', async () => {
    const ask = async (headers: Readonly<Record<string, string>>, query: string) =>
      handle(new Request(`http://x/token?${query}`, { headers }), noCertificate);
    const good = site.opTok();
    await ask({ Authorization: `DPoP ${good}`, DPoP: site.proof(good) }, `service=${SERVICE}`);
    await ask({}, '');
    const before = (await scrape()).samples.map(seriesOf).sort();
    const text = fc.string({ unit: 'binary-ascii', maxLength: 20 });
    const claims = fc.dictionary(
      fc.constantFrom('stellaops:plan', 'stellaops:license', 'sub', 'jti', 'client_id'),
      text,
    );
    await fc.assert(
      fc.asyncProperty(text, text, text, claims, async (service, scope, account, members) => {
        const opTok = site.opTok({ claims: members });
        const query = new URLSearchParams({ service, scope, account });
        await ask({ Authorization: `DPoP ${opTok}`, DPoP: site.proof(opTok) }, query.toString());
        query.set('service', SERVICE);
        await ask({ Authorization: `DPoP ${opTok}`, DPoP: site.proof(opTok) }, query.toString());
        await ask({}, query.toString());
        await handle(new Request(`http://x/${encodeURIComponent(scope)}`, { method: 'POST' }), noCertificate);
      }),
      { numRuns: 100 },
    );
    expect((await scrape()).samples.map(seriesOf).sort()).toEqual(before);
  });

  test('count each request to the token endpoint once, and no other', async () => {
    const total = ({ samples }: Exposition) =>
      samples
        .filter(({ name }) => name === 'registry_token_request_duration_seconds_count')
        .reduce((sum, { value }) => sum + value, 0);
    const before = total(await scrape());
    for (const path of ['healthz', 'readyz', 'metrics', '.well-known/jwks.json', 'nothing'])
      await handle(new Request(`http://x/${path}`), noCertificate);
    await handle(new Request('http://x/token', { method: 'PUT' }), noCertificate);
    expect(total(await scrape())).toBe(before);
    await handle(new Request('http://x/token'), noCertificate);
    await handle(new Request('http://x/auth/token'), noCertificate);
    expect(total(await scrape())).toBe(before + 2);
  });
});
