/** A lock between processes that the kernel frees when its holder ends, however it ends. */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { openCLibrary } from './c-library.ts';

const POLL_MS = 25;

export class LockTimeout extends Error {}

export interface LockWait {
  readonly maxMs: number;
  /** Resolves after so many milliseconds; may reject to end the wait. */
  readonly pause: (milliseconds: number) => Promise<void>;
}

/**
 * Runs `body` while this process holds the lock `path` (flock(2)): an empty file of mode 0600, which stays. Whoever holds the lock may
 * remove the file. Throws LockTimeout if another holds it for longer than `maxMs`, and the system's error if the file cannot
 * be opened; a symbolic link is not followed.
 */
export async function withFileLock<Result>(
  path: string,
  { maxMs, pause }: LockWait,
  body: () => Result | Promise<Result>,
): Promise<Result> {
  const libc = openCLibrary({ flock: { args: ['i32', 'i32'], returns: 'i32' } });
  const deadline = performance.now() + maxMs;
  try {
    for (;;) {
      const file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
      try {
        if (libc.symbols.flock(file, LOCK_EX_NB) === 0 && isStillAt(path, file)) return await body();
      } finally {
        closeSync(file);
      }
      if (performance.now() >= deadline) throw new LockTimeout(path);
      await pause(POLL_MS);
    }
  } finally {
    libc.close();
  }
}

/** LOCK_EX | LOCK_NB. */
const LOCK_EX_NB = 2 | 4;

/** Not where the last holder removed the file: then the lock on it means nothing to those that come later. */
function isStillAt(path: string, file: number): boolean {
  const [here, ours] = [statSync(path, { throwIfNoEntry: false }), fstatSync(file)];
  return here?.ino === ours.ino && here.dev === ours.dev;
}
