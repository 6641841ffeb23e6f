/**
 * `bun run bench`: the compiled binary under load, beside the bare cost of the signatures that each token takes, measured
 * in the same run. Prints a table and writes the figures as JSON.
 */
import { writeFile } from 'node:fs/promises';
import { formatAgent, measureAgent } from './agent.ts';
import { attack, formatAttack, isSound } from './attack.ts';
import { type Options, readOptions, USAGE } from './bench-options.ts';
import { formatCores, measureCores } from './cores.ts';
import { fullSizes, measureCurves, readScaleCurves, smokeSizes } from './curves.ts';
import { drawCurves } from './draw-curves.ts';
import { measureCell } from './measure.ts';
import { formatOverload, measureOverload } from './overload.ts';
import { createReport, createRow, formatReport, isFaulty, type Row, readMachine } from './report.ts';
import { formatSoak, soak } from './soak.ts';

/** Returns the exit code: 0, 1 where it cannot run or answers were not what they should be, 2 usage. */
async function main(words: readonly string[], signal: AbortSignal): Promise<number> {
  let options: Options;
  try {
    options = readOptions(words);
  } catch (cause) {
    process.stderr.write(`${cause instanceof Error ? cause.message : cause}\n\n${USAGE}`);
    return 2;
  }
  if (options.mode !== 'attack' && Bun.which('wrk') === null) {
    process.stderr.write('The load comes from wrk, which is not here: apt-get install wrk\n');
    return 1;
  }
  switch (options.mode) {
    case 'cells':
      return runCells(options, signal);
    case 'overload':
      return runOverload(options, signal);
    case 'cores':
      return runCores(options, signal);
    case 'agent':
      return runAgent(options);
    case 'curves':
      return runCurves(options, signal);
    case 'soak':
      return runSoak(options, signal);
    case 'attack':
      return runAttack(options, signal);
  }
}

async function runCells({ cells, measure, json }: Options, signal: AbortSignal): Promise<number> {
  const rows: Row[] = [];
  for (const cell of cells) {
    process.stderr.write(`${cell.name}…\n`);
    rows.push(createRow(cell, await measureCell(cell, { ...measure, signal })));
  }
  const report = createReport(rows);
  process.stdout.write(formatReport(report));
  await writeJson(json, report);
  const faulty = report.rows.filter(isFaulty);
  if (faulty.length === 0) return 0;
  process.stderr.write(`Not every answer was 200: ${faulty.map(({ cell }) => cell.name).join(', ')}\n`);
  return 1;
}

async function runOverload({ smoke, json }: Options, signal: AbortSignal): Promise<number> {
  const report = await measureOverload({
    seconds: smoke ? 1 : 5,
    warmUpRequests: smoke ? 500 : 50_000,
    warmUpSeconds: smoke ? 1 : 8,
    factor: 2,
    signal,
  });
  process.stdout.write(formatOverload(report));
  await writeJson(json, { machine: readMachine(), ...report });
  const { unloaded, half, most, loaded, after } = report;
  const faulty = [unloaded, half, most, loaded, after].reduce((sum, { faulty }) => sum + faulty, 0);
  if (faulty === 0) return 0;
  process.stderr.write(`${faulty} answers were neither 200 nor 503 with Retry-After.\n`);
  return 1;
}

async function runCores({ smoke, measure, json }: Options, signal: AbortSignal): Promise<number> {
  const report = await measureCores({
    seconds: smoke ? 1 : Math.max(3, measure.seconds),
    warmUpRequests: smoke ? 300 : 40_000,
    workers: smoke ? [2] : [1, 2, 4],
    threads: smoke ? [1, 4] : [1, 2, 8, 64],
    insertMs: smoke ? 50 : 1000,
    signal,
  });
  process.stdout.write(formatCores(report));
  await writeJson(json, { machine: readMachine(), ...report });
  return 0;
}

async function runAgent({ smoke, measure, json }: Options): Promise<number> {
  const report = await measureAgent({ mebibytes: smoke ? 8 : 2048, rounds: measure.rounds });
  process.stdout.write(formatAgent(report));
  await writeJson(json, { machine: readMachine(), ...report });
  return 0;
}

async function runCurves(
  { smoke, measure, json, scale, picture }: Options,
  signal: AbortSignal,
): Promise<number> {
  const sizes = smoke ? smokeSizes : fullSizes;
  const ofScale = await readScaleCurves(scale);
  const measured = await measureCurves(sizes, { ...measure, signal }, (point) => {
    process.stderr.write(`${point}…\n`);
  });
  const curves = [...ofScale, ...measured];
  for (const { title, unit, points } of curves)
    process.stdout.write(
      `${title}, ${unit}: ${points.map(({ x, y }) => `${x}: ${y.toFixed(2)}`).join(', ')}\n`,
    );
  await writeJson(json, { date: new Date().toISOString(), machine: readMachine(), curves });
  await writeFile(picture, drawCurves(curves));
  return 0;
}

async function runSoak({ smoke, json, soakSeconds }: Options, signal: AbortSignal): Promise<number> {
  const report = await soak({
    seconds: smoke ? 6 : soakSeconds,
    segmentSeconds: smoke ? 3 : 10,
    warmUpRequests: smoke ? 1000 : 40_000,
    part: 0.7,
    tell: (line) => void process.stderr.write(`${line}\n`),
    signal,
  });
  process.stdout.write(formatSoak(report));
  await writeJson(json, { machine: readMachine(), ...report });
  // 505 is the platform's own answer to what looks like another version of HTTP.
  const isSound = Object.keys(report.hostile).every((status) => Number(status) < 500 || status === '505');
  return report.errors === 0 && report.exitCode === 0 && isSound ? 0 : 1;
}

async function runAttack({ smoke, json, minutes, workers }: Options, signal: AbortSignal): Promise<number> {
  const report = await attack({
    seconds: smoke ? 30 : minutes * 60,
    workers: smoke ? 2 : workers,
    connections: smoke ? 6 : 12,
    haste: smoke ? 3 : 1,
    // A process so young still grows, whatever it does.
    growth: smoke ? 300 : 20,
    tell: (line) => void process.stderr.write(`${line}\n`),
    signal,
  });
  process.stdout.write(formatAttack(report));
  await writeJson(json, { machine: readMachine(), ...report });
  return isSound(report) ? 0 : 1;
}

function writeJson(file: string, figures: object): Promise<void> {
  return writeFile(file, `${JSON.stringify(figures, null, 2)}\n`);
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
