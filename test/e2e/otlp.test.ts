/** Metrics by OTLP, as OpenTelemetry's environment variables say: the executable pushes, and a faulty other side costs nothing. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { type OtlpReceiver, startOtlpReceiver } from '../support/otlp-receiver.ts';
import { findFreePort } from '../support/processes.ts';
import { keepSecret } from '../support/secret-watch.ts';
import { createServiceProcess, type ServiceProcess } from '../support/service-process.ts';

setDefaultTimeout(30_000);

const SECRET = keepSecret('collector-api-key-4711');
let receiver: OtlpReceiver;
beforeAll(() => {
  receiver = startOtlpReceiver();
});
afterAll(() => receiver[Symbol.asyncDispose]());

const pushing = (env: Readonly<Record<string, string>>): Promise<ServiceProcess> =>
  createServiceProcess({
    authority: { metadataUrl: 'http://127.0.0.1:9/nobody' },
    env: { OTEL_METRIC_EXPORT_INTERVAL: '200', ...env },
  });

async function until(what: string, look: () => boolean): Promise<void> {
  for (let tries = 0; !look(); tries += 1) {
    if (tries > 500) throw new Error(`No ${what} in 10 seconds.`);
    await Bun.sleep(20);
  }
}

const last = () => receiver.exports.at(-1);
const rejected = (reason: string) =>
  last()
    ?.metrics.get('registry_token_rejected_total')
    ?.find(({ attributes }) => attributes.reason === reason)?.value;

test('what is counted is pushed, under the name of the service and with the headers', async () => {
  await using service = await pushing({
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_EXPORTER_OTLP_HEADERS: `api-key=${SECRET}`,
    OTEL_SERVICE_NAME: 'tokens-of-berlin',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
  });
  await service.start();
  for (let count = 0; count < 3; count += 1) await service.get('/token?service=registry.example.com');
  await until('three refusals', () => rejected('credentials-missing') === 3);
  expect(last()?.path).toBe('/v1/metrics');
  expect(last()?.headers.get('content-type')).toBe('application/x-protobuf');
  expect(last()?.headers.get('api-key')).toBe(SECRET);
  expect(last()?.resource).toMatchObject({
    'service.name': 'tokens-of-berlin',
    'service.version': expect.stringMatching(/^\d+\.\d+\.\d+/),
    'deployment.environment.name': 'test',
  });
  const durations = last()?.metrics.get('registry_token_request_duration_seconds');
  expect(durations?.find(({ attributes }) => attributes.outcome === 'rejected')?.value).toBe(3);
  expect(last()?.metrics.get('process_resident_memory_bytes')?.[0]?.value).toBeGreaterThan(10_000_000);
  // The same as who scrapes is told, and at the stop for the last time.
  await service.get('/token?service=registry.example.com');
  expect(await service.stop()).toBe(0);
  expect(rejected('credentials-missing')).toBe(4);
});

test.each([
  ['refuses connections', async () => `http://127.0.0.1:${await findFreePort()}`, 'ECONNREFUSED'],
  [
    'never answers',
    async () => {
      receiver.setAnswer('silence');
      return receiver.url;
    },
    null,
  ],
  [
    'answers 401',
    async () => {
      receiver.setAnswer(401);
      return receiver.url;
    },
    '401',
  ],
  [
    'answers 503',
    async () => {
      receiver.setAnswer(503);
      return receiver.url;
    },
    null,
  ],
] as const)('a receiver that %s costs one line in the log', async (_, endpointOf, fault) => {
  const endpoint = await endpointOf();
  await using service = await pushing({
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${endpoint.replace('//', `//user:${SECRET}@`)}/v1/metrics?key=${SECRET}`,
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=${SECRET}`,
    OTEL_EXPORTER_OTLP_TIMEOUT: '500',
  });
  await service.start();
  await until('a warning', () => service.output().includes('metrics not pushed'));
  for (let count = 0; count < 20; count += 1)
    expect((await service.get('/token?service=registry.example.com')).status).toBe(401);
  await Bun.sleep(1000);
  const warnings = service
    .output()
    .split('\n')
    .filter((line) => line.includes('metrics not pushed'));
  expect(warnings).toHaveLength(1);
  expect(JSON.parse(warnings[0] ?? '')).toMatchObject({
    level: 'warn',
    endpoint,
    ...(fault === null ? {} : { fault }),
  });
  expect(await service.stop()).toBe(0);
  receiver.setAnswer(200);
});

test('a receiver that never answers does not hold up the stop, nor the last lines of the log', async () => {
  receiver.setAnswer('silence');
  await using service = await pushing({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url });
  await service.start();
  await Bun.sleep(500);
  // SIGTERM; SIGKILL would follow 5 seconds later, by which the exit code is another.
  expect(await service.stop()).toBe(0);
  expect(service.output()).toContain('"stopped"');
  receiver.setAnswer(200);
});

test('nothing is pushed where no endpoint is named, or the SDK is switched off', async () => {
  const before = receiver.exports.length;
  for (const env of [{}, { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_SDK_DISABLED: 'true' }]) {
    await using service = await pushing(env);
    await service.start();
    await Bun.sleep(500);
  }
  expect(receiver.exports.length).toBe(before);
});

test.each([
  ['OTEL_EXPORTER_OTLP_ENDPOINT', `collector:4318/${SECRET}`],
  ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
  ['OTEL_METRICS_EXPORTER', 'statsd'],
  ['OTEL_METRIC_EXPORT_INTERVAL', '1'],
])('%s=%s is a warning, and the service starts', async (name, value) => {
  await using service = await pushing({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, [name]: value });
  await service.start();
  expect(service.output()).toMatch(new RegExp(`"warn".*"${name}`));
  expect(service.output()).not.toContain(SECRET);
  expect(await service.stop()).toBe(0);
});
