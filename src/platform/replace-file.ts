/** Replaces a file whole: a reader sees the old content or the new one, and a failed write leaves the old. */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  fsyncSync,
  lstatSync,
  openSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errorCode } from './errors.ts';

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface ReplaceOptions {
  /** Permission bits of the new file, whatever the umask is; 0600 where not given. */
  readonly mode?: number;
  /** Throws where the file cannot be given to this owner. Not given: the owner of the old file, as far as we may. */
  readonly owner?: FileOwner;
  /** Asked right before the new file takes the place of the old one; false leaves the old one. */
  readonly isStillWanted?: () => boolean;
}

/** As Linux counts them (path_resolution(7)). */
const MAX_LINKS = 40;

/**
 * Writes `content` to a new file beside `path`, to the disk, and renames it there. Returns false where it was no longer
 * wanted. A symbolic link at `path` is replaced, not followed: in a folder that others may write, a link could lead
 * anywhere; see followLinks. Throws the system's error.
 */
export function replaceFile(
  path: string,
  content: string | Uint8Array,
  { mode = 0o600, owner, isStillWanted = () => true }: ReplaceOptions = {},
): boolean {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = openSync(draft, 'wx', 0o600);
    try {
      writeFileSync(file, content);
      if (owner === undefined) keepOwner(path, draft);
      else chownSync(draft, owner.uid, owner.gid);
      chmodSync(draft, mode);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    if (!isStillWanted()) return false;
    renameSync(draft, path);
    syncFolder(dirname(path));
    return true;
  } finally {
    rmSync(draft, { force: true });
  }
}

/**
 * The path that the symbolic links at `path` lead to, whether or not a file is there. For files in the user's own
 * folders, where a link is the user's wish. Throws the system's error, and one for links that never end.
 */
export function followLinks(path: string): string {
  let target = path;
  for (let links = 0; links <= MAX_LINKS; links += 1) {
    try {
      target = resolve(dirname(target), readlinkSync(target));
    } catch (cause) {
      // Not a link, or nothing there: this is the end.
      if (['EINVAL', 'ENOENT'].includes(errorCode(cause))) return target;
      throw cause;
    }
  }
  throw Object.assign(new Error(`${path}: too many symbolic links`), { code: 'ELOOP' });
}

/** A file that root replaces stays its owner's. */
function keepOwner(path: string, draft: string): void {
  const old = lstatSync(path, { throwIfNoEntry: false });
  const { uid, gid } = statSync(draft);
  if (old === undefined || (old.uid === uid && old.gid === gid)) return;
  try {
    chownSync(draft, old.uid, old.gid);
  } catch (cause) {
    // Users who are not root get a file of their own, as with any editor that renames.
    if (errorCode(cause) !== 'EPERM') throw cause;
  }
}

/** A rename or removal in it is on the disk once the folder is. Some file systems cannot do this; nothing is thrown. */
export function syncFolder(folder: string): void {
  try {
    const handle = openSync(folder, 'r');
    try {
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  } catch {
    // A folder that may be written but not read, or a file system without it.
  }
}
