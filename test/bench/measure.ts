/** One cell: a service of its own, a load to warm it up, and the load that is measured. */
import { createTemporaryFolder } from '../support/processes.ts';
import { startBenchService } from './bench-service.ts';
import type { Cell } from './cells.ts';
import { type LoadResult, prepareLoad, runLoad } from './load.ts';
import { cpuSeconds, readMemory } from './process-figures.ts';

export interface MeasureOptions {
  /** Of the load that is measured, a whole number. */
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly warmUpRequests: number;
  /** At most so many requests are prepared for the load that is measured. */
  readonly mostRequests: number;
  /** Ends the load and the service. */
  readonly signal: AbortSignal;
}

export interface Measurement extends LoadResult {
  /** Issued during the load, as the service counts them. */
  readonly tokens: number;
  readonly tokensPerSecond: number;
  /** CPU time of the service for one token, in microseconds, user and system, all threads. */
  readonly cpuPerToken: number;
  /** Resident memory in MiB. */
  readonly memory: { readonly now: number; readonly highest: number };
}

/** More requests than the warm-up, which is slower, lets expect. */
const HEADROOM = 3;

/** Starts the service, loads it and ends it, whatever happens. */
export async function measureCell(cell: Cell, options: MeasureOptions): Promise<Measurement> {
  await using folder = await createTemporaryFolder();
  await using service = await startBenchService(folder, cell);
  const { pid, target } = service;

  const warmUp = await load(options.warmUpRequests, options.warmUpSeconds);
  const expected = Math.ceil((warmUp.requests / warmUp.seconds) * options.seconds * HEADROOM);
  const measured = await load(Math.min(options.mostRequests, expected), options.seconds);
  return {
    ...measured,
    tokensPerSecond: measured.tokens / measured.seconds,
    cpuPerToken: (measured.cpuSeconds / measured.tokens) * 1e6,
    memory: readMemory(pid),
  };

  async function load(count: number, seconds: number) {
    options.signal.throwIfAborted();
    using prepared = prepareLoad(folder, target, count);
    const issuedBefore = await service.countIssued();
    const cpuBefore = cpuSeconds(pid);
    const result = await runLoad(prepared, seconds, options.signal);
    const cpu = cpuSeconds(pid) - cpuBefore;
    return { ...result, cpuSeconds: cpu, tokens: (await service.countIssued()) - issuedBefore };
  }
}
