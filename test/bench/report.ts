/** What was measured, as one table for people and as JSON for machines. */
import { cpus, release } from 'node:os';
import { type Cell, floorOf } from './cells.ts';
import type { Measurement, Round } from './measure.ts';
import { medianOf, type Spread, spreadOf } from './spread.ts';

export interface Row {
  readonly cell: Cell;
  readonly measurement: Measurement;
  /** Medians of the rounds. */
  readonly tokensPerSecond: number;
  readonly cpuPerToken: number;
  /** Microseconds of CPU time of the bare signatures of one request. */
  readonly floor: number;
  /** Microseconds of CPU time of a bare `Bun.serve` for an answer of the same size. */
  readonly bare: number;
  /** The floor and the bare answer. */
  readonly limit: number;
  /** CPU time for one token, in that of the other build, round by round; null without one. */
  readonly before: Spread | null;
  /** CPU time for one token, in that of the peer, round by round; null without a peer. */
  readonly peer: { readonly cpu: Spread; readonly speed: Spread } | null;
  readonly p50: number;
  readonly p99: number;
  /** CPU time for one token, in limits, round by round. */
  readonly ratio: Spread;
  /** What part of all cores would do to issue as many tokens at the limit. */
  readonly coresAtLimit: number;
}

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly kernel: string;
}

export interface Report {
  readonly date: string;
  readonly bun: string;
  readonly machine: Machine;
  readonly rows: readonly Row[];
}

export function createRow(cell: Cell, measurement: Measurement): Row {
  const { rounds } = measurement;
  const median = (figure: (round: Round) => number) => medianOf(rounds.map(figure));
  const limitOf = ({ floor, bare }: Round) => floor + bare;
  const peers = rounds.flatMap(({ cpuPerToken, tokensPerSecond, peer }) =>
    peer === null
      ? []
      : [{ cpu: cpuPerToken / peer.cpuPerToken, speed: tokensPerSecond / peer.tokensPerSecond }],
  );
  const ratios = rounds.flatMap(({ cpuPerToken, cpuBefore }) =>
    cpuBefore === null ? [] : [cpuPerToken / cpuBefore],
  );
  return {
    cell,
    measurement,
    tokensPerSecond: median((round) => round.tokensPerSecond),
    cpuPerToken: median((round) => round.cpuPerToken),
    floor: median((round) => round.floor),
    bare: median((round) => round.bare),
    limit: median(limitOf),
    before: ratios.length === 0 ? null : spreadOf(ratios),
    peer:
      peers.length === 0
        ? null
        : { cpu: spreadOf(peers.map(({ cpu }) => cpu)), speed: spreadOf(peers.map(({ speed }) => speed)) },
    p50: median((round) => round.p50),
    p99: median((round) => round.p99),
    ratio: spreadOf(rounds.map((round) => round.cpuPerToken / limitOf(round))),
    coresAtLimit: median((round) => (round.tokensPerSecond * limitOf(round)) / 1e6 / readMachine().cores),
  };
}

export function readMachine(): Machine {
  const processors = cpus();
  return { processor: processors[0]?.model ?? 'unknown', cores: processors.length, kernel: release() };
}

export function createReport(rows: readonly Row[]): Report {
  return { date: new Date().toISOString(), bun: Bun.version, machine: readMachine(), rows };
}

export function isFaulty({ measurement }: Row): boolean {
  return measurement.rounds.some(({ refused, failed }) => refused + failed > 0);
}

const columns: readonly (readonly [string, (row: Row) => string])[] = [
  ['cell', ({ cell }) => cell.name],
  ['tokens/s', ({ tokensPerSecond }) => tokensPerSecond.toFixed(0)],
  ['CPU µs/token', ({ cpuPerToken }) => cpuPerToken.toFixed(0)],
  ['floor µs', ({ floor }) => floor.toFixed(0)],
  ['bare µs', ({ bare }) => bare.toFixed(0)],
  ['limit µs', ({ limit }) => limit.toFixed(0)],
  ['ratio', ({ ratio }) => ratio.median.toFixed(2)],
  ['low-high', ({ ratio }) => `${ratio.low.toFixed(2)}-${ratio.high.toFixed(2)}`],
  ['x cores', ({ coresAtLimit }) => coresAtLimit.toFixed(2)],
  ['p50 ms', ({ p50 }) => p50.toFixed(1)],
  ['p99 ms', ({ p99 }) => p99.toFixed(1)],
  ['RSS MiB', ({ measurement }) => measurement.memory.now.toFixed(0)],
  ['stolen', ({ measurement }) => `${(measurement.stolen * 100).toFixed(0)}%`],
  ['tokens', ({ measurement }) => String(sum(measurement.rounds.map(({ tokens }) => tokens)))],
  [
    'not 200',
    ({ measurement }) => String(sum(measurement.rounds.map(({ refused, failed }) => refused + failed))),
  ],
];

/** One line a cell; above it what the figures stand on. */
export function formatReport({ machine, bun, rows }: Report): string {
  const lines = [columns.map(([title]) => title), ...rows.map((row) => columns.map(([, text]) => text(row)))];
  return [
    `${machine.processor}, ${machine.cores} cores, Linux ${machine.kernel}, Bun ${bun}`,
    'floor: the CPU time of the bare signatures of one request by synchronous node:crypto, measured before and after each',
    'round while the other cores are busy. bare: that of a bare Bun.serve for an answer of the same size under the same',
    'load. limit: both. ratio: CPU for a token in limits, the median of the rounds; x cores: tokens/s x limit / cores.',
    '',
    ...formatColumns(lines),
    ...remarksOn(rows),
    ...rows.flatMap(formatBefore),
    ...rows.flatMap(formatPeer),
    '',
  ].join('\n');
}

function formatSpread({ median, low, high }: Spread): string {
  return `${median.toFixed(2)} (${low.toFixed(2)}-${high.toFixed(2)})`;
}

function formatBefore({ cell, before }: Row): string[] {
  return before === null ? [] : [`${cell.name}: ${formatSpread(before)} of the CPU for a token before`];
}

function formatPeer({ cell, peer }: Row): string[] {
  if (peer === null) return [];
  return [
    `${cell.name}: ${formatSpread(peer.cpu)} of the peer's CPU for a token, ${formatSpread(peer.speed)} of its tokens/s`,
  ];
}

/** The first column to the left, the others to the right. */
export function formatColumns(lines: readonly (readonly string[])[]): string[] {
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) =>
    line
      .map((text, column) =>
        column === 0 ? text.padEnd(widths?.[0] ?? 0) : text.padStart(widths?.[column] ?? 0),
      )
      .join('  '),
  );
}

function remarksOn(rows: readonly Row[]): string[] {
  return rows
    .filter(({ measurement }) => measurement.rounds.some(({ exhausted }) => exhausted))
    .map(({ cell }) => `${cell.name}: all prepared requests of a round were used before its time was over.`);
}

/** `2 verify ES256, 1 sign ES256`: what the floor of a cell is. */
export function nameFloor(cell: Cell): string {
  const names = floorOf(cell).map(({ operation, algorithm }) => `${operation} ${algorithm}`);
  return [...new Set(names)]
    .map((name) => `${names.filter((other) => other === name).length} ${name}`)
    .join(', ');
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
