/**
 * `bun run bench`: tokens per second and CPU time per token of the compiled binary, beside the bare cost of the
 * signatures that each token takes, measured in the same run. Prints a table and writes dist/bench.json.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type Cell, cells } from './cells.ts';
import { type MeasureOptions, measureCell } from './measure.ts';
import { createReport, createRow, formatReport, isFaulty, type Row } from './report.ts';

const USAGE = `Usage: bun run bench [--rounds N] [--seconds N] [--cells NAME,NAME] [--smoke] [--json FILE]

The figures are good on a machine that does nothing else meanwhile.

  --rounds N      how often each cell is loaded, with the floor before and after, 1 to 60; default 6
  --seconds N     how long each time, 1 to 60; default 1
  --cells NAMES   only these of: ${cells.map(({ name }) => name).join(', ')}
  --smoke         a few hundred requests a cell: whether the bench works, not how fast anything is
  --json FILE     where the figures go; default dist/bench.json
`;

interface Options {
  readonly cells: readonly Cell[];
  readonly measure: Omit<MeasureOptions, 'signal'>;
  readonly json: string;
}

/** Throws an Error that says which word is wrong. */
function readOptions(words: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...words],
    options: {
      rounds: { type: 'string', default: '6' },
      seconds: { type: 'string', default: '1' },
      cells: { type: 'string' },
      smoke: { type: 'boolean', default: false },
      json: { type: 'string', default: new URL('../../dist/bench.json', import.meta.url).pathname },
    },
  });
  const seconds = wholeNumber('--seconds', values.seconds);
  const rounds = wholeNumber('--rounds', values.rounds);
  const named = values.cells?.split(',') ?? cells.map(({ name }) => name);
  const chosen = named.map((name) => {
    const cell = cells.find((candidate) => candidate.name === name);
    if (cell === undefined) throw new Error(`There is no cell ${name}`);
    return cell;
  });
  const { smoke, json } = values;
  return {
    cells: chosen,
    measure: smoke
      ? { rounds: 1, seconds: 1, floorMs: 10, warmUpSeconds: 1, warmUpRequests: 100, mostRequests: 300 }
      : { rounds, seconds, floorMs: 300, warmUpSeconds: 6, warmUpRequests: 30_000, mostRequests: 500_000 },
    json,
  };
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 60)
    throw new Error(`${name} is a whole number from 1 to 60, not ${text}`);
  return value;
}

/** Returns the exit code: 0, 1 where it cannot run or answers were not 200, 2 usage. */
async function main(words: readonly string[], signal: AbortSignal): Promise<number> {
  let options: Options;
  try {
    options = readOptions(words);
  } catch (cause) {
    process.stderr.write(`${cause instanceof Error ? cause.message : cause}\n\n${USAGE}`);
    return 2;
  }
  if (Bun.which('wrk') === null) {
    process.stderr.write('The load comes from wrk, which is not here: apt-get install wrk\n');
    return 1;
  }
  const report = createReport(await measureRows(options, signal));
  process.stdout.write(formatReport(report));
  await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
  const faulty = report.rows.filter(isFaulty);
  if (faulty.length === 0) return 0;
  process.stderr.write(`Not every answer was 200: ${faulty.map(({ cell }) => cell.name).join(', ')}\n`);
  return 1;
}

async function measureRows({ cells, measure }: Options, signal: AbortSignal): Promise<Row[]> {
  const rows: Row[] = [];
  for (const cell of cells) {
    process.stderr.write(`${cell.name}…\n`);
    rows.push(createRow(cell, await measureCell(cell, { ...measure, signal })));
  }
  return rows;
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
try {
  process.exitCode = await main(process.argv.slice(2), stop.signal);
} catch (cause) {
  process.stderr.write(
    stop.signal.aborted ? 'Stopped.\n' : `${cause instanceof Error ? cause.message : cause}\n`,
  );
  process.exitCode = 1;
}
