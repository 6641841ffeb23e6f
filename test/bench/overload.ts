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
  const half = { connections: AT_CAPACITY };
  await load('warm-up', warmUpRequests, half, warmUpSeconds);
  const { issued: capacity } = await load('capacity', warmUpRequests, half, seconds);
  const unloaded = await probe(target, seconds);

  const rate = capacity * factor;
  const pauseMs = (CONNECTIONS / rate) * 1000;
  const count = Math.ceil(rate * seconds * 1.5);
  const memory = [readMemory(pid).now];
  const overloading = load('overload', count, { connections: CONNECTIONS, pauseMs }, seconds);
  // The load is prepared first, which takes its time.
  await service.untilBusy(signal);
  const middle = setTimeout(() => memory.push(readMemory(pid).now), (seconds * 1000) / 2);
  const loaded = await probe(target, Math.max(1, seconds - 1));
  const { requests, seconds: lasted, issued } = await overloading;
  clearTimeout(middle);
  memory.push(readMemory(pid).now);
  await Bun.sleep(1000);
  const after = await probe(target, 1);
  return {
    capacity,
    offered: requests / lasted,
    issued,
    unloaded,
    loaded,
    after,
    memory,
  };
}

export function formatOverload(report: OverloadReport): string {
  const { capacity, offered, issued, unloaded, loaded, after, memory } = report;
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
  return [
    `capacity ${capacity.toFixed(0)} tokens/s; offered ${offered.toFixed(0)}/s, issued ${issued.toFixed(0)}/s, ${(issued / capacity).toFixed(2)} of the capacity`,
    `RSS before, during, after: ${memory.map((size) => size.toFixed(0)).join(', ')} MiB`,
    `p99 of accepted requests: ${times.toFixed(1)} times that without load`,
    '',
    ...formatColumns([
      ['milliseconds', '200', 'p50', 'p99', '503 p50', '503 p99', '503', 'other'],
      row('no load', unloaded),
      row('overload', loaded),
      row('a second later', after),
    ]),
    '',
  ].join('\n');
}
