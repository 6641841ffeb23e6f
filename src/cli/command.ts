/** What a command of the command line is. One file a command; `main.ts` finds it by its name. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { parseListenAddress } from '../config/values.ts';
import { explainError } from '../platform/errors.ts';
import { settleWithin } from '../platform/wait.ts';
import type { ProcessUsage } from '../telemetry/metrics.ts';

/** The name that docker gives a helper `registry-token`: a link of this name to the program is the helper. */
export const CREDENTIAL_HELPER_NAME = 'docker-credential-registry-token';

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `--help` prints: usage, options, an example. */
  readonly help: string;
  /** Returns the exit code. Throws UsageError, CommandFailure or ConfigurationFault; nothing else is expected. */
  readonly run: (context: CommandContext) => Promise<number>;
}

/** The process as a command sees it. */
export interface CommandContext {
  /** The words after the command's name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The words that start this very program again, from any directory. */
  readonly self: readonly string[];
  /** Everything on standard input, as text. */
  readonly readInput: () => Promise<string>;
  /** What arrives on standard input, as it arrives. */
  readonly openInput: () => AsyncIterable<Uint8Array>;
  /** Writes a result to standard output. */
  readonly print: (text: string) => void;
  /** The same for a long result; resolves when the reader has it, or once nobody reads, to whether somebody still does. */
  readonly printPart: (text: string) => Promise<boolean>;
  /** Writes anything else to standard error. */
  readonly tell: (text: string) => void;
  /** Whether standard error is a terminal. */
  readonly isTerminal: boolean;
  /** Columns of standard output; null where that is no terminal. */
  readonly terminalColumns: number | null;
  /** Whether standard error is systemd's journal. */
  readonly isJournal: boolean;
  readonly processUsage: () => ProcessUsage;
  /** A thread that runs `worker.ts`. */
  readonly createWorker: () => Worker;
  /** Resolves at the first SIGINT or SIGTERM. */
  readonly stopRequested: Promise<void>;
  /** Called at each SIGHUP. */
  readonly onReloadRequested: (listener: () => void) => void;
}

/** The configuration is wrong: exit 78. */
export { ConfigurationFault } from '../document/mistakes.ts';

/** The command line is wrong: exit 2. */
export class UsageError extends Error {}

/** The command could not do what it was asked for: exit 1. The message says what, why and what to do. */
export class CommandFailure extends Error {}

/** Reads the options of a command; unknown ones and stray words are usage errors. */
export function readOptions<const Options extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: Options,
) {
  const { values, positionals } = readWords(args, options);
  const [stray] = positionals;
  if (stray !== undefined) throw new UsageError(`unexpected argument "${stray}"`);
  return values;
}

/** Reads the options of a command that also takes words. */
export function readWords<const Options extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: Options,
) {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message.split('. ', 1).join('') : String(cause));
  }
}

/** Listens on `address`, a host and a port or `unix:PATH`; throws CommandFailure with the reason and `advice` if that cannot be done. */
export async function listenOrFail<Listener>(
  address: string,
  advice: string,
  open: () => Listener | Promise<Listener>,
): Promise<Listener> {
  try {
    return await open();
  } catch (cause) {
    const fault = explainError(
      (await resolutionFault(address)) ?? cause,
      address.startsWith('unix:') ? 'write' : 'listen',
    );
    throw new CommandFailure(`cannot listen on ${address}: ${fault}; ${advice}`);
  }
}

const RESOLUTION_MS = 5000;

/** Why the host name of an address has no IP address; null if it has one. Bun gives an unrelated code for that (1.4.5). */
async function resolutionFault(address: string): Promise<unknown> {
  const host = parseListenAddress(address)?.host;
  if (host === undefined || isIP(host) !== 0) return null;
  const looked = lookup(host).then(
    () => null,
    (cause: unknown) => cause,
  );
  return settleWithin(RESOLUTION_MS, looked, () => null);
}

/** The value of an option that must be given. */
export function required(value: string | undefined, option: string): string {
  if (value === undefined || value === '') throw new UsageError(`--${option} is missing`);
  return value;
}
