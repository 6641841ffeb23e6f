/** The answer to a scrape: in the format that it asks for, and one collection for all that come at a time. */
import { toOpenMetrics } from './open-metrics.ts';

export interface Exposition {
  /** For `Content-Type`. */
  readonly type: string;
  readonly text: string;
}

const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8';
const OPEN_METRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

/**
 * `collect` gives the Prometheus text format. While it is under way, those who ask share it: whoever scrapes without an
 * end costs one collection at a time. `accept` is the header of the request.
 */
export function createExposition(
  collect: () => Promise<string>,
): (accept: string | null) => Promise<Exposition> {
  let underWay: Promise<string> | null = null;
  const share = () => {
    underWay ??= collect().finally(() => {
      underWay = null;
    });
    return underWay;
  };
  return async (accept) => {
    const text = await share();
    return prefersOpenMetrics(accept)
      ? { type: OPEN_METRICS, text: toOpenMetrics(text) }
      : { type: PROMETHEUS, text };
  };
}

/** RFC 9110 §12.5.1. Only who names OpenMetrics gets it, and only where plain text is not liked better. */
export function prefersOpenMetrics(accept: string | null): boolean {
  const ranges = (accept ?? '').split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const values = new Map(
      parameters.map((parameter) => [parameter.split('=', 1).join(), parameter.replace(/^[^=]*=/, '')]),
    );
    return { type, version: values.get('version'), quality: Number(values.get('q') ?? 1) };
  });
  const best = (...found: readonly { readonly quality: number }[]) =>
    Math.max(0, ...found.map(({ quality }) => (Number.isNaN(quality) ? 0 : quality)));
  const open = ranges.filter(
    ({ type, version }) =>
      type === 'application/openmetrics-text' && (version === undefined || version === '1.0.0'),
  );
  const plain = ranges.filter(({ type }) => type === 'text/plain' || type === 'text/*');
  return best(...open) > 0 && best(...open) >= best(...plain);
}
