/**
 * The service for a long time at a part of its capacity, while its configuration is reloaded, its signing key rotated, the
 * Authority's keys replaced, and strangers try what they can: whether it errs, and whether its memory grows.
 */
import { writeFileSync } from 'node:fs';
import { createKey } from '../support/keys.ts';
import { createTemporaryFolder, runOrFail, type TemporaryFolder } from '../support/processes.ts';
import { BINARY } from '../support/running-service.ts';
import { tokenRequests } from '../support/token-text.ts';
import { type BenchService, startBenchService } from './bench-service.ts';
import { type Cell, usualCell } from './cells.ts';
import { hostileTexts, sendHostile } from './hostile-load.ts';
import { type LoadTarget, prepareLoad, runLoad } from './load.ts';
import { readMemory } from './process-figures.ts';
import { jwksOf } from './requests.ts';
import { medianOf } from './spread.ts';

export interface SoakOptions {
  /** Of the whole, its warm-up of a quarter included. */
  readonly seconds: number;
  /** Of one load, between which the Authority's key changes. */
  readonly segmentSeconds: number;
  readonly warmUpRequests: number;
  /** Requests a second, as a part of the capacity. */
  readonly part: number;
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface SoakReport {
  readonly seconds: number;
  readonly capacity: number;
  readonly offered: number;
  readonly requests: number;
  /** Answers to the load that were not 200, or did not come. */
  readonly errors: number;
  readonly reloads: number;
  readonly rotationSteps: number;
  readonly authorityKeys: number;
  /** How often strangers were answered with which status; 0: not at all. */
  readonly hostile: Readonly<Record<string, number>>;
  /** Resident memory in MiB: the median of the first and of the last quarter after the warm-up, and the highest. */
  readonly memory: { readonly first: number; readonly last: number; readonly highest: number };
  readonly drift: number;
  readonly exitCode: number;
}

/** So many that their pauses are long beside their answers. */
const CONNECTIONS = 128;
/** Older proofs are forgotten, so that the replay store is as full as it gets within the warm-up. */
const MAX_AGE = '60s';
/** What follows `--rotate`, which is done before the start. */
const ROTATION = [['--switch'], ['--finish', '--force'], ['--rotate']] as const;

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { seconds, segmentSeconds, part, signal, tell } = options;
  await using folder = await createTemporaryFolder();
  await runOrFail([BINARY, 'keygen', '--out', folder.path]);
  await runOrFail([BINARY, 'keygen', '--out', folder.path, '--rotate']);
  await using service = await startBenchService(folder, soakCell());
  const capacity = await measureCapacity(folder, service, options);
  const pauseMs = (CONNECTIONS / (capacity * part)) * 1000;
  const target = { ...service.target, cell: { ...service.target.cell, connections: CONNECTIONS, pauseMs } };
  const place = { port: Number(new URL(target.url).port), tls: false };

  const began = performance.now();
  const elapsed = () => (performance.now() - began) / 1000;
  const samples: { readonly at: number; readonly size: number }[] = [];
  const sampling = setInterval(
    () => samples.push({ at: elapsed(), size: readMemory(service.pid).now }),
    1000,
  );
  const counts = { requests: 0, errors: 0, reloads: 0, rotationSteps: 0, authorityKeys: 0, loaded: 0 };
  const hostile: Record<string, number> = {};
  let parties = target.parties;
  const harass = async () => {
    for (const status of await sendHostile(place, hostileTexts(tokenRequests({ ...target, parties })())))
      hostile[status] = (hostile[status] ?? 0) + 1;
  };
  const authority = createAuthorityKeys(folder, target);
  const prepare = (segment: number) =>
    prepareLoad(
      folder,
      { ...target, parties },
      `soak-${segment}`,
      Math.ceil(capacity * part * segmentSeconds * 1.3),
    );
  try {
    let prepared = prepare(0);
    for (let segment = 0; elapsed() < seconds; segment += 1) {
      signal.throwIfAborted();
      using current = prepared;
      const running = runLoad(current, segmentSeconds, signal);
      process.kill(service.pid, 'SIGHUP');
      counts.reloads += 1;
      await harass();
      await runOrFail([
        BINARY,
        ...['keygen', '--out', folder.path],
        ...(ROTATION[counts.rotationSteps % ROTATION.length] ?? []),
      ]);
      counts.rotationSteps += 1;
      parties = await authority.next();
      counts.authorityKeys += 1;
      // The file is noticed within two looks, a second apart; OpToks of the new key come after that.
      prepared = prepare(segment + 1);
      await harass();
      const { requests, refused, failed, seconds: lasted } = await running;
      counts.requests += requests;
      counts.errors += refused + failed;
      counts.loaded += lasted;
      const size = readMemory(service.pid).now.toFixed(0);
      tell(`${elapsed().toFixed(0)} s: ${requests} answers, ${refused + failed} errors, ${size} MiB`);
    }
    prepared[Symbol.dispose]();
  } finally {
    clearInterval(sampling);
  }
  process.kill(service.pid, 'SIGTERM');
  const memory = summarize(samples.filter(({ at }) => at > seconds / 4).map(({ size }) => size));
  return {
    seconds: elapsed(),
    capacity,
    offered: counts.requests / counts.loaded,
    requests: counts.requests,
    errors: counts.errors,
    reloads: counts.reloads,
    rotationSteps: counts.rotationSteps,
    authorityKeys: counts.authorityKeys,
    hostile,
    memory,
    drift: memory.last / memory.first - 1,
    exitCode: await service.ended,
  };
}

function soakCell(): Cell {
  return {
    ...usualCell,
    name: 'soak',
    sections: {
      senderConstraint: { dpop: { maxAge: MAX_AGE }, replay: { store: 'memory', capacity: 2_000_000 } },
      signing: {
        issuer: 'registry-token.bench.example',
        keyPath: 'registry-signing.pem',
        certificatePath: 'registry-signing.crt',
        additionalKeys: ['registry-signing-bundle.crt'],
      },
    },
  };
}

async function measureCapacity(
  folder: TemporaryFolder,
  { target }: BenchService,
  { warmUpRequests, segmentSeconds, signal }: SoakOptions,
): Promise<number> {
  for (const name of ['warm-up', 'capacity'] as const) {
    using prepared = prepareLoad(folder, target, name, warmUpRequests);
    const { requests, seconds } = await runLoad(prepared, Math.min(5, segmentSeconds), signal);
    if (name === 'capacity') return requests / seconds;
  }
  throw new Error('unreachable');
}

/** Each key is published before it is used, and withdrawn when the next but one comes. */
function createAuthorityKeys(folder: TemporaryFolder, { parties }: LoadTarget) {
  let published = [parties.authority];
  return {
    next: async () => {
      published = [...published.slice(-1), await createKey('ES256')];
      const sets = published.map((authority) => JSON.parse(jwksOf({ ...parties, authority })).keys[0]);
      writeFileSync(folder.at('jwks.json'), JSON.stringify({ keys: sets }));
      return { ...parties, authority: published.at(-1) ?? parties.authority };
    },
  };
}

function summarize(sizes: readonly number[]): SoakReport['memory'] {
  const quarter = Math.max(1, Math.floor(sizes.length / 4));
  return {
    first: medianOf(sizes.slice(0, quarter)),
    last: medianOf(sizes.slice(-quarter)),
    highest: Math.max(...sizes),
  };
}

export function formatSoak(report: SoakReport): string {
  const { memory, hostile } = report;
  const mebibytes = (size: number) => `${size.toFixed(0)} MiB`;
  return [
    `${report.seconds.toFixed(0)} s at ${report.offered.toFixed(0)} requests/s (capacity ${report.capacity.toFixed(0)}), ${report.requests} requests, ${report.errors} errors`,
    `${report.reloads} reloads, ${report.rotationSteps} steps of key rotation, ${report.authorityKeys} keys of the Authority, exit code ${report.exitCode}`,
    `answers to strangers: ${Object.entries(hostile)
      .map(([status, count]) => `${status}: ${count}`)
      .join(', ')}`,
    `RSS after the warm-up: ${mebibytes(memory.first)}, at the end ${mebibytes(memory.last)} (${(report.drift * 100).toFixed(1)} %), highest ${mebibytes(memory.highest)}`,
    '',
  ].join('\n');
}
