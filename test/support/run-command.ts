/** A command of the command line in this process: its words in, its outputs and its exit code out. */
import { type Command, CommandFailure, ConfigurationFault, UsageError } from '../../src/cli/command.ts';
import { checkOutput } from './secret-watch.ts';

export interface CommandResult {
  /** 0 success, 1 failure, 2 usage, 78 configuration. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Throws where an output holds a secret that is not the command's result. */
export async function runCommand(
  command: Command,
  args: readonly string[],
  input = '',
  env: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  const result = await runToEnd(command, args, input, env);
  checkOutput(['registry-token', command.name], result);
  return result;
}

async function runToEnd(
  command: Command,
  args: readonly string[],
  input: string,
  env: Readonly<Record<string, string>>,
): Promise<CommandResult> {
  let stdout = '';
  let stderr = '';
  const context = {
    args,
    env,
    self: ['registry-token'],
    readInput: async () => input,
    openInput: async function* () {
      yield Buffer.from(input);
    },
    printPart: async (text: string) => {
      stdout += text;
      return true;
    },
    print: (text: string) => {
      stdout += text;
    },
    tell: (text: string) => {
      stderr += text;
    },
    isTerminal: false,
    terminalColumns: null,
    isJournal: false,
    createWorker: () => {
      throw new Error('No worker is expected here.');
    },
    processUsage: () => ({ cpuSeconds: 0, residentBytes: 0, startedAt: 0 }),
    stopRequested: new Promise<void>(() => {}),
    onReloadRequested: () => {},
  };
  try {
    const exitCode = await command.run(context);
    return { exitCode, stdout, stderr };
  } catch (cause) {
    if (cause instanceof UsageError) return { exitCode: 2, stdout, stderr: `${stderr}${cause.message}\n` };
    if (cause instanceof CommandFailure)
      return { exitCode: 1, stdout, stderr: `${stderr}${cause.message}\n` };
    if (cause instanceof ConfigurationFault)
      return { exitCode: 78, stdout, stderr: `${stderr}${cause.message}\n` };
    throw cause;
  }
}
