/**
 * One cell: a service of its own, a load to warm it up, and then short rounds, each of a load and of the floor. Host and
 * clock change from second to second, so a ratio is that of a load and the floors just before and after it.
 */
import { createTemporaryFolder } from '../support/processes.ts';
import { startBenchService } from './bench-service.ts';
import { type Cell, floorOf } from './cells.ts';
import { type Floor, prepareFloor } from './floor.ts';
import { type PreparedLoad, prepareLoad, runLoad } from './load.ts';
import { readMachineTicks, stolenBetween } from './machine-figures.ts';
import { cpuSeconds, readMemory } from './process-figures.ts';

export interface MeasureOptions {
  readonly rounds: number;
  /** Of the load of a round, a whole number. */
  readonly seconds: number;
  readonly floorMs: number;
  readonly warmUpSeconds: number;
  readonly warmUpRequests: number;
  /** At most so many requests are prepared for a round. */
  readonly mostRequests: number;
  /** Ends the load and the service. */
  readonly signal: AbortSignal;
}

export interface Round {
  /** Issued during the load, as the service counts them. */
  readonly tokens: number;
  readonly tokensPerSecond: number;
  /** CPU time of the service's process for one token, in microseconds, user and system, all threads. */
  readonly cpuPerToken: number;
  /** CPU time of the bare signatures of one request, in microseconds: the mean of that before and that after. */
  readonly floor: number;
  readonly p50: number;
  readonly p99: number;
  readonly refused: number;
  readonly failed: number;
  readonly exhausted: boolean;
}

export interface Measurement {
  readonly rounds: readonly Round[];
  /** Resident memory in MiB. */
  readonly memory: { readonly now: number; readonly highest: number };
  /** The part of the machine's time that its host took away, 0 to 1. */
  readonly stolen: number;
}

/** More requests than the warm-up, which is slower, lets expect. */
const HEADROOM = 2;

/** Starts the service, loads it and ends it, whatever happens. */
export async function measureCell(cell: Cell, options: MeasureOptions): Promise<Measurement> {
  await using folder = await createTemporaryFolder();
  await using service = await startBenchService(folder, cell);
  const { pid, target } = service;
  const floor = await prepareFloor(floorOf(cell), options.floorMs);
  using prepared = new DisposableStack();
  const prepare = (name: string, count: number) => {
    options.signal.throwIfAborted();
    return prepared.use(prepareLoad(folder, target, name, count));
  };

  const warmUp = await runLoad(
    prepare('warm-up', options.warmUpRequests),
    options.warmUpSeconds,
    options.signal,
  );
  const expected = Math.ceil((warmUp.requests / warmUp.seconds) * options.seconds * HEADROOM);
  const count = Math.min(options.mostRequests, expected);
  const loads = Array.from({ length: options.rounds }, (_, index) => prepare(`round-${index}`, count));
  const before = readMachineTicks();
  const rounds = await measureRounds(loads, floor, async (load) => {
    const issuedBefore = await service.countIssued();
    const cpuBefore = cpuSeconds(pid);
    const result = await runLoad(load, options.seconds, options.signal);
    const cpu = cpuSeconds(pid) - cpuBefore;
    const tokens = (await service.countIssued()) - issuedBefore;
    const { seconds, p50, p99, refused, failed, exhausted } = result;
    const [tokensPerSecond, cpuPerToken] = [tokens / seconds, (cpu / tokens) * 1e6];
    return { tokens, tokensPerSecond, cpuPerToken, p50, p99, refused, failed, exhausted };
  });
  return { rounds, memory: readMemory(pid), stolen: stolenBetween(before, readMachineTicks()) };
}

async function measureRounds(
  loads: readonly PreparedLoad[],
  floor: Floor,
  measure: (load: PreparedLoad) => Promise<Omit<Round, 'floor'>>,
): Promise<Round[]> {
  const rounds: Round[] = [];
  let before = await floor();
  for (const load of loads) {
    const round = await measure(load);
    const after = await floor();
    rounds.push({ ...round, floor: (before + after) / 2 });
    before = after;
  }
  return rounds;
}
