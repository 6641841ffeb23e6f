/** Processes that keep all cores but one at work, for as long as something is measured on that one. */
import { availableParallelism } from 'node:os';

/** A spinner ends by itself after so long, whatever becomes of the bench. */
const MOST_MS = 10_000;

/** It hashes: some arithmetic, some memory, and garbage, as a server has them. */
const PROGRAM = `
  const { createHash } = require('node:crypto');
  const block = Buffer.alloc(1024, 'a');
  process.stdout.write('busy');
  const end = Date.now() + ${MOST_MS};
  while (Date.now() < end) createHash('sha256').update(block).digest('base64url');
`;

/** Resolves when they are at work; disposed of, they have ended. */
export async function keepOtherCoresBusy(count = availableParallelism() - 1): Promise<AsyncDisposable> {
  const children = Array.from({ length: count }, () =>
    Bun.spawn([process.execPath, '-e', PROGRAM], { stdin: 'ignore', stdout: 'pipe', stderr: 'ignore' }),
  );
  await Promise.all(children.map(({ stdout }) => stdout.getReader().read()));
  return {
    [Symbol.asyncDispose]: async () => {
      for (const child of children) child.kill('SIGKILL');
      await Promise.all(children.map(({ exited }) => exited));
    },
  };
}
