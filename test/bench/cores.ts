/**
 * What more cores would give: the shares of a token's CPU time that workers do side by side and that one thread does for
 * all, and the lock of the replay store under contention; and a model of larger machines with these inputs.
 */
import { availableParallelism } from 'node:os';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { createTemporaryFolder } from '../support/processes.ts';
import { startBenchService } from './bench-service.ts';
import { type Cell, usualCell } from './cells.ts';
import type { InsertingTask } from './inserting-thread.ts';
import { prepareLoad, runLoad } from './load.ts';
import { cpuSeconds, runOn } from './process-figures.ts';
import { formatColumns } from './report.ts';

export interface CoresOptions {
  /** Of each load, a whole number. */
  readonly seconds: number;
  readonly warmUpRequests: number;
  readonly workers: readonly number[];
  /** Threads that insert into one replay store. */
  readonly threads: readonly number[];
  readonly insertMs: number;
  readonly signal: AbortSignal;
}

interface WorkersRow {
  readonly workers: number;
  /** Whether all of the service's threads were on one core. */
  readonly onOneCore: boolean;
  readonly tokensPerSecond: number;
  /** Microseconds of CPU time for a token: all threads, and the main thread alone. */
  readonly cpu: number;
  readonly mainCpu: number;
}

interface LockRow {
  readonly threads: number;
  readonly insertsPerSecond: number;
  /** Microseconds of CPU time, waiting included. */
  readonly cpu: number;
}

export interface CoresReport {
  readonly workers: readonly WorkersRow[];
  readonly lock: readonly LockRow[];
  readonly model: readonly ModelRow[];
}

export interface ModelRow {
  readonly cores: number;
  readonly tokensPerSecond: number;
  readonly weakestLink: 'processors' | 'the main thread' | "the replay store's lock";
}

export interface ModelInputs {
  /** Microseconds of CPU time for a token: all threads, and the main thread alone. */
  readonly cpu: number;
  readonly mainCpu: number;
  /** Microseconds for which an insert keeps every other one waiting. */
  readonly insert: number;
}

/** One thread writes the log for all, and one insert is made at a time; everything else goes on side by side. */
export function modelCores(cores: number, { cpu, mainCpu, insert }: ModelInputs): ModelRow {
  const bounds = [
    { tokensPerSecond: (cores * 1e6) / cpu, weakestLink: 'processors' },
    { tokensPerSecond: 1e6 / mainCpu, weakestLink: 'the main thread' },
    { tokensPerSecond: 1e6 / insert, weakestLink: "the replay store's lock" },
  ] as const;
  const [least] = bounds.toSorted((a, b) => a.tokensPerSecond - b.tokensPerSecond);
  return { cores, ...(least ?? bounds[0]) };
}

export async function measureCores(options: CoresOptions): Promise<CoresReport> {
  const workers: WorkersRow[] = [];
  for (const onOneCore of [false, true])
    for (const count of options.workers) workers.push(await measureWorkers(count, onOneCore, options));
  const lock: LockRow[] = [];
  for (const threads of options.threads) lock.push(await measureLock(threads, options));
  const most = workers.filter(({ onOneCore }) => !onOneCore).at(-1);
  const alone = lock[0];
  if (most === undefined || alone === undefined) throw new Error('Nothing was measured.');
  const inputs = { cpu: most.cpu, mainCpu: most.mainCpu, insert: 1e6 / alone.insertsPerSecond };
  return { workers, lock, model: [2, 8, 16, 64].map((cores) => modelCores(cores, inputs)) };
}

async function measureWorkers(
  workers: number,
  onOneCore: boolean,
  { seconds, warmUpRequests, signal }: CoresOptions,
): Promise<WorkersRow> {
  const cell: Cell = { ...usualCell, name: `workers-${workers}`, workers, connections: 32 };
  await using folder = await createTemporaryFolder();
  await using service = await startBenchService(folder, cell);
  const { target, pid } = service;
  const all = availableParallelism();
  try {
    if (onOneCore) {
      runOn('0', pid);
      runOn(all > 1 ? '1' : '0', process.pid);
    }
    using warmUp = prepareLoad(folder, target, 'warm-up', warmUpRequests);
    const { requests, seconds: lasted } = await runLoad(warmUp, seconds * 2, signal);
    using load = prepareLoad(folder, target, 'load', Math.ceil((requests / lasted) * seconds * 2));
    const before = { issued: await service.countIssued(), ...readCpu(pid) };
    const result = await runLoad(load, seconds, signal);
    const issued = (await service.countIssued()) - before.issued;
    const after = readCpu(pid);
    return {
      workers,
      onOneCore,
      tokensPerSecond: issued / result.seconds,
      cpu: ((after.all - before.all) / issued) * 1e6,
      mainCpu: ((after.main - before.main) / issued) * 1e6,
    };
  } finally {
    if (onOneCore) runOn(`0-${all - 1}`, process.pid);
  }
}

/** Seconds of all threads of a process, and of its main thread, whose number is the process's. */
function readCpu(pid: number): { readonly all: number; readonly main: number } {
  return { all: cpuSeconds(pid), main: cpuSeconds(pid, pid) };
}

const WORDS = 3;

async function measureLock(threads: number, { insertMs }: CoresOptions): Promise<LockRow> {
  // As many as a fast machine can insert in the time, and room for more.
  const store = MemoryReplayStore.create(Math.ceil(insertMs * 4000) + 10_000, 0);
  const words = new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
  const workers = Array.from({ length: threads }, (_, index) => {
    const worker = new Worker(new URL('inserting-thread.ts', import.meta.url));
    const ended = new Promise((resolve) => worker.addEventListener('close', resolve, { once: true }));
    const task: InsertingTask = {
      memory: store.memory,
      thread: index + 1,
      threads,
      words: words.buffer as SharedArrayBuffer,
    };
    worker.postMessage(task);
    return ended;
  });
  while (Atomics.load(words, 0) < threads) await Bun.sleep(5);
  const began = performance.now();
  const before = process.cpuUsage();
  await Bun.sleep(insertMs);
  Atomics.store(words, 1, 1);
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - began) / 1000;
  await Promise.all(workers);
  const inserts = Atomics.load(words, 2);
  return { threads, insertsPerSecond: inserts / seconds, cpu: (user + system) / inserts };
}

export function formatCores({ workers, lock, model }: CoresReport): string {
  return [
    ...formatColumns([
      ['workers', 'cores', 'tokens/s', 'CPU µs/token', 'of it the main thread'],
      ...workers.map((row) => [
        String(row.workers),
        row.onOneCore ? '1' : 'all',
        row.tokensPerSecond.toFixed(0),
        row.cpu.toFixed(0),
        row.mainCpu.toFixed(1),
      ]),
    ]),
    '',
    ...formatColumns([
      ['threads', 'inserts/s', 'CPU µs/insert'],
      ...lock.map((row) => [String(row.threads), row.insertsPerSecond.toFixed(0), row.cpu.toFixed(2)]),
    ]),
    '',
    ...formatColumns([
      ['cores (model)', 'tokens/s', 'bound by'],
      ...model.map((row) => [String(row.cores), row.tokensPerSecond.toFixed(0), row.weakestLink]),
    ]),
    '',
  ].join('\n');
}
