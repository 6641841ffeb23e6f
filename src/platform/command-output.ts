/** The output of a program of the system, within bounds of time and size. */
import { settleWithin } from './wait.ts';

export interface CommandOutput {
  readonly exitCode: number;
  readonly stdout: string;
}

const MAX_BYTES = 1024 * 1024;

/**
 * Runs a program to its end; one that takes longer than `timeoutMs`, or writes more than 1 MiB, is ended. null where there
 * is no such program. Never rejects.
 */
export async function readCommand(
  words: readonly [string, ...string[]],
  env: Readonly<Record<string, string | undefined>>,
  timeoutMs: number,
): Promise<CommandOutput | null> {
  try {
    const child = Bun.spawn([...words], {
      env: { ...env },
      stdin: 'ignore',
      stderr: 'ignore',
      timeout: timeoutMs,
      maxBuffer: MAX_BYTES,
    });
    const stdout = await settleWithin(timeoutMs, child.stdout.text(), () => '');
    return { exitCode: await settleWithin(timeoutMs, child.exited, () => 1), stdout };
  } catch {
    return null;
  }
}
