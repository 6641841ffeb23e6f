/** One load on a service by wrk: its requests are prepared and sent, its answers counted. */
import { rmSync } from 'node:fs';
import { type TemporaryFolder, withParent } from '../support/processes.ts';
import type { Cell } from './cells.ts';
import { type Claims, certificateHeaderOf, type Parties, queryOf, writeRequests } from './requests.ts';

export interface LoadTarget {
  readonly cell: Cell;
  readonly parties: Parties;
  readonly claims: Claims;
  readonly service: string;
  /** `http://127.0.0.1:8085` */
  readonly url: string;
}

export interface LoadResult {
  readonly requests: number;
  /** Of the load itself, not of its preparation. */
  readonly seconds: number;
  /** True where the prepared requests were not enough for the time asked for. */
  readonly exhausted: boolean;
  /** Answers of 400 and above. */
  readonly refused: number;
  /** Connections that failed, and answers that did not come. */
  readonly failed: number;
  /** Latencies in milliseconds, of as many requests at once as there are connections. */
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
  /** Of all answers, heads included. */
  readonly bytes: number;
}

const SCRIPT = new URL('load.lua', import.meta.url).pathname;
/** wrk's own work for a request is small beside that of the service; the other cores are the service's. */
const THREADS = 1;

/** Requests that wait to be sent; each is sent once. */
export interface PreparedLoad extends Disposable {
  readonly target: LoadTarget;
  /** The path of the files, one for each of wrk's threads, without their number. */
  readonly prefix: string;
}

/** Prepares `count` requests, each with a proof of its own, dated now, in files that `name` tells apart. */
export function prepareLoad(
  folder: TemporaryFolder,
  target: LoadTarget,
  name: string,
  count: number,
): PreparedLoad {
  const prefix = folder.at(`requests-${name}-`);
  const files = Array.from({ length: THREADS }, (_, index) => `${prefix}${index}`);
  writeRequests(files, count, target.cell, target.parties, target.claims);
  const remove = () => {
    for (const file of files) rmSync(file, { force: true });
  };
  return { target, prefix, [Symbol.dispose]: remove };
}

/**
 * Sends what was prepared, for at most `seconds`, which is a whole number, to the service or to another `url`. Rejects
 * if wrk fails, and if `signal` ends it.
 */
export async function runLoad(
  { target, prefix }: PreparedLoad,
  seconds: number,
  signal: AbortSignal,
  url: string = target.url,
): Promise<LoadResult> {
  const { cell, claims, parties, service } = target;
  const load = [`-t${THREADS}`, `-c${cell.connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', SCRIPT];
  const path = `${new URL(claims.realm).pathname}?${queryOf(cell, service)}`;
  const words = [prefix, path, new URL(url).host, cell.keepAlive ? 'keep-alive' : 'close'];
  const headers = certificateHeaderOf(cell, parties);
  const wrk = Bun.spawn([...withParent, 'wrk', ...load, url, '--', ...words, headers, String(cell.pauseMs)], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: (seconds + 30) * 1000,
    signal,
  });
  const [exitCode, stdout, stderr] = await Promise.all([wrk.exited, wrk.stdout.text(), wrk.stderr.text()]);
  const line = /^BENCH (\{.*\})$/m.exec(stdout)?.[1];
  if (exitCode !== 0 || line === undefined)
    throw new Error(`wrk ended with ${exitCode}:\n${stdout}${stderr}`);
  return readResult(line);
}

function readResult(line: string): LoadResult {
  const { requests, microseconds, exhausted, refused, failed, p50, p99, longest, bytes } = JSON.parse(line);
  return {
    requests,
    seconds: microseconds / 1e6,
    exhausted,
    refused,
    failed,
    p50: p50 / 1000,
    p99: p99 / 1000,
    longest: longest / 1000,
    bytes,
  };
}
