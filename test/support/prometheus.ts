/** Debian's Prometheus on a free port of loopback: it scrapes and evaluates every second. */
import { writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { createTemporaryFolder, findFreePort, start } from './processes.ts';

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** Epoch seconds, and the value as text. */
  readonly value: readonly [number, string];
}

export interface RangeSeries {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly Series['value'][];
}

export interface Range {
  /** Epoch seconds. */
  readonly start: number;
  readonly end: number;
  /** Seconds. */
  readonly step: number;
}

export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

export interface Prometheus extends AsyncDisposable {
  /** Evaluates an expression now. Throws with the answer where it is not taken. */
  readonly query: (expression: string) => Promise<readonly Series[]>;
  /** Evaluates an expression at each step of a stretch of time. */
  readonly queryRange: (expression: string, range: Range) => Promise<readonly RangeSeries[]>;
  /** The values of a label over the series that a selector finds. */
  readonly labelValues: (label: string, selector: string) => Promise<readonly string[]>;
  /** What the scrapes said of each family of series. */
  readonly metadata: () => Promise<Readonly<Record<string, readonly { type: string; unit: string }[]>>>;
  readonly alerts: () => Promise<readonly Alert[]>;
}

export interface PrometheusOptions {
  /** The text of a rules file. */
  readonly rules: string;
  /** What it scrapes, as the job `registry-token`: `host:port`, and what its label `instance` says in place of that. */
  readonly targets: readonly (string | { readonly address: string; readonly instance: string })[];
}

export async function startPrometheus({ rules, targets }: PrometheusOptions): Promise<Prometheus> {
  const folder = await createTemporaryFolder();
  const url = `http://127.0.0.1:${await findFreePort()}`;
  const configuration = {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: ['rules.yml'],
    scrape_configs: [{ job_name: 'registry-token', static_configs: targets.map(staticConfig) }],
  };
  await writeFile(folder.at('rules.yml'), rules);
  await writeFile(folder.at('prometheus.yml'), stringify(configuration));
  const child = start([
    'prometheus',
    `--config.file=${folder.at('prometheus.yml')}`,
    `--storage.tsdb.path=${folder.at('data')}`,
    `--web.listen-address=${new URL(url).host}`,
    '--log.level=warn',
  ]);
  const dispose = async () => {
    await child.stop();
    await folder[Symbol.asyncDispose]();
  };
  try {
    await child.waitForStatus(`${url}/-/ready`, 200);
  } catch (cause) {
    await dispose();
    throw cause;
  }
  return {
    query: async (expression) => {
      const { result } = await ask<{ readonly result: readonly Series[] }>(url, 'query', {
        query: expression,
      });
      return result;
    },
    queryRange: async (expression, range) => {
      const parameters = { query: expression, ...mapToText(range) };
      return (await ask<{ readonly result: readonly RangeSeries[] }>(url, 'query_range', parameters)).result;
    },
    labelValues: (label, selector) => ask(url, `label/${label}/values`, { 'match[]': selector }),
    metadata: () => ask(url, 'metadata', {}),
    alerts: async () => (await ask<{ readonly alerts: readonly Alert[] }>(url, 'alerts', {})).alerts,
    [Symbol.asyncDispose]: dispose,
  };
}

function staticConfig(target: PrometheusOptions['targets'][number]) {
  if (typeof target === 'string') return { targets: [target] };
  return { targets: [target.address], labels: { instance: target.instance } };
}

function mapToText({ start, end, step }: Range): Readonly<Record<keyof Range, string>> {
  return { start: String(start), end: String(end), step: String(step) };
}

/** The `data` of an answer of the HTTP API. */
async function ask<Data>(
  url: string,
  path: string,
  parameters: Readonly<Record<string, string>>,
): Promise<Data> {
  const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const answer = (await response.json()) as { status: string; data: Data; error?: string };
  if (answer.status !== 'success')
    throw new Error(`Prometheus refuses ${JSON.stringify(parameters)}: ${answer.error}`);
  return answer.data;
}
