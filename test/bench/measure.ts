/**
 * One cell: a service of its own, a load to warm it up, and then short rounds, each of the load on the service, the same
 * load on a bare server, and the floor. Host and clock change from second to second, so a ratio is that of a load and
 * the limits just before and after it.
 */
import { createTemporaryFolder } from '../support/processes.ts';
import { startBareServer } from './bare-server.ts';
import { startBenchService } from './bench-service.ts';
import { type Cell, floorOf } from './cells.ts';
import { type Floor, prepareFloor } from './floor.ts';
import { type LoadResult, type PreparedLoad, prepareLoad, runLoad } from './load.ts';
import { readMachineTicks, stolenBetween } from './machine-figures.ts';
import { loadPeer, type Peer, type PeerFigures } from './peer.ts';
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
  /** Loaded by turns with the service; null for none. */
  readonly peer: Peer | null;
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
  /** CPU time of a bare `Bun.serve` for an answer of the same size under the same load, in microseconds. */
  readonly bare: number;
  readonly peer: PeerFigures | null;
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
  await using bare = await startBareServer(bodyBytes(warmUp));
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
    const bareBefore = cpuSeconds(bare.pid);
    const { requests } = await runLoad(load, options.seconds, options.signal, bare.url);
    const bareCpu = ((cpuSeconds(bare.pid) - bareBefore) / requests) * 1e6;
    const peer =
      options.peer === null
        ? null
        : await loadPeer(options.peer, cell.connections, options.seconds, options.signal);
    const figures = { tokens, tokensPerSecond, cpuPerToken, p50, p99, refused, failed, exhausted };
    return { ...figures, bare: bareCpu, peer };
  });
  return { rounds, memory: readMemory(pid), stolen: stolenBetween(before, readMachineTicks()) };
}

/** Without its head, which is about as long. */
const HEAD_BYTES = 200;

function bodyBytes({ bytes, requests }: LoadResult): number {
  return Math.max(1, Math.round(bytes / requests) - HEAD_BYTES);
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
