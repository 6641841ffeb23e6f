/** Replaces a file whole: whoever reads it sees the old text or the new one, and a failed write leaves the old. */
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { codeOf } from './read-file.ts';

/**
 * Writes `text` beside `path` for its owner alone (0600) and renames it there. `isStillWanted` is asked right before
 * the renaming; false leaves the old file, and is returned. Throws the system's error.
 */
export function replaceFile(path: string, text: string, isStillWanted: () => boolean = () => true): boolean {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = openSync(draft, 'wx', 0o600);
    try {
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    keepOwner(path, draft);
    if (!isStillWanted()) return false;
    renameSync(draft, path);
    return true;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** A file that root replaces stays its owner's. */
function keepOwner(path: string, draft: string): void {
  const old = statSync(path, { throwIfNoEntry: false });
  const { uid, gid } = statSync(draft);
  if (old === undefined || (old.uid === uid && old.gid === gid)) return;
  try {
    chownSync(draft, old.uid, old.gid);
  } catch (cause) {
    // Who is not root keeps what he writes, as with any editor that renames.
    if (codeOf(cause) !== 'EPERM') throw cause;
  }
}
