/** OpenTelemetry's environment variables (its specification, "Environment Variable Specification"), as far as they are ours to read. */

export interface PushSettings {
  readonly endpoint: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** A variable that cannot be used. */
export class PushSettingFault extends Error {}

type Environment = Readonly<Record<string, string | undefined>>;

/** null where nothing is to be pushed. Throws PushSettingFault; its text has no value of a variable. */
export function readPushSettings(env: Environment): PushSettings | null {
  const names = ['OTEL_EXPORTER_OTLP_METRICS_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'];
  const name = names.find((candidate) => textOf(env, candidate) !== '');
  const isOff =
    textOf(env, 'OTEL_SDK_DISABLED').toLowerCase() === 'true' ||
    textOf(env, 'OTEL_METRICS_EXPORTER') === 'none';
  if (name === undefined || isOff) return null;
  const endpoint = textOf(env, name);
  if (!/^https?:$/.test(URL.parse(endpoint)?.protocol ?? ''))
    throw new PushSettingFault(`${name}: must be an http or https URL`);
  for (const protocolName of ['OTEL_EXPORTER_OTLP_METRICS_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL']) {
    const protocol = textOf(env, protocolName);
    if (protocol !== '' && protocol !== 'http/protobuf')
      throw new PushSettingFault(`${protocolName}: must be http/protobuf, the one protocol here`);
    if (protocol !== '') break;
  }
  const intervalMs = milliseconds(env, 'OTEL_METRIC_EXPORT_INTERVAL', 60_000);
  const timeoutMs = milliseconds(env, 'OTEL_METRIC_EXPORT_TIMEOUT', 30_000);
  // The SDK refuses a timeout that is longer than the interval.
  return { endpoint, intervalMs, timeoutMs: Math.min(timeoutMs, intervalMs) };
}

function textOf(env: Environment, name: string): string {
  return env[name]?.trim() ?? '';
}

function milliseconds(env: Environment, name: string, usual: number): number {
  const text = textOf(env, name);
  if (text === '') return usual;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 100 || value > 86_400_000)
    throw new PushSettingFault(`${name}: must be milliseconds, 100 to 86400000`);
  return value;
}
