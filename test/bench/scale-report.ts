/** What `bench:scale` measured, as a table for people and as JSON for machines. */
import { cpus, release } from 'node:os';
import type { Size } from './scale-files.ts';

/** CPU time, and as a ratio to that of the first row. */
export interface Cost {
  readonly nanoseconds: number;
  readonly ratio: number;
}

export interface ScaleRow extends Size {
  /** Of the configuration, and of the list of licences. */
  readonly bytes: { readonly configuration: number; readonly licenses: number };
  /** From exec to the log's line: the middle of several starts. */
  readonly readyMs: number;
  /** CPU time of all threads until then. */
  readonly cpuMs: number;
  /** Resident, in MiB: a second after that, and at its highest until then. */
  readonly memory: { readonly idle: number; readonly highest: number };
  /** Of the policy's decision alone. */
  readonly decision: Cost;
  /** Of a whole request with a new OpTok and a proof, without HTTP. */
  readonly request: Cost;
}

export interface ScaleReport {
  readonly date: string;
  readonly bun: string;
  readonly machine: { readonly processor: string; readonly cores: number; readonly kernel: string };
  readonly rows: readonly ScaleRow[];
}

export function createScaleReport(rows: readonly ScaleRow[]): ScaleReport {
  const processors = cpus();
  const processor = processors[0]?.model ?? 'unknown';
  const machine = { processor, cores: processors.length, kernel: release() };
  return { date: new Date().toISOString(), bun: Bun.version, machine, rows };
}

const columns: readonly (readonly [string, (row: ScaleRow) => string])[] = [
  ['plans', ({ plans }) => String(plans)],
  ['patterns each', ({ patterns }) => String(patterns)],
  ['licences', ({ licenses }) => String(licenses)],
  ['MB of files', ({ bytes }) => ((bytes.configuration + bytes.licenses) / 1e6).toFixed(1)],
  ['ready ms', ({ readyMs }) => readyMs.toFixed(0)],
  ['CPU ms', ({ cpuMs }) => cpuMs.toFixed(0)],
  ['RSS MiB', ({ memory }) => memory.idle.toFixed(0)],
  ['highest', ({ memory }) => memory.highest.toFixed(0)],
  ['decision µs', ({ decision }) => (decision.nanoseconds / 1000).toFixed(2)],
  ['ratio', ({ decision }) => decision.ratio.toFixed(2)],
  ['request µs', ({ request }) => (request.nanoseconds / 1000).toFixed(0)],
  ['ratio', ({ request }) => request.ratio.toFixed(2)],
];

export function formatScaleReport({ machine, bun, rows }: ScaleReport): string {
  const cells = [columns.map(([title]) => title), ...rows.map((row) => columns.map(([, text]) => text(row)))];
  const widths = columns.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  const table = cells.map((line) =>
    line.map((text, column) => text.padStart(widths[column] ?? 0)).join('  '),
  );
  const { processor, cores, kernel } = machine;
  return `${[`${processor}, ${cores} cores, Linux ${kernel}, Bun ${bun}`, '', ...table].join('\n')}\n`;
}
