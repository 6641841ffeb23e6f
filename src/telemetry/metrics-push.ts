/** What OpenTelemetry's environment variables ask for (its "Environment Variable Specification"), as far as they are ours to read. */
import { escapeText } from '../platform/escape.ts';
import type { Log } from './log.ts';
import type { MetricsPush, PushSettings } from './otlp-push.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const INTERVAL_MS = 60_000;
const TIMEOUT_MS = 30_000;
const ENDPOINTS = ['OTEL_EXPORTER_OTLP_METRICS_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'];
const PROTOCOLS = ['OTEL_EXPORTER_OTLP_METRICS_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'];

/** null where nothing is to be pushed; the libraries are loaded only otherwise. Warns of each variable that cannot be used. */
export async function openPush(env: Environment, log: Log): Promise<MetricsPush | null> {
  const settings = readPushSettings(env, (warning) => log.warn(warning));
  if (settings === null) return null;
  const { openMetricsPush } = await import('./otlp-push.ts');
  return openMetricsPush(settings, log);
}

/**
 * null where nothing is to be pushed: metrics can be scraped in any case (`prometheus`). As the specification asks, a
 * value that cannot be used is warned of and counts as not set; nothing fails because of it.
 */
export function readPushSettings(env: Environment, warn: (warning: string) => void): PushSettings | null {
  if (textOf(env, 'OTEL_SDK_DISABLED').toLowerCase() === 'true') return null;
  const exporters = readExporters(env, warn);
  const endpoint = exporters.includes('otlp') ? readEndpoint(env, warn) : null;
  const console = exporters.includes('console');
  if (endpoint === null && !console) return null;
  if (endpoint !== null) checkProtocol(env, warn);
  const intervalMs = readMilliseconds(env, 'OTEL_METRIC_EXPORT_INTERVAL', INTERVAL_MS, warn);
  const timeoutMs = readMilliseconds(env, 'OTEL_METRIC_EXPORT_TIMEOUT', TIMEOUT_MS, warn);
  // The SDK refuses a timeout that is longer than the interval.
  return { endpoint, console, intervalMs, timeoutMs: Math.min(timeoutMs, intervalMs) };
}

function readExporters(env: Environment, warn: (warning: string) => void): readonly string[] {
  const named = textOf(env, 'OTEL_METRICS_EXPORTER').split(',');
  const exporters = named.map((name) => name.trim()).filter((name) => name !== '');
  for (const name of exporters)
    if (!['none', 'otlp', 'prometheus', 'console'].includes(name))
      warn(
        `OTEL_METRICS_EXPORTER: "${shown(name)}" is ignored; known are otlp, prometheus, console and none`,
      );
  return exporters.length === 0 ? ['otlp'] : exporters;
}

/** The value may hold a password, so it is not shown. */
function readEndpoint(env: Environment, warn: (warning: string) => void): string | null {
  const name = ENDPOINTS.find((candidate) => textOf(env, candidate) !== '');
  if (name === undefined) return null;
  const endpoint = textOf(env, name);
  if (/^https?:$/.test(URL.parse(endpoint)?.protocol ?? '')) return endpoint;
  warn(`${name} is not an http or https URL; no metrics are pushed`);
  return null;
}

function checkProtocol(env: Environment, warn: (warning: string) => void): void {
  const name = PROTOCOLS.find((candidate) => textOf(env, candidate) !== '');
  const protocol = name === undefined ? '' : textOf(env, name);
  if (protocol !== '' && protocol !== 'http/protobuf')
    warn(`${name} is "${shown(protocol)}"; http/protobuf is used, the only protocol supported`);
}

function readMilliseconds(
  env: Environment,
  name: string,
  otherwise: number,
  warn: (warning: string) => void,
): number {
  const text = textOf(env, name);
  if (text === '') return otherwise;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 100 && value <= 86_400_000) return value;
  warn(`${name} is "${shown(text)}"; ${otherwise} is used. Allowed are 100 to 86400000 milliseconds`);
  return otherwise;
}

function textOf(env: Environment, name: string): string {
  return env[name]?.trim() ?? '';
}

function shown(text: string): string {
  return escapeText(text.slice(0, 40));
}
