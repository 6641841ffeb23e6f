/** One writer at a time: a lock file that is made where none is, and removed by who made it. */
import { randomBytes } from 'node:crypto';
import { closeSync, linkSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { errorCode } from '../platform/errors.ts';
import { ClientFault } from './client-fault.ts';

/** A lock is held for milliseconds; one that is this old was left behind by a process that was killed. */
const STALE_MS = 10_000;
const WAIT_MS = 20_000;
const POLL_MS = 25;

/** Runs `body` while it holds the lock `path`. Throws ClientFault where others hold it all the time. */
export async function withFileLock<Result>(
  path: string,
  pause: (milliseconds: number) => Promise<void>,
  body: () => Result,
): Promise<Result> {
  for (let waited = 0; !take(path); waited += POLL_MS) {
    if (waited >= WAIT_MS)
      throw new ClientFault(`${path} is held by others for ${WAIT_MS / 1000} s and more`);
    removeStale(path);
    await pause(POLL_MS);
  }
  try {
    return body();
  } finally {
    rmSync(path, { force: true });
  }
}

function take(path: string): boolean {
  try {
    closeSync(openSync(path, 'wx', 0o600));
    return true;
  } catch (cause) {
    if (errorCode(cause) === 'EEXIST') return false;
    throw new ClientFault(`the lock ${path} cannot be made (${errorCode(cause)})`);
  }
}

/** Two may find the same lock stale: each moves it aside, and puts it back where it has become another's meanwhile. */
function removeStale(path: string): void {
  if (!isStale(path)) return;
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    renameSync(path, aside);
    if (!isStale(aside)) linkSync(aside, path);
  } catch (cause) {
    if (!['ENOENT', 'EEXIST'].includes(errorCode(cause)))
      throw new ClientFault(`${path}: ${errorCode(cause)}`);
  } finally {
    rmSync(aside, { force: true });
  }
}

function isStale(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found !== undefined && Date.now() - found.mtimeMs > STALE_MS;
}
