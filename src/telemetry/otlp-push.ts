/**
 * Metrics pushed by OTLP (http/protobuf) or printed, as OpenTelemetry's environment variables say: the exporter reads endpoint,
 * headers, timeout, compression and certificates from them itself. Loaded only if they ask for it.
 */
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import {
  detectResources,
  envDetector,
  type Resource,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import {
  ConsoleMetricExporter,
  type MetricProducer,
  type MetricReader,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { errorCode } from '../platform/errors.ts';
import { waitAtMost } from '../platform/wait.ts';
import { buildInfo } from './build-info.ts';
import type { Log } from './log.ts';

export interface PushSettings {
  /** Where OTLP goes; null for nowhere. */
  readonly endpoint: string | null;
  /** Whether metrics are also written to standard output. */
  readonly console: boolean;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

export interface MetricsPush {
  readonly resource: Resource;
  /** Begins to push: once. */
  readonly createReaders: (metricProducers: MetricProducer[]) => readonly MetricReader[];
  /** Pushes for the last time, and resolves within two seconds. */
  readonly close: () => Promise<void>;
}

const CLOSE_MS = 2000;

export function openMetricsPush(settings: PushSettings, log: Log): MetricsPush {
  // Without user name, password and query: each may be a secret.
  const origin = settings.endpoint === null ? '' : new URL(settings.endpoint).origin;
  let isFailing = false;
  const tell = (fault: string | null) => {
    if (fault !== null && !isFailing) log.warn('metrics not pushed', { endpoint: origin, fault });
    if (fault === null && isFailing) log.info('metrics are pushed again', { endpoint: origin });
    isFailing = fault !== null;
  };
  const exporters = [
    ...(settings.endpoint === null ? [] : [new ToldExporter(tell)]),
    ...(settings.console ? [new ConsoleMetricExporter()] : []),
  ];
  let readers: readonly MetricReader[] = [];
  return {
    resource: resourceFromAttributes({
      'service.name': 'registry-token',
      'service.version': buildInfo().version,
    }).merge(detectResources({ detectors: [envDetector] })),
    createReaders: (metricProducers) => {
      readers = exporters.map(
        (exporter) =>
          new PeriodicExportingMetricReader({
            exporter,
            exportIntervalMillis: settings.intervalMs,
            exportTimeoutMillis: settings.timeoutMs,
            metricProducers,
          }),
      );
      return readers;
    },
    close: () => waitAtMost(CLOSE_MS, Promise.allSettled(readers.map((reader) => reader.shutdown()))),
  };
}

/** Reports why each export failed, or null. */
class ToldExporter extends OTLPMetricExporter {
  readonly #tell: (fault: string | null) => void;

  constructor(tell: (fault: string | null) => void) {
    super();
    this.#tell = tell;
  }

  override export(...[metrics, done]: Parameters<OTLPMetricExporter['export']>): void {
    super.export(metrics, (result) => {
      this.#tell(result.error === undefined ? null : faultOf(result.error));
      done(result);
    });
  }
}

/** The HTTP status or the system's code; never the text, which comes from the other side. */
function faultOf(error: Error): string {
  return errorCode(error, error.name);
}
