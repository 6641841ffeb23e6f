/** The program: words of the command line to a command, its end to an exit code. The only file that touches `process`. */

import { fstatSync } from 'node:fs';
import { basename } from 'node:path';
import {
  type Command,
  CommandFailure,
  ConfigurationFault,
  CREDENTIAL_HELPER_NAME,
  UsageError,
} from './cli/command.ts';
import { errorCode, explainError } from './platform/errors.ts';
import { escapeLines, escapeText } from './platform/escape.ts';
import type { ProcessUsage } from './telemetry/metrics.ts';

/** By their names. Each is loaded when it is called: a credential helper has no use for the service. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./cli/serve.ts')).serve,
  dev: async () => (await import('./cli/dev.ts')).dev,
  check: async () => (await import('./cli/check.ts')).check,
  status: async () => (await import('./cli/status.ts')).status,
  explain: async () => (await import('./cli/explain.ts')).explain,
  entitlements: async () => (await import('./cli/entitlements.ts')).entitlements,
  log: async () => (await import('./cli/log.ts')).log,
  keygen: async () => (await import('./cli/keygen.ts')).keygen,
  'dpop-proof': async () => (await import('./cli/client/dpop-proof.ts')).dpopProof,
  login: async () => (await import('./cli/client/login.ts')).login,
  logout: async () => (await import('./cli/client/logout.ts')).logout,
  token: async () => (await import('./cli/client/token.ts')).token,
  'docker-credential': async () => (await import('./cli/client/docker-credential.ts')).dockerCredential,
  agent: async () => (await import('./cli/client/agent.ts')).agent,
  'kubelet-credential-provider': async () =>
    (await import('./cli/client/kubelet-credential-provider.ts')).kubeletCredentialProvider,
  version: async () => (await import('./cli/version.ts')).version,
};

const exitCodes = { success: 0, failure: 1, usage: 2, configuration: 78 } as const;

async function main(words: readonly string[]): Promise<number> {
  const [name, ...args] = words;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(await overview());
    return name === undefined ? exitCodes.usage : exitCodes.success;
  }
  const known = name.replace(/^--/, '');
  const load = Object.hasOwn(commands, known) ? commands[known] : undefined;
  if (load === undefined) {
    printError(
      `registry-token: unknown command "${escapeText(name)}"; registry-token --help lists the commands`,
    );
    return exitCodes.usage;
  }
  const command = await load();
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(command.help);
    return exitCodes.success;
  }
  try {
    return await command.run({
      args,
      env: process.env,
      self: selfWords(),
      readInput: () => Bun.stdin.text(),
      openInput: () => Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>,
      print: (text) => void process.stdout.write(text),
      printPart,
      tell,
      isTerminal: process.stderr.isTTY === true,
      terminalColumns: process.stdout.isTTY === true ? process.stdout.columns : null,
      isJournal: isJournal(process.env.JOURNAL_STREAM),
      processUsage,
      // Named from here, because compiled both are in one folder.
      createWorker: () => new Worker(new URL('./worker.ts', import.meta.url)),
      /** Only who asks for it takes the signals over; anything else ends at once, as programs do. */
      get stopRequested() {
        return firstStopSignal();
      },
      onReloadRequested: (listener) => void process.on('SIGHUP', listener),
    });
  } catch (cause) {
    return tellFailure(command, cause);
  }
}

/** systemd.exec(5): device and inode of the journal's socket, where standard error still is that. */
function isJournal(stream: string | undefined): boolean {
  if (stream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(2, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** Characters that a reader of standard error has yet to take. */
let untaken = 0;
const MAX_UNTAKEN = 8 * 1024 * 1024;

/** Writes to standard error. While nobody reads there, what is beyond the bound is dropped rather than kept for ever. */
function tell(text: string): void {
  if (untaken > MAX_UNTAKEN) return;
  untaken += text.length;
  process.stderr.write(text, () => {
    untaken -= text.length;
  });
}

function printPart(text: string): Promise<boolean> {
  return new Promise((resolve) => {
    process.stdout.write(text, (fault) => resolve(fault === null || fault === undefined));
  });
}

function firstStopSignal(): Promise<void> {
  return new Promise((resolve) => {
    // Not `once`: an impatient second Ctrl-C must not cut off the stopping.
    process.on('SIGINT', () => resolve());
    process.on('SIGTERM', () => resolve());
  });
}

function tellFailure(command: Command, cause: unknown): number {
  if (cause instanceof ConfigurationFault) {
    printError(cause.message);
    return exitCodes.configuration;
  }
  if (cause instanceof UsageError) {
    const hint = `registry-token ${command.name} --help explains`;
    printError(`registry-token ${command.name}: ${cause.message}; ${hint}`);
    return exitCodes.usage;
  }
  const message = cause instanceof CommandFailure ? cause.message : `unexpected fault: ${faultName(cause)}`;
  printError(`registry-token ${command.name}: ${message}`);
  return exitCodes.failure;
}

/** A message may quote arguments, files and answers from outside. */
function printError(message: string): void {
  process.stderr.write(`${escapeLines(message)}\n`);
}

/** The name and the first line of an unexpected error: never the whole object, which may hold more than it says. */
function faultName(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message.split('\n', 1).join('')}` : 'not an error';
}

/** Compiled, the program is the executable; else it is Bun with this file. */
function selfWords(): readonly string[] {
  const compiled = import.meta.path.startsWith('/$bunfs/');
  return compiled ? [process.execPath] : [process.execPath, 'run', import.meta.path];
}

function processUsage(): ProcessUsage {
  const { user, system } = process.cpuUsage();
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    startedAt: Date.now() / 1000 - process.uptime(),
  };
}

async function overview(): Promise<string> {
  const all = await Promise.all(Object.values(commands).map((load) => load()));
  const width = Math.max(...all.map(({ name }) => name.length));
  const lines = all.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}\n`);
  return `registry-token: a token service for Docker and OCI registries, with sender-constrained access tokens

Usage: registry-token <command> [options]

${lines.join('')}
registry-token <command> --help explains each with an example.
`;
}

/** Through a link named as docker names its helpers, the words are those of the helper. */
function wordsOf(calledAs: string, words: readonly string[]): readonly string[] {
  return basename(calledAs) === CREDENTIAL_HELPER_NAME ? ['docker-credential', ...words] : words;
}

let isOutputLost = false;
process.stdout.on('error', (cause) => {
  // A reader that stops (`| head`) ends a command's output, and nothing else.
  if (isOutputLost || errorCode(cause) === 'EPIPE') return;
  isOutputLost = true;
  process.exitCode = exitCodes.failure;
  printError(`registry-token: cannot write the output: ${explainError(cause, 'write')}`);
});
const exitCode = await main(wordsOf(process.argv0, process.argv.slice(2)));
process.exitCode = isOutputLost ? exitCodes.failure : exitCode;
// Who does not read the last words must not keep the process, nor a push that hangs; who reads slowly gets the result.
setTimeout(() => {
  if (process.stdout.writableLength === 0) process.exit();
}, 1000).unref();
