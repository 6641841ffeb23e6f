/**
 * One cell: a service of its own, a load to warm it up, and then short rounds, each of the load on the service, the same
 * load on a bare server, and the floor. Host and clock change from second to second, so a ratio is that of a load and
 * the limits just before and after it.
 */
import { createTemporaryFolder } from '../support/processes.ts';
import { BINARY } from '../support/running-service.ts';
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
  /** Another build of the executable, loaded by turns with this one; null for none. */
  readonly before: string | null;
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
  /** CPU time of the other build for one token, in microseconds. */
  readonly cpuBefore: number | null;
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
  await using now = await prepareService(cell, BINARY, options);
  await using former = options.before === null ? null : await prepareService(cell, options.before, options);
  await using bare = await startBareServer(bodyBytes(now.warmUp));
  const floor = await prepareFloor(floorOf(cell), options.floorMs);
  const before = readMachineTicks();
  const rounds = await measureRounds(options.rounds, floor, async (round) => {
    const figures = await now.measure(round);
    const bareBefore = cpuSeconds(bare.pid);
    const { requests } = await runLoad(now.load(round), options.seconds, options.signal, bare.url);
    const bareCpu = ((cpuSeconds(bare.pid) - bareBefore) / requests) * 1e6;
    const cpuBefore = former === null ? null : (await former.measure(round)).cpuPerToken;
    const peer =
      options.peer === null
        ? null
        : await loadPeer(options.peer, cell.connections, options.seconds, options.signal);
    return { ...figures, bare: bareCpu, peer, cpuBefore };
  });
  return { rounds, memory: readMemory(now.pid), stolen: stolenBetween(before, readMachineTicks()) };
}

interface PreparedService extends AsyncDisposable {
  readonly pid: number;
  readonly warmUp: LoadResult;
  readonly load: (round: number) => PreparedLoad;
  readonly measure: (round: number) => Promise<Omit<Round, 'floor' | 'bare' | 'peer' | 'cpuBefore'>>;
}

/** One executable, warm, with the requests of every round. */
async function prepareService(
  cell: Cell,
  executable: string,
  { signal, rounds, seconds, mostRequests, warmUpRequests, warmUpSeconds }: MeasureOptions,
): Promise<PreparedService> {
  await using starting = new AsyncDisposableStack();
  const folder = starting.use(await createTemporaryFolder());
  const service = starting.use(await startBenchService(folder, cell, executable));
  const { pid, target } = service;
  const prepare = (name: string, count: number) => {
    signal.throwIfAborted();
    return starting.use(prepareLoad(folder, target, name, count));
  };
  const warmUp = await runLoad(prepare('warm-up', warmUpRequests), warmUpSeconds, signal);
  const expected = Math.ceil((warmUp.requests / warmUp.seconds) * seconds * HEADROOM);
  const count = Math.min(mostRequests, expected);
  const loads = Array.from({ length: rounds }, (_, index) => prepare(`round-${index}`, count));
  const load = (round: number) => {
    const found = loads[round];
    if (found === undefined) throw new Error(`There is no load for round ${round}.`);
    return found;
  };
  const started = starting.move();
  return {
    pid,
    warmUp,
    load,
    measure: async (round) => {
      const issuedBefore = await service.countIssued();
      const cpuBefore = cpuSeconds(pid);
      const result = await runLoad(load(round), seconds, signal);
      const cpu = cpuSeconds(pid) - cpuBefore;
      const tokens = (await service.countIssued()) - issuedBefore;
      const { p50, p99, refused, failed, exhausted } = result;
      const [tokensPerSecond, cpuPerToken] = [tokens / result.seconds, (cpu / tokens) * 1e6];
      return { tokens, tokensPerSecond, cpuPerToken, p50, p99, refused, failed, exhausted };
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

/** Without its head, which is about as long. */
const HEAD_BYTES = 200;

function bodyBytes({ bytes, requests }: LoadResult): number {
  return Math.max(1, Math.round(bytes / requests) - HEAD_BYTES);
}

async function measureRounds(
  count: number,
  floor: Floor,
  measure: (round: number) => Promise<Omit<Round, 'floor'>>,
): Promise<Round[]> {
  const rounds: Round[] = [];
  let before = await floor();
  for (let number = 0; number < count; number += 1) {
    const round = await measure(number);
    const after = await floor();
    rounds.push({ ...round, floor: (before + after) / 2 });
    before = after;
  }
  return rounds;
}
