/** Another token service that runs beside ours, under the same load by turns. */
import { withParent } from '../support/processes.ts';
import { cpuSeconds } from './process-figures.ts';

export interface Peer {
  /** With its query: what a client would ask it for. */
  readonly url: string;
  readonly pid: number;
  /** `Name: value`. */
  readonly headers: readonly string[];
}

export interface PeerFigures {
  readonly tokensPerSecond: number;
  /** Microseconds of CPU time of the peer's process for an answer, user and system. */
  readonly cpuPerToken: number;
}

/** Loads it for `seconds`, a whole number. Rejects if an answer is not 2xx: what is compared must be tokens. */
export async function loadPeer(
  { url, pid, headers }: Peer,
  connections: number,
  seconds: number,
  signal: AbortSignal,
): Promise<PeerFigures> {
  const before = cpuSeconds(pid);
  const words = headers.flatMap((header) => ['-H', header]);
  const wrk = Bun.spawn([...withParent, 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, ...words, url], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: (seconds + 30) * 1000,
    signal,
  });
  const [exitCode, stdout, stderr] = await Promise.all([wrk.exited, wrk.stdout.text(), wrk.stderr.text()]);
  const cpu = cpuSeconds(pid) - before;
  const answers = Number(/(\d+) requests in /.exec(stdout)?.[1]);
  const tokensPerSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
  if (exitCode !== 0 || !(answers > 0)) throw new Error(`wrk ended with ${exitCode}:\n${stdout}${stderr}`);
  if (/Non-2xx|Socket errors/.test(stdout))
    throw new Error(`The peer did not answer each request with a token:\n${stdout}`);
  return { tokensPerSecond, cpuPerToken: (cpu / answers) * 1e6 };
}
