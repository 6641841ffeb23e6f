/** Child processes, ports and folders of the tests: all of them end, at the latest when their test does. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkOutput } from './secret-watch.ts';

export interface ChildOptions {
  readonly cwd?: string;
  /** Added to a small environment of its own: nothing of the tests' environment but PATH is passed on. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Child extends AsyncDisposable {
  readonly pid: number;
  /** Resolves at its end: the exit code, or 128 + the number of the signal. Rejects where its output holds a secret. */
  readonly exited: Promise<number>;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Waits for a line of either output that matches. Rejects with the output where none comes in time. */
  readonly waitForLine: (pattern: RegExp, timeoutMs?: number) => Promise<RegExpExecArray>;
  /** Waits until `url` answers with `status`. Rejects with the output where it does not in time. */
  readonly waitForStatus: (url: string, status: number, timeoutMs?: number) => Promise<void>;
  readonly signal: (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGKILL') => void;
  /** SIGTERM, and SIGKILL where it has not ended 5 seconds later. Resolves to what `exited` does. */
  readonly stop: () => Promise<number>;
}

const READY_MS = 15_000;
const STOP_MS = 5_000;
const POLL_MS = 20;

/** The kernel ends a child with its parent, however that ends. The program that follows has the same process id. */
export const withParent = ['setpriv', '--pdeathsig', 'KILL', '--'];

/** Starts a program that stays until it is stopped, at the latest when this process ends. */
export function start(command: readonly string[], options: ChildOptions = {}): Child {
  const child = Bun.spawn([...withParent, ...command], { ...spawnOptions(options), stdin: 'ignore' });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const output = () => `${stdout.text()}${stderr.text()}`;
  const exited = Promise.all([child.exited, stdout.done, stderr.done]).then(([code]) => {
    checkOutput(command, { stdout: stdout.text(), stderr: stderr.text() });
    return code;
  });
  const name = command.join(' ');

  const until = async <Value>(what: string, timeoutMs: number, look: () => Promise<Value | null>) => {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const ended = child.exitCode !== null || child.signalCode !== null;
      if (ended) await exited;
      const value = await look();
      if (value !== null) return value;
      if (ended) throw new Error(`${name} ended (${await exited}) before ${what}:\n${output()}`);
      if (performance.now() > deadline)
        throw new Error(`${name}: no ${what} in ${timeoutMs} ms:\n${output()}`);
      await Bun.sleep(POLL_MS);
    }
  };

  let isTold = false;
  const stop = async () => {
    if (child.exitCode === null) child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    try {
      return await exited;
    } catch (cause) {
      isTold = true;
      throw cause;
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    pid: child.pid,
    exited,
    stdout: stdout.text,
    stderr: stderr.text,
    waitForLine: (pattern, timeoutMs = READY_MS) =>
      until(`line ${pattern}`, timeoutMs, async () => firstMatch(output(), pattern)),
    waitForStatus: async (url, status, timeoutMs = READY_MS) => {
      await until(`status ${status} at ${url}`, timeoutMs, async () =>
        (await statusOf(url)) === status ? status : null,
      );
    },
    signal: (signal) => child.kill(signal),
    stop,
    [Symbol.asyncDispose]: async () => {
      // Told twice, Bun shows neither.
      if (!isTold) await stop();
    },
  };
}

export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, which is SIGKILL after `timeoutMs`. Rejects where its output holds a secret. */
export async function run(
  command: readonly string[],
  options: ChildOptions & { readonly input?: string; readonly timeoutMs?: number } = {},
): Promise<Finished> {
  const { input = '', timeoutMs = 60_000 } = options;
  const child = Bun.spawn([...command], { ...spawnOptions(options), stdin: Buffer.from(input) });
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const [exitCode, stdout, stderr] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  clearTimeout(timer);
  checkOutput(command, { stdout, stderr });
  return { exitCode, stdout, stderr };
}

/** As `run`, and throws with the output where the exit code is not 0. Returns standard output. */
export async function runOrFail(...parameters: Parameters<typeof run>): Promise<string> {
  const { exitCode, stdout, stderr } = await run(...parameters);
  if (exitCode !== 0)
    throw new Error(`${parameters[0].join(' ')} ended with ${exitCode}:\n${stdout}${stderr}`);
  return stdout;
}

/** Whether a process with this id is there. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/**
 * A port of 127.0.0.1 that nothing listens on, below those that the kernel gives to outgoing connections (32768
 * and up), so that none of them takes it before its listener does.
 */
export async function findFreePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    if (await isPortFree(port)) return port;
  }
}

export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
  /** The absolute path of a name in it. */
  readonly at: (name: string) => string;
}

/** A folder that is removed, with all that is in it, when it is disposed of. */
export async function createTemporaryFolder(): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), 'registry-token-test-'));
  return {
    path,
    at: (name) => join(path, name),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** What a process has written once it has come to rest: its log tells of an answer soon after the client has it. */
export async function settled(read: () => string): Promise<string> {
  for (;;) {
    const text = read();
    await Bun.sleep(20);
    if (read() === text) return text;
  }
}

/** Epoch seconds as a clock on the wall of the machine has them. */
export function wallClock(): number {
  return Math.floor(Date.now() / 1000);
}

function spawnOptions({ cwd, env }: ChildOptions) {
  return {
    ...(cwd === undefined ? {} : { cwd }),
    env: { PATH: searchPath, HOME: '/nonexistent', LANG: 'C.UTF-8', ...env },
    stdout: 'pipe',
    stderr: 'pipe',
  } as const;
}

/** Where `.ci/go-parts` leaves what Debian does not have. */
const builtParts = `${process.env.XDG_CACHE_HOME || `${process.env.HOME}/.cache`}/registry-token-tests/bin`;

/** Debian keeps daemons (nginx) where a user's PATH does not reach. */
export const searchPath = `${process.env.PATH ?? ''}:/usr/sbin:/sbin:${builtParts}`;

function collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>): {
  text: () => string;
  done: Promise<void>;
} {
  let text = '';
  const read = async () => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
  };
  return { text: () => text, done: read() };
}

function firstMatch(output: string, pattern: RegExp): RegExpExecArray | null {
  for (const line of output.split('\n')) {
    const match = pattern.exec(line);
    if (match !== null) return match;
  }
  return null;
}

async function statusOf(url: string): Promise<number | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000), redirect: 'manual' });
    await response.body?.cancel();
    return response.status;
  } catch {
    return null;
  }
}
