/**
 * `bun test/bench/store.ts`: memory and latency of the replay store at a million and at ten million live entries, each
 * size in a process of its own. Prints a table and writes dist/bench-store.json.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import type { Latencies, StoreFigures } from './store-cell.ts';

const USAGE = `Usage: bun test/bench/store.ts [--entries N,N] [--inserts N] [--json FILE]

  --entries N,N   sizes of the store; default 1000000,10000000
  --inserts N     how many are timed at each size; default 2000000
  --json FILE     where the figures go; default dist/bench-store.json
`;

interface Options {
  readonly sizes: readonly number[];
  readonly inserts: number;
  readonly json: string;
}

/** Throws an Error that says which word is wrong. */
function readOptions(words: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...words],
    options: {
      entries: { type: 'string', default: '1000000,10000000' },
      inserts: { type: 'string', default: '2000000' },
      json: { type: 'string', default: new URL('../../dist/bench-store.json', import.meta.url).pathname },
    },
  });
  const wholeNumber = (name: string, text: string) => {
    const number = Number(text);
    if (!Number.isInteger(number) || number < 1000 || number > 50_000_000)
      throw new Error(`--${name} is a whole number from 1000 to 50000000, not ${text}`);
    return number;
  };
  return {
    sizes: values.entries.split(',').map((text) => wholeNumber('entries', text)),
    inserts: wholeNumber('inserts', values.inserts),
    json: values.json,
  };
}

async function measureSize(entries: number, inserts: number): Promise<StoreFigures> {
  const script = new URL('store-cell.ts', import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, script, String(entries), String(inserts)], {
    stdin: 'ignore',
    stderr: 'inherit',
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`The measurement of ${entries} entries failed.`);
  return JSON.parse(text) as StoreFigures;
}

function formatTable(rows: readonly StoreFigures[]): string {
  const latency = ({ p50, p99, p999, max }: Latencies) =>
    [p50, p99, p999, max].map((value) => value.toFixed(value < 100 ? 2 : 0));
  const lines = [
    ['live entries', 'reserved MiB', 'resident MiB', 'µs while', 'p50', 'p99', 'p99.9', 'max'],
    ...rows.flatMap(({ entries, reserved, resident, steady, burst, nothing }) => [
      [String(entries), reserved.toFixed(1), resident.toFixed(1), 'as many expire', ...latency(steady)],
      ['', '', '', 'all have expired at once', ...latency(burst)],
      ['', '', '', 'nothing is done', ...latency(nothing)],
    ]),
  ];
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) => line.map((text, at) => text.padStart(widths?.[at] ?? 0)).join('  ')).join('\n');
}

/** Returns the exit code: 0, 1 where it could not measure, 2 usage. */
async function main(words: readonly string[]): Promise<number> {
  let options: Options;
  try {
    options = readOptions(words);
  } catch (cause) {
    process.stderr.write(`${cause instanceof Error ? cause.message : cause}\n\n${USAGE}`);
    return 2;
  }
  const rows: StoreFigures[] = [];
  for (const size of options.sizes) rows.push(await measureSize(size, options.inserts));
  process.stdout.write(`${formatTable(rows)}\n`);
  await mkdir(dirname(options.json), { recursive: true });
  const machine = { processor: cpus()[0]?.model ?? 'unknown', cores: cpus().length, kernel: release() };
  const report = { date: new Date().toISOString(), bun: Bun.version, machine, rows };
  await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (cause) {
  process.stderr.write(`${cause instanceof Error ? cause.message : cause}\n`);
  process.exitCode = 1;
}
