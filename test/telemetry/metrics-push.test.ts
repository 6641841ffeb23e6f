/** OpenTelemetry's environment variables: which of them make the service push, where to and how often. */
import { expect, test } from 'bun:test';
import { readPushSettings } from '../../src/telemetry/metrics-push.ts';

function read(env: Readonly<Record<string, string>>) {
  const warnings: string[] = [];
  return { settings: readPushSettings(env, (warning) => void warnings.push(warning)), warnings };
}

const GENERAL = 'http://general.example:4318';
const METRICS = 'https://metrics.example/v1/metrics';

test.each([
  ['the general endpoint', { OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL }, GENERAL],
  ['that of metrics', { OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: METRICS }, METRICS],
  [
    'that of metrics before the general one',
    { OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: METRICS },
    METRICS,
  ],
  [
    'the general one where that of metrics is empty',
    { OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: ' ' },
    GENERAL,
  ],
  [
    'it, with the SDK switched on',
    { OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, OTEL_SDK_DISABLED: 'false' },
    GENERAL,
  ],
])('pushes to %s', (_, env, endpoint) => {
  expect(read(env)).toEqual({
    settings: { endpoint, console: false, intervalMs: 60_000, timeoutMs: 30_000 },
    warnings: [],
  });
});

test.each([
  ['without an endpoint', {}],
  ['with an empty one', { OTEL_EXPORTER_OTLP_ENDPOINT: '' }],
  ['with the SDK switched off', { OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, OTEL_SDK_DISABLED: 'TRUE' }],
  [
    'where metrics are scraped',
    { OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, OTEL_METRICS_EXPORTER: 'prometheus' },
  ],
  ['with no exporter of metrics', { OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, OTEL_METRICS_EXPORTER: 'none' }],
])('pushes nothing %s', (_, env) => {
  expect(read(env)).toEqual({ settings: null, warnings: [] });
});

test.each([
  ['otlp', GENERAL, false],
  ['console', null, true],
  ['otlp, console,prometheus', GENERAL, true],
])('the exporters %s are taken by their names', (names, endpoint, console) => {
  const { settings, warnings } = read({ OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, OTEL_METRICS_EXPORTER: names });
  expect(settings).toMatchObject({ endpoint, console });
  expect(warnings).toEqual([]);
});

test('an export takes no longer than the time to the next', () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, OTEL_METRIC_EXPORT_INTERVAL: '5000' };
  expect(read(env).settings).toMatchObject({ intervalMs: 5000, timeoutMs: 5000 });
  expect(read({ ...env, OTEL_METRIC_EXPORT_TIMEOUT: '700' }).settings).toMatchObject({ timeoutMs: 700 });
});

const usual = { endpoint: GENERAL, console: false, intervalMs: 60_000, timeoutMs: 30_000 };

test.each([
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'localhost:4318', null],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'grpc://me:s3cret@localhost:4317', null],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://', null],
  ['OTEL_METRICS_EXPORTER', 'statsd', null],
  ['OTEL_METRICS_EXPORTER', 'otlp,statsd', usual],
  ['OTEL_EXPORTER_OTLP_METRICS_PROTOCOL', 'http/json', usual],
  ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc', usual],
  ['OTEL_METRIC_EXPORT_INTERVAL', '5s', usual],
  ['OTEL_METRIC_EXPORT_INTERVAL', '99', usual],
  ['OTEL_METRIC_EXPORT_TIMEOUT', '1e12', usual],
])('%s=%s is a warning, and the default counts', (name, value, expected) => {
  const { settings, warnings } = read({ OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, [name]: value });
  expect(settings).toEqual(expected);
  expect(warnings).toEqual([expect.stringMatching(new RegExp(`^${name}\\b`))]);
  expect(warnings.join()).not.toContain('s3cret');
});
