/**
 * `bun run bench:scale`: what plans, patterns and revoked licences cost, in time until the service is ready, in memory
 * and in the time of a decision. Prints a table and writes dist/bench-scale.json, from which curves can be drawn.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { createTemporaryFolder, findFreePort, run, searchPath, withParent } from '../support/processes.ts';
import { BINARY } from '../support/running-service.ts';
import { cpuSeconds, readMemory } from './process-figures.ts';
import { type Size, writeScaleFiles } from './scale-files.ts';
import { type Cost, createScaleReport, formatScaleReport, type ScaleRow } from './scale-report.ts';

const USAGE = `Usage: bun run bench:scale [--starts N] [--smoke] [--json FILE]

The figures are good on a machine that does nothing else meanwhile.

  --starts N     how often each configuration is started, 1 to 20; default 5
  --smoke        small configurations: whether the bench works, not how fast anything is
  --json FILE    where the figures go; default dist/bench-scale.json
`;

const PATTERNS = 20;
/** Up to the size that the reference promises, 2,000 plans and 200,000 licences, and once each alone. */
const sizes: readonly Size[] = [
  ...[20, 200, 2000].map((plans) => ({ plans, patterns: PATTERNS, licenses: 0 })),
  ...[2000, 20_000, 200_000].map((licenses) => ({ plans: 20, patterns: PATTERNS, licenses })),
  { plans: 2000, patterns: PATTERNS, licenses: 200_000 },
];
const smokeSizes: readonly Size[] = [
  { plans: 2, patterns: 10, licenses: 0 },
  { plans: 20, patterns: 10, licenses: 1000 },
];

const READY_MS = 120_000;

interface Start {
  readonly readyMs: number;
  readonly cpuMs: number;
  readonly idle: number;
  readonly highest: number;
}

/** Starts the executable once; it is ended whatever happens. */
async function startOnce(file: string): Promise<Start> {
  const before = performance.now();
  const child = Bun.spawn([...withParent, BINARY, 'serve', '--config', file], {
    env: { PATH: searchPath },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), READY_MS);
  try {
    let log = '';
    for await (const piece of child.stderr.pipeThrough(new TextDecoderStream())) {
      log += piece;
      if (!log.includes('"ready"')) continue;
      const readyMs = performance.now() - before;
      const cpuMs = cpuSeconds(child.pid) * 1000;
      await Bun.sleep(1000);
      const { now, highest } = readMemory(child.pid);
      return { readyMs, cpuMs, idle: now, highest };
    }
    throw new Error(`The service ended before it was ready:\n${log.slice(0, 2000)}`);
  } finally {
    clearTimeout(timer);
    child.kill('SIGTERM');
    await child.exited;
  }
}

async function measure(
  size: Size,
  starts: number,
  calls: number,
  first: ScaleRow | undefined,
): Promise<ScaleRow> {
  await using folder = await createTemporaryFolder();
  const file = await writeScaleFiles(folder, size, await findFreePort());
  const started: Start[] = [];
  for (let start = 0; start < starts; start += 1) started.push(await startOnce(file));
  const script = new URL('decisions.ts', import.meta.url).pathname;
  const words = [file, size.plans, size.patterns, calls].map(String);
  const { stdout, stderr, exitCode } = await run([process.execPath, script, ...words]);
  if (exitCode !== 0) throw new Error(stderr);
  const costs = JSON.parse(stdout) as { readonly authorize: number; readonly request: number };
  return {
    ...size,
    bytes: {
      configuration: Bun.file(file).size + Bun.file(folder.at('plans.json')).size,
      licenses: Bun.file(folder.at('revoked.txt')).size,
    },
    readyMs: middle(started.map(({ readyMs }) => readyMs)),
    cpuMs: middle(started.map(({ cpuMs }) => cpuMs)),
    memory: {
      idle: middle(started.map(({ idle }) => idle)),
      highest: Math.max(...started.map(({ highest }) => highest)),
    },
    decision: toCost(costs.authorize, first?.decision),
    request: toCost(costs.request, first?.request),
  };
}

function toCost(nanoseconds: number, first: Cost | undefined): Cost {
  return { nanoseconds, ratio: nanoseconds / (first?.nanoseconds ?? nanoseconds) };
}

function middle(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? Number.NaN;
}

function readOptions(words: readonly string[]) {
  const { values } = parseArgs({
    args: [...words],
    options: {
      starts: { type: 'string', default: '5' },
      smoke: { type: 'boolean', default: false },
      json: { type: 'string', default: new URL('../../dist/bench-scale.json', import.meta.url).pathname },
    },
  });
  const starts = Number(values.starts);
  if (!Number.isInteger(starts) || starts < 1 || starts > 20)
    throw new Error(`--starts is a whole number from 1 to 20, not ${values.starts}`);
  return values.smoke
    ? { sizes: smokeSizes, starts: 1, calls: 100, json: values.json }
    : { sizes, starts, calls: 20_000, json: values.json };
}

async function main(words: readonly string[]): Promise<number> {
  let options: ReturnType<typeof readOptions>;
  try {
    options = readOptions(words);
  } catch (cause) {
    process.stderr.write(`${cause instanceof Error ? cause.message : cause}\n\n${USAGE}`);
    return 2;
  }
  const rows: ScaleRow[] = [];
  for (const size of options.sizes) {
    process.stderr.write(`${size.plans} plans, ${size.licenses} licences…\n`);
    rows.push(await measure(size, options.starts, options.calls, rows[0]));
  }
  const report = createScaleReport(rows);
  process.stdout.write(formatScaleReport(report));
  await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
