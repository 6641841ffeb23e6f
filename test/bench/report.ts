/** What was measured, as one table for people and as JSON for machines. */
import { cpus, release } from 'node:os';
import { type Cell, floorOf } from './cells.ts';
import { type FloorCosts, type OperationCost, sumFloor } from './floor.ts';
import type { Measurement } from './measure.ts';

export interface Row {
  readonly cell: Cell;
  readonly measurement: Measurement;
  /** What each operation cost just before the load, in microseconds. */
  readonly operations: Readonly<Record<string, OperationCost>>;
  /** Microseconds of CPU time of the bare cryptography of one request. */
  readonly floor: OperationCost;
  /** CPU time for one token, in floors of node:crypto. */
  readonly ratio: number;
}

export interface Report {
  readonly date: string;
  readonly bun: string;
  readonly machine: { readonly processor: string; readonly cores: number; readonly kernel: string };
  readonly rows: readonly Row[];
}

export function createRow(cell: Cell, measurement: Measurement, costs: FloorCosts): Row {
  const floor = sumFloor(floorOf(cell), costs);
  const operations = Object.fromEntries(costs);
  return { cell, measurement, operations, floor, ratio: measurement.cpuPerToken / floor.nodeCrypto };
}

export function createReport(rows: readonly Row[]): Report {
  const processors = cpus();
  return {
    date: new Date().toISOString(),
    bun: Bun.version,
    machine: { processor: processors[0]?.model ?? 'unknown', cores: processors.length, kernel: release() },
    rows,
  };
}

const columns: readonly (readonly [string, (row: Row) => string])[] = [
  ['cell', ({ cell }) => cell.name],
  ['tokens/s', ({ measurement }) => measurement.tokensPerSecond.toFixed(0)],
  ['CPU µs/token', ({ measurement }) => measurement.cpuPerToken.toFixed(0)],
  ['floor µs', ({ floor }) => floor.nodeCrypto.toFixed(0)],
  ['ratio', ({ ratio }) => ratio.toFixed(2)],
  ['jose µs', ({ floor }) => floor.jose.toFixed(0)],
  ['p50 ms', ({ measurement }) => measurement.p50.toFixed(1)],
  ['p99 ms', ({ measurement }) => measurement.p99.toFixed(1)],
  ['RSS MiB', ({ measurement }) => measurement.memory.now.toFixed(0)],
  ['tokens', ({ measurement }) => String(measurement.tokens)],
  ['not 200', ({ measurement }) => String(measurement.refused + measurement.failed)],
];

/** One line a cell; above it what the figures stand on. */
export function formatReport({ machine, bun, rows }: Report): string {
  const operations = Object.assign({}, ...rows.map((row) => row.operations)) as Row['operations'];
  const floors = Object.entries(operations).map(
    ([name, { nodeCrypto, jose }]) => `  ${name}: ${nodeCrypto.toFixed(1)} µs, by jose ${jose.toFixed(1)} µs`,
  );
  const cells = [columns.map(([title]) => title), ...rows.map((row) => columns.map(([, text]) => text(row)))];
  const widths = columns.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  const table = cells.map((line) =>
    line
      .map((text, column) =>
        column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0),
      )
      .join('  '),
  );
  return [
    `${machine.processor}, ${machine.cores} cores, Linux ${machine.kernel}, Bun ${bun}`,
    'The floor is the CPU time of the bare signatures of one request by synchronous node:crypto:',
    ...floors,
    '',
    ...table,
    ...remarksOn(rows),
    '',
  ].join('\n');
}

function remarksOn(rows: readonly Row[]): string[] {
  return rows
    .filter(({ measurement }) => measurement.exhausted)
    .map(({ cell }) => `${cell.name}: all prepared requests were used before the time was over.`);
}
