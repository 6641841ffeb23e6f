/** The program: words of the command line to a command, its end to an exit code. The only file that touches `process`. */

import { fstatSync } from 'node:fs';
import { basename } from 'node:path';
import { check } from './cli/check.ts';
import { agent } from './cli/client/agent.ts';
import { CREDENTIAL_HELPER_NAME, dockerCredential } from './cli/client/docker-credential.ts';
import { dpopProof } from './cli/client/dpop-proof.ts';
import { kubeletCredentialProvider } from './cli/client/kubelet-credential-provider.ts';
import { login } from './cli/client/login.ts';
import { logout } from './cli/client/logout.ts';
import { token } from './cli/client/token.ts';
import { type Command, CommandFailure, ConfigurationFault, UsageError } from './cli/command.ts';
import { dev } from './cli/dev.ts';
import { explain } from './cli/explain.ts';
import { keygen } from './cli/keygen.ts';
import { log } from './cli/log.ts';
import { serve } from './cli/serve.ts';
import { status } from './cli/status.ts';
import { version } from './cli/version.ts';
import { escapeLines, escapeText } from './platform/escape.ts';
import type { ProcessUsage } from './telemetry/metrics.ts';

const commands: readonly Command[] = [
  serve,
  dev,
  check,
  status,
  explain,
  log,
  keygen,
  dpopProof,
  login,
  logout,
  token,
  dockerCredential,
  agent,
  kubeletCredentialProvider,
  version,
];

const exitCodes = { success: 0, failure: 1, usage: 2, configuration: 78 } as const;

async function main(words: readonly string[]): Promise<number> {
  const [name, ...args] = words;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(overview());
    return name === undefined ? exitCodes.usage : exitCodes.success;
  }
  const command = commands.find((candidate) => candidate.name === name || `--${candidate.name}` === name);
  if (command === undefined) {
    printError(
      `registry-token: unknown command "${escapeText(name)}"; registry-token --help lists the commands`,
    );
    return exitCodes.usage;
  }
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
      columns: process.stdout.isTTY === true ? process.stdout.columns : null,
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

function overview(): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}\n`);
  return `registry-token: a token service for Docker and OCI registries, with sender-constrained access tokens

Usage: registry-token <command> [options]

${lines.join('')}
registry-token <command> --help explains each with an example.
`;
}

/** Through a link named as docker names its helpers, the words are those of the helper. */
function wordsOf(calledAs: string, words: readonly string[]): readonly string[] {
  return basename(calledAs) === CREDENTIAL_HELPER_NAME ? [dockerCredential.name, ...words] : words;
}

// Who stops reading (`| head`) ends a command's output, and nothing else.
process.stdout.on('error', () => {});
process.exitCode = await main(wordsOf(process.argv0, process.argv.slice(2)));
// Who does not read the last words must not keep the process, nor a push that hangs; who reads slowly gets the result.
setTimeout(() => {
  if (process.stdout.writableLength === 0) process.exit();
}, 1000).unref();
