/** A scrape: OpenMetrics for who asks for it, read by Prometheus's own Python parser, and one collection for all at a time. */
import { describe, expect, test } from 'bun:test';
import { createExposition, prefersOpenMetrics } from '../../src/telemetry/exposition.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { toOpenMetrics } from '../../src/telemetry/open-metrics.ts';
import { Tally } from '../../src/telemetry/tally.ts';
import { describeWith } from '../support/debian-parts.ts';
import { runOrFail } from '../support/processes.ts';

const usage = { cpuSeconds: 1.5, residentBytes: 50_000_000, startedAt: 1_800_000_000.25 };
const observations = {
  replayEntries: 7,
  replayCapacity: 1000,
  authorityKeysAge: 12.5,
  signingCertificateExpiry: 1_900_000_000,
  auditDropped: 3,
};

async function exposeAll(): Promise<string> {
  const tally = new Tally();
  tally.announcePlans(['community', 'a"b\\c']);
  tally.issued('a"b\\c', 0.003);
  tally.issued('community', 3);
  tally.rejected('plan-denied', 0.2);
  return createMetrics(
    tally,
    () => observations,
    () => usage,
  ).expose();
}

/** Prints every sample of every family as JSON: what Prometheus's parser for OpenMetrics has understood. */
const readByPython = `
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
print(json.dumps([[f.name, f.type, f.unit, f.documentation, [[s.name, s.labels, s.value] for s in f.samples]]
  for f in parse(sys.stdin.read())]))`;

type Family = [string, string, string, string, [string, Record<string, string>, number][]];

describeWith(['python3-prometheus-client'], "Prometheus's parser of OpenMetrics", () => {
  const parse = async (text: string): Promise<Family[]> =>
    JSON.parse(await runOrFail(['/usr/bin/python3', '-c', readByPython], { input: text }));

  test('reads every series that the text format has, with the same value', async () => {
    const text = await exposeAll();
    const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const families = await parse(toOpenMetrics(text));
    const read = families.flatMap(([, , , , found]) => found);
    expect(read).toHaveLength(samples.length);
    expect(read).toContainEqual(['registry_token_issued_total', { plan: 'a"b\\c' }, 1]);
    expect(read).toContainEqual(['registry_token_rejected_total', { reason: 'plan-denied' }, 1]);
    const buckets = read.filter(([name, { outcome }]) => name.endsWith('_bucket') && outcome === 'issued');
    expect(buckets.at(0)?.[1].le).toBe('0.0005');
    expect(buckets.filter(([, { le }]) => le === '1.0' || le === '5.0').map(([, , value]) => value)).toEqual([
      1, 2,
    ]);
  });

  test('finds types, units and texts', async () => {
    const families = await parse(toOpenMetrics(await exposeAll()));
    const about = new Map(families.map(([name, type, unit]) => [name, [type, unit]]));
    expect(Object.fromEntries(about)).toMatchObject({
      registry_token_issued: ['counter', ''],
      registry_token_request_duration_seconds: ['histogram', 'seconds'],
      process_cpu_seconds: ['counter', 'seconds'],
      process_resident_memory_bytes: ['gauge', 'bytes'],
      registry_token_signing_certificate_expiry_timestamp_seconds: ['gauge', 'seconds'],
      registry_token_build_info: ['gauge', ''],
    });
    for (const [name, , , text] of families)
      expect([name, text]).toEqual([name, expect.stringMatching(/^[A-Z].+\.$/)]);
  });

  test('does not take the text format: it would notice', async () => {
    await expect(parse(await exposeAll())).rejects.toThrow('ValueError');
    await expect(parse(toOpenMetrics(await exposeAll()).replace('# EOF\n', ''))).rejects.toThrow('EOF');
  });
});

describe('OpenMetrics is for who asks for it', () => {
  test.each([
    [
      'Prometheus 2',
      'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
    ],
    [
      'Prometheus 3',
      'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.4,*/*;q=0.1',
    ],
    ['who likes both', 'text/plain, application/openmetrics-text'],
    ['who shouts', 'Application/OpenMetrics-Text; Version=1.0.0'],
  ])('%s', (_, accept) => {
    expect(prefersOpenMetrics(accept)).toBe(true);
  });

  test.each([
    ['nobody', null],
    ['an empty field', ''],
    ['curl', '*/*'],
    ['a browser', 'text/html,application/xhtml+xml,*/*;q=0.8'],
    ['another version', 'application/openmetrics-text;version=2.0.0'],
    ['who refuses it', 'application/openmetrics-text;q=0'],
    ['who likes plain text better', 'application/openmetrics-text;q=0.5, text/plain;q=0.6'],
    ['no number', 'application/openmetrics-text;q=x'],
    ['ten thousand commas', ','.repeat(10_000)],
  ])('and not for %s', (_, accept) => {
    expect(prefersOpenMetrics(accept)).toBe(false);
  });

  test('each answer has the media type of its form', async () => {
    const expose = createExposition(exposeAll);
    const plain = await expose(null);
    expect(plain.type).toBe('text/plain; version=0.0.4; charset=utf-8');
    const open = await expose('application/openmetrics-text');
    expect(open.type).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(open.text).toEndWith('\n# EOF\n');
    expect(plain.text).not.toContain('EOF');
  });
});

test('scrapes that come while one is collected share it, and the next collects anew', async () => {
  let collections = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const expose = createExposition(async () => {
    collections += 1;
    await promise;
    return `a ${collections}\n`;
  });
  const scrapes = Array.from({ length: 1000 }, () => expose(null));
  resolve();
  expect(new Set((await Promise.all(scrapes)).map(({ text }) => text))).toEqual(new Set(['a 1\n']));
  expect((await expose(null)).text).toBe('a 2\n');
});

test('a collection that fails fails those who share it, and not the next', async () => {
  let isBroken = true;
  const expose = createExposition(async () => {
    if (isBroken) throw new Error('no worker');
    return 'a 1\n';
  });
  const shared = await Promise.allSettled([expose(null), expose(null)]);
  expect(shared.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  isBroken = false;
  expect((await expose(null)).text).toBe('a 1\n');
});
