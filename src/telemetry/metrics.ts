/** The metrics of CONTRACT §6, through OpenTelemetry, in the Prometheus text format. Labels come from closed sets. */
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { type Reason, reasons } from '../refusal.ts';
import { buildInfo } from './build-info.ts';

export interface Metrics {
  /** A token was issued under this plan; `seconds` = how long the request took. */
  readonly issued: (plan: string, seconds: number) => void;
  readonly rejected: (reason: Reason, seconds: number) => void;
  readonly reloaded: (result: 'success' | 'failure') => void;
  /** The names that the catalogue has now, so that each is there from the next scrape on. */
  readonly announcePlans: (plans: readonly string[]) => void;
  readonly authorityRefreshed: (result: 'success' | 'failure') => void;
  /** The whole exposition. */
  readonly expose: () => Promise<string>;
}

/** What is measured when somebody looks; null where there is nothing to measure. */
export interface Observations {
  readonly replayEntries: number | null;
  readonly replayCapacity: number | null;
  /** Seconds since the Authority's keys in use were fetched. */
  readonly authorityKeysAge: number | null;
  /** Epoch seconds. */
  readonly signingCertificateExpiry: number | null;
}

/** The process as the operating system counts it. */
export interface ProcessUsage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** Epoch seconds. */
  readonly startedAt: number;
}

const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** `observe` and `processUsage` are asked at each scrape. */
export function createMetrics(observe: () => Observations, processUsage: () => ProcessUsage): Metrics {
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  const meter = new MeterProvider({ readers: [exporter] }).getMeter('registry-token');

  const issued = meter.createCounter('registry_token_issued_total', {
    description: 'Registry tokens issued, by plan.',
  });
  const rejected = meter.createCounter('registry_token_rejected_total', {
    description: 'Requests refused, by reason.',
  });
  const duration = meter.createHistogram('registry_token_request_duration_seconds', {
    description: 'Time from the request to the answer of the token endpoint.',
    unit: 's',
    advice: { explicitBucketBoundaries: BUCKETS },
  });
  const refreshed = meter.createCounter('registry_token_authority_refresh_total', {
    description: "Fetches of the Authority's keys, by result.",
  });
  for (const reason of reasons) rejected.add(0, { reason });
  const reloads = meter.createCounter('registry_token_config_reload_total', {
    description: 'Reloads of the configuration, by result.',
  });
  for (const result of ['success', 'failure']) {
    refreshed.add(0, { result });
    reloads.add(0, { result });
  }

  const gauge = (name: string, description: string, read: () => number | null) =>
    meter.createObservableGauge(name, { description }).addCallback((result) => {
      const value = read();
      if (value !== null) result.observe(value);
    });
  gauge('registry_token_replay_entries', 'Proofs remembered as used.', () => observe().replayEntries);
  gauge('registry_token_replay_capacity', 'Proofs that can be remembered.', () => observe().replayCapacity);
  gauge(
    'registry_token_authority_keys_age_seconds',
    "Age of the Authority's keys.",
    () => observe().authorityKeysAge,
  );
  gauge(
    'registry_token_signing_certificate_expiry_timestamp_seconds',
    'When the first of the signing certificates ends.',
    () => observe().signingCertificateExpiry,
  );
  gauge('process_resident_memory_bytes', 'Resident memory.', () => processUsage().residentBytes);
  gauge('process_start_time_seconds', 'When the process started.', () => processUsage().startedAt);
  meter
    .createObservableCounter('process_cpu_seconds_total', { description: 'CPU time, user and system.' })
    .addCallback((result) => result.observe(processUsage().cpuSeconds));
  const { version, commit, bun } = buildInfo();
  meter
    .createObservableGauge('registry_token_build_info', { description: 'What was built; always 1.' })
    .addCallback((result) => result.observe(1, { version, commit, bun }));

  return {
    issued: (plan, seconds) => {
      issued.add(1, { plan });
      duration.record(seconds, { outcome: 'issued' });
    },
    rejected: (reason, seconds) => {
      rejected.add(1, { reason });
      duration.record(seconds, { outcome: 'rejected' });
    },
    reloaded: (result) => reloads.add(1, { result }),
    announcePlans: (plans) => {
      for (const plan of plans) issued.add(0, { plan });
    },
    authorityRefreshed: (result) => refreshed.add(1, { result }),
    expose: async () => serializer.serialize((await exporter.collect()).resourceMetrics),
  };
}
