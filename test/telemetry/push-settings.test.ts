/** OpenTelemetry's environment variables: which of them make the service push, where to and how often. */
import { expect, test } from 'bun:test';
import { readPushSettings } from '../../src/telemetry/push-settings.ts';

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
  expect(readPushSettings(env)).toEqual({ endpoint, intervalMs: 60_000, timeoutMs: 30_000 });
});

test.each([
  ['without an endpoint', {}],
  ['with an empty one', { OTEL_EXPORTER_OTLP_ENDPOINT: '' }],
  ['with the SDK switched off', { OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, OTEL_SDK_DISABLED: 'TRUE' }],
  ['with no exporter of metrics', { OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, OTEL_METRICS_EXPORTER: 'none' }],
])('pushes nothing %s', (_, env) => {
  expect(readPushSettings(env)).toBeNull();
});

test('an export takes no longer than the time to the next', () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, OTEL_METRIC_EXPORT_INTERVAL: '5000' };
  expect(readPushSettings(env)).toMatchObject({ intervalMs: 5000, timeoutMs: 5000 });
  expect(readPushSettings({ ...env, OTEL_METRIC_EXPORT_TIMEOUT: '700' })).toMatchObject({ timeoutMs: 700 });
});

test.each([
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'localhost:4318'],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'grpc://localhost:4317'],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://'],
  ['OTEL_EXPORTER_OTLP_METRICS_PROTOCOL', 'http/json'],
  ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
  ['OTEL_METRIC_EXPORT_INTERVAL', '5s'],
  ['OTEL_METRIC_EXPORT_INTERVAL', '99'],
  ['OTEL_METRIC_EXPORT_TIMEOUT', '1e12'],
])('%s=%s is told by its name, and not by its value', (name, value) => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: GENERAL, [name]: value };
  expect(() => readPushSettings(env)).toThrow(new RegExp(`^${name}: must be (?!.*${value})`));
});
