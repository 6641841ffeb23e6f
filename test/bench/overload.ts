/**
 * Twice as much as the service can do: who is answered how, and what it costs. The service has a core of its own, and the
 * load another.
 */
import { availableParallelism } from 'node:os';
import { createTemporaryFolder } from '../support/processes.ts';
import { startBenchService } from './bench-service.ts';
import { type Cell, usualCell } from './cells.ts';
import { prepareLoad, runLoad } from './load.ts';
import { type Probe, percentile, probe } from './probe.ts';
import { readMemory, runOn } from './process-figures.ts';
import { formatColumns } from './report.ts';

export interface OverloadOptions {
  /** Of each part, a whole number. */
  readonly seconds: number;
  readonly warmUpRequests: number;
  readonly warmUpSeconds: number;
  /** Requests a second that the overload offers, as a multiple of the capacity. */
  readonly factor: number;
  readonly signal: AbortSignal;
}

export interface OverloadReport {
  /** Tokens a second of the service on its core, with as many requests at once as it can use. */
  readonly capacity: number;
  /** A second during the overload. */
  readonly offered: number;
  readonly issued: number;
  readonly unloaded: Probe;
  /** At half of the capacity, and at 80 % of it. */
  readonly half: Probe;
  readonly most: Probe;
  /** Until then: seconds that 99.9 % of the looks at the event loop did not exceed, as a bound of the histogram. */
  readonly loopDelay: number;
  readonly loaded: Probe;
  /** From a second after the end of the load. */
  readonly after: Probe;
  /** Resident memory in MiB before, in the middle and at the end of the overload. */
  readonly memory: readonly number[];
}

const AT_CAPACITY = 16;
/** So many that those who are turned away at once do not wait for each other. */
const CONNECTIONS = 200;

export async function measureOverload(options: OverloadOptions): Promise<OverloadReport> {
  const { seconds, warmUpRequests, warmUpSeconds, factor, signal } = options;
  const cell: Cell = { ...usualCell, name: 'overload' };
  await using folder = await createTemporaryFolder();
  await using service = await startBenchService(folder, cell);
  const { target, pid } = service;
  const cores = availableParallelism();
  if (cores > 1) {
    runOn('0', pid);
    runOn('1', process.pid);
  }
  using _ = { [Symbol.dispose]: () => runOn(`0-${cores - 1}`, process.pid) };
  const load = async (name: string, count: number, change: Partial<Cell>, forSeconds: number) => {
    using prepared = prepareLoad(folder, { ...target, cell: { ...cell, ...change } }, name, count);
    const issued = await service.countIssued();
    const result = await runLoad(prepared, forSeconds, signal);
    return { ...result, issued: ((await service.countIssued()) - issued) / result.seconds };
  };
  const many = { connections: AT_CAPACITY };
  await load('warm-up', warmUpRequests, many, warmUpSeconds);
  const { issued: capacity } = await load('capacity', warmUpRequests, many, seconds);
  const unloaded = await probe(target, seconds);

  const under = async (part: number) => {
    const rate = capacity * part;
    const pauseMs = (CONNECTIONS / rate) * 1000;
    const count = Math.ceil(rate * seconds * 1.5);
    const loading = load(`part-${part}`, count, { connections: CONNECTIONS, pauseMs }, seconds);
    // The load is prepared first, which takes its time.
    await service.untilBusy(signal);
    const middle = setTimeout(() => memory.push(readMemory(pid).now), (seconds * 1000) / 2);
    const probed = await probe(target, Math.max(1, seconds - 1));
    const result = await loading;
    clearTimeout(middle);
    return { ...result, probed };
  };
  const memory: number[] = [];
  const half = (await under(0.5)).probed;
  const most = (await under(0.8)).probed;
  const loopDelay = await readLoopDelay(target.url);
  memory.splice(0, memory.length, readMemory(pid).now);
  const { requests, seconds: lasted, issued, probed: loaded } = await under(factor);
  memory.push(readMemory(pid).now);
  await Bun.sleep(1000);
  const after = await probe(target, 1);
  return {
    capacity,
    offered: requests / lasted,
    issued,
    unloaded,
    half,
    most,
    loopDelay,
    loaded,
    after,
    memory,
  };
}

/** Of `registry_token_event_loop_delay_seconds`, since the start. */
async function readLoopDelay(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const buckets = [
    ...text.matchAll(/^registry_token_event_loop_delay_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm),
  ];
  const all = Number(buckets.at(-1)?.[2]);
  const [, bound] = buckets.find(([, , count]) => Number(count) >= 0.999 * all) ?? [];
  return bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound);
}

export function formatOverload(report: OverloadReport): string {
  const { capacity, offered, issued, unloaded, half, most, loopDelay, loaded, after, memory } = report;
  const row = (name: string, { accepted, turnedAway, faulty }: Probe) => [
    name,
    String(accepted.length),
    ...[accepted, turnedAway].flatMap((times) =>
      [0.5, 0.99].map((part) => percentile(times, part).toFixed(1)),
    ),
    String(turnedAway.length),
    String(faulty),
  ];
  const times = percentile(loaded.accepted, 0.99) / percentile(unloaded.accepted, 0.99);
  const spread = ({ accepted }: Probe) => (percentile(accepted, 0.99) / percentile(accepted, 0.5)).toFixed(1);
  return [
    `capacity ${capacity.toFixed(0)} tokens/s; offered ${offered.toFixed(0)}/s, issued ${issued.toFixed(0)}/s, ${(issued / capacity).toFixed(2)} of the capacity`,
    `RSS before, during, after: ${memory.map((size) => size.toFixed(0)).join(', ')} MiB`,
    `p99 of accepted requests: ${times.toFixed(1)} times that without load`,
    `p99 at half of the capacity: ${spread(half)} times its p50; at 80 %: ${spread(most)} times`,
    `event loop: 99.9 % of the looks came at most ${loopDelay * 1000} ms late`,
    '',
    ...formatColumns([
      ['milliseconds', '200', 'p50', 'p99', '503 p50', '503 p99', '503', 'other'],
      row('no load', unloaded),
      row('50 %', half),
      row('80 %', most),
      row('overload', loaded),
      row('a second later', after),
    ]),
    '',
  ].join('\n');
}
