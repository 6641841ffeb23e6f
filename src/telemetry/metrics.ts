/** The metrics, through OpenTelemetry, in the Prometheus text format. Labels come from closed sets. */
import { type Attributes, type Meter, ValueType } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import {
  AggregationTemporality,
  DataPointType,
  type HistogramMetricData,
  MeterProvider,
  type MetricProducer,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import { reasons } from '../refusal.ts';
import { buildInfo } from './build-info.ts';
import { type Counters, durationBounds, type Histogram, outcomes } from './counters.ts';
import type { MetricsPush } from './otlp-push.ts';

/** Counted rarely, and by one thread only. */
export interface Metrics {
  readonly reloaded: (result: 'success' | 'failure') => void;
  /** The Authorities of the configuration by name: what is counted of them is there from the start. */
  readonly announceAuthorities: (names: Iterable<string>) => void;
  readonly authorityRefreshed: (authority: string, result: 'success' | 'failure') => void;
  /** A worker died, and another takes its place. */
  readonly workerDied: () => void;
  /** The whole exposition. */
  readonly expose: () => Promise<string>;
}

/** Measured at each scrape; null if there is nothing to measure. */
export interface Observations {
  readonly replayEntries: number | null;
  readonly replayCapacity: number | null;
  /** Seconds since the keys in use were fetched, by the Authority's name. */
  readonly authorityKeysAges: ReadonlyMap<string, number>;
  /** Epoch seconds. */
  readonly signingCertificateExpiry: number | null;
  /** Lines that were not written to the audit file. */
  readonly auditDropped: number | null;
  /** Of the configuration by which every thread answers. */
  readonly configurationGeneration: number | null;
  readonly revokedLicenses: number | null;
  /** null without a bundle of entitlements. */
  readonly entitlements: {
    readonly serial: number;
    /** Epoch seconds. */
    readonly expiry: number;
    /** Whether the last reading of the bundle had no mistake. */
    readonly isLoaded: boolean;
  } | null;
}

/** The process as the operating system counts it. */
export interface ProcessUsage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** Epoch seconds. */
  readonly startedAt: number;
}

const LARGEST_CATALOGUE = 70_000;

/** `counters` holds what is counted at each request; `observe` and `processUsage` are called at each scrape and each push. */
export function createMetrics(
  counters: Counters,
  observe: () => Observations,
  processUsage: () => ProcessUsage,
  push: MetricsPush | null = null,
): Metrics {
  const metricProducers = [createHistogramProducer(counters)];
  const exporter = new PrometheusExporter({ preventServerStart: true, metricProducers });
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  // OpenTelemetry merges everything beyond 2000 series by default; a large catalogue has more plans.
  const views = [{ instrumentName: '*', aggregationCardinalityLimit: LARGEST_CATALOGUE }];
  const readers = push === null ? [exporter] : [exporter, ...push.createReaders(metricProducers)];
  const resource = push === null ? {} : { resource: push.resource };
  const meter = new MeterProvider({ readers, views, ...resource }).getMeter('registry-token');

  observeCounters(meter, counters);
  const refreshed = meter.createCounter('registry_token_authority_refresh_total', {
    description: "Fetches of the Authority's keys, by result.",
  });
  const reloads = meter.createCounter('registry_token_config_reload_total', {
    description: 'Reloads of the configuration, by result.',
  });
  const deaths = meter.createCounter('registry_token_worker_deaths_total', {
    description: 'Workers that died and were replaced.',
  });
  deaths.add(0);
  for (const result of ['success', 'failure']) {
    reloads.add(0, { result });
  }
  observeService(meter, observe);
  observeProcess(meter, processUsage);

  return {
    reloaded: (result) => reloads.add(1, { result }),
    announceAuthorities: (names) => {
      for (const authority of names)
        for (const result of ['success', 'failure']) refreshed.add(0, { authority, result });
    },
    authorityRefreshed: (authority, result) => refreshed.add(1, { authority, result }),
    workerDied: () => deaths.add(1),
    expose: async () => serializer.serialize((await exporter.collect()).resourceMetrics),
  };
}

/** Those who ask during a collection share its result, so that any number of them costs one collection at a time. */
export function shareCollection<Result>(collect: () => Promise<Result>): () => Promise<Result> {
  let underWay: Promise<Result> | null = null;
  return () => {
    underWay ??= collect().finally(() => {
      underWay = null;
    });
    return underWay;
  };
}

function observeCounters(meter: Meter, counters: Counters): void {
  meter
    .createObservableCounter('registry_token_issued_total', {
      description: 'Registry tokens issued, by plan.',
    })
    .addCallback((result) => {
      for (const plan of counters.plans) result.observe(counters.countIssued(plan), { plan });
    });
  meter
    .createObservableCounter('registry_token_rejected_total', { description: 'Requests refused, by reason.' })
    .addCallback((result) => {
      for (const reason of reasons) result.observe(counters.countRejected(reason), { reason });
    });
}

/** The histograms: they are counted in shared memory, and OpenTelemetry's SDK has no observable histogram. */
function createHistogramProducer(counters: Counters): MetricProducer {
  const startTime = hrTime(Date.now());
  const histogram = (
    name: string,
    description: string,
    points: readonly (Histogram & { readonly attributes: Attributes })[],
  ): HistogramMetricData => ({
    descriptor: { name, description, unit: 's', valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.HISTOGRAM,
    dataPoints: points.map(({ attributes, counts, sumSeconds }) => ({
      startTime,
      endTime: hrTime(Date.now()),
      attributes,
      value: {
        buckets: { boundaries: [...durationBounds], counts: [...counts] },
        count: counts.reduce((sum, count) => sum + count, 0),
        sum: sumSeconds,
      },
    })),
  });
  const collect = () => [
    histogram(
      'registry_token_request_duration_seconds',
      'Time from the request to the answer of the token endpoint.',
      outcomes.map((outcome) => ({ attributes: { outcome }, ...counters.durations(outcome) })),
    ),
    histogram(
      'registry_token_event_loop_delay_seconds',
      'How late timers fire in the threads that answer requests; includes garbage collection.',
      [{ attributes: {}, ...counters.durations('event-loop') }],
    ),
  ];
  return {
    collect: async () => ({
      // A reader takes the resource of its own meter provider.
      resourceMetrics: {
        resource: undefined as unknown as ResourceMetrics['resource'],
        scopeMetrics: [{ scope: { name: 'registry-token' }, metrics: collect() }],
      },
      errors: [],
    }),
  };
}

function observeService(meter: Meter, observe: () => Observations): void {
  const gauge = (name: string, description: string, read: () => number | null) =>
    meter.createObservableGauge(name, { description }).addCallback((result) => {
      const value = read();
      if (value !== null) result.observe(value);
    });
  gauge('registry_token_replay_entries', 'Proofs remembered as used.', () => observe().replayEntries);
  gauge('registry_token_replay_capacity', 'Proofs that can be remembered.', () => observe().replayCapacity);
  meter
    .createObservableGauge('registry_token_authority_keys_age_seconds', {
      description: "Age of an Authority's keys.",
    })
    .addCallback((result) => {
      for (const [authority, age] of observe().authorityKeysAges) result.observe(age, { authority });
    });
  gauge(
    'registry_token_signing_certificate_expiry_timestamp_seconds',
    'When the first of the signing certificates expires.',
    () => observe().signingCertificateExpiry,
  );
  gauge(
    'registry_token_configuration_generation',
    'Generation of the configuration that every thread uses: 1 at the start, one more at each reload.',
    () => observe().configurationGeneration,
  );
  gauge('registry_token_revoked_licenses', 'Number of revoked licences.', () => observe().revokedLicenses);
  gauge(
    'registry_token_entitlements_serial',
    "Serial of the vendor's bundle in force.",
    () => observe().entitlements?.serial ?? null,
  );
  gauge(
    'registry_token_entitlements_expiry_timestamp_seconds',
    "When the vendor's bundle in force expires, by its exp or by entitlements.maxAge.",
    () => observe().entitlements?.expiry ?? null,
  );
  gauge(
    'registry_token_entitlements_last_load_successful',
    "Whether the vendor's bundle was good when it was read last: 1, or 0 where an older one stays in force.",
    () => toNumber(observe().entitlements?.isLoaded),
  );
  meter
    .createObservableCounter('registry_token_audit_dropped_total', {
      description: 'Decisions that were not written to the audit file.',
    })
    .addCallback((result) => {
      const { auditDropped } = observe();
      if (auditDropped !== null) result.observe(auditDropped);
    });
}

function observeProcess(meter: Meter, processUsage: () => ProcessUsage): void {
  const gauge = (name: string, description: string, read: () => number) =>
    meter.createObservableGauge(name, { description }).addCallback((result) => result.observe(read()));
  gauge('process_resident_memory_bytes', 'Resident memory.', () => processUsage().residentBytes);
  gauge('process_start_time_seconds', 'When the process started.', () => processUsage().startedAt);
  meter
    .createObservableCounter('process_cpu_seconds_total', { description: 'CPU time, user and system.' })
    .addCallback((result) => result.observe(processUsage().cpuSeconds));
  const { version, commit, bun } = buildInfo();
  meter
    .createObservableGauge('registry_token_build_info', {
      description: 'Version, commit and Bun version; always 1.',
    })
    .addCallback((result) => result.observe(1, { version, commit, bun }));
}

function toNumber(value: boolean | undefined): number | null {
  return value === undefined ? null : Number(value);
}

function hrTime(milliseconds: number): [number, number] {
  const seconds = Math.floor(milliseconds / 1000);
  return [seconds, Math.round((milliseconds - seconds * 1000) * 1e6)];
}
