/** A lock between processes that the kernel frees when its holder ends, however it ends. */
import { closeSync, constants, fstatSync, openSync, rmSync, statSync } from 'node:fs';
import { openCLibrary } from './c-library.ts';

const POLL_MS = 25;

/** Why there is no lock: the system's error, or another process that holds it (`cause` is null). */
export class FileLockFault extends Error {
  override readonly cause: Error | null;

  constructor(path: string, cause: Error | null) {
    super(`no lock on ${path}`);
    this.cause = cause;
  }
}

export interface LockWait {
  readonly maxMs: number;
  /** Resolves after so many milliseconds; may reject to end the wait. */
  readonly pause: (milliseconds: number) => Promise<void>;
}

/**
 * Runs `body` while this process holds the lock `path` (flock(2)), an empty file of mode 0600 that is there as long. A symbolic link
 * is not followed. Throws FileLockFault if another process holds it for longer than `maxMs`, or if the file cannot be opened.
 */
export async function withFileLock<Result>(
  path: string,
  { maxMs, pause }: LockWait,
  body: () => Result | Promise<Result>,
): Promise<Result> {
  const libc = openCLibrary({ flock: { args: ['i32', 'i32'], returns: 'i32' } });
  try {
    for (let waited = 0; ; waited += POLL_MS) {
      const file = open(path);
      try {
        if (libc.symbols.flock(file, LOCK_EX_NB) === 0 && isStillAt(path, file)) {
          try {
            return await body();
          } finally {
            if (isStillAt(path, file)) rmSync(path, { force: true });
          }
        }
      } finally {
        closeSync(file);
      }
      if (waited >= maxMs) throw new FileLockFault(path, null);
      await pause(POLL_MS);
    }
  } finally {
    libc.close();
  }
}

function open(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (cause) {
    throw new FileLockFault(path, cause as Error);
  }
}

/** LOCK_EX | LOCK_NB. */
const LOCK_EX_NB = 2 | 4;

/** Not where the last holder has removed the file: then a lock on it means nothing to those that come later. */
function isStillAt(path: string, file: number): boolean {
  const [here, ours] = [statSync(path, { throwIfNoEntry: false }), fstatSync(file)];
  return here?.ino === ours.ino && here.dev === ours.dev;
}
