/** A histogram that is counted elsewhere, as OpenTelemetry reads one: its SDK has no observable histogram. */
import type { Attributes } from '@opentelemetry/api';
import {
  AggregationTemporality,
  DataPointType,
  type HistogramMetricData,
  type MetricDescriptor,
  type MetricProducer,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';

export interface CountedHistogram {
  readonly descriptor: MetricDescriptor;
  /** Inclusive upper bounds, ascending. */
  readonly bounds: readonly number[];
  /** Asked at each collection: one point for each set of labels; `counts` has one more than there are bounds. */
  readonly read: () => readonly {
    readonly attributes: Attributes;
    readonly counts: readonly number[];
    readonly sumSeconds: number;
  }[];
}

/** `now` in epoch milliseconds. */
export function createHistogramProducer(histogram: CountedHistogram, now: () => number): MetricProducer {
  const startTime = hrTime(now());
  const collect = (): HistogramMetricData => ({
    descriptor: histogram.descriptor,
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.HISTOGRAM,
    dataPoints: histogram.read().map(({ attributes, counts, sumSeconds }) => ({
      startTime,
      endTime: hrTime(now()),
      attributes,
      value: {
        buckets: { boundaries: [...histogram.bounds], counts: [...counts] },
        count: counts.reduce((sum, count) => sum + count, 0),
        sum: sumSeconds,
      },
    })),
  });
  return {
    collect: async () => ({
      // A reader takes the resource of its own meter provider.
      resourceMetrics: {
        resource: undefined as unknown as ResourceMetrics['resource'],
        scopeMetrics: [{ scope: { name: 'registry-token' }, metrics: [collect()] }],
      },
      errors: [],
    }),
  };
}

function hrTime(milliseconds: number): [number, number] {
  const seconds = Math.floor(milliseconds / 1000);
  return [seconds, Math.round((milliseconds - seconds * 1000) * 1e6)];
}
