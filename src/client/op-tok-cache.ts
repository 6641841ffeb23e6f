/** OpToks kept for the next call, in memory that the user's session owns: `$XDG_RUNTIME_DIR/registry-token/`. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { replaceFile } from '../platform/replace-file.ts';
import { isAccessToken } from './op-tok.ts';

export interface CachedOpTok {
  readonly accessToken: string;
  /** Epoch seconds. */
  readonly expiresAt: number;
}

export interface OpTokCache {
  /** Null where there is none that is good for another minute. `now` in epoch seconds. */
  readonly find: (key: string, now: number) => CachedOpTok | null;
  /** Whether it could be kept: a cache that cannot be written is no reason to fail. */
  readonly keep: (key: string, opTok: CachedOpTok) => boolean;
  readonly forget: (key: string) => void;
}

/** What is left of an OpTok's life when it is not given out any more. Seconds. */
export const NEAR_EXPIRY_S = 60;

/** Keeps nothing: where the session has no runtime folder. */
export const noOpTokCache: OpTokCache = { find: () => null, keep: () => false, forget: () => {} };

/**
 * Files of 0600 in a folder of 0700 below `runtimeFolder`, the value of XDG_RUNTIME_DIR. What belongs to another
 * user, or others could read or write, is neither read nor written.
 */
export function openOpTokCache(runtimeFolder: string | undefined): OpTokCache {
  // XDG Base Directory: a path that is not absolute is to be ignored.
  if (runtimeFolder === undefined || !isAbsolute(runtimeFolder)) return noOpTokCache;
  const folder = join(runtimeFolder, 'registry-token');
  const pathOf = (key: string) => join(folder, `${createHash('sha256').update(key).digest('hex')}.json`);
  return {
    find: (key, now) => {
      if (!isOwnFolder(folder)) return null;
      const found = readOwn(pathOf(key));
      return found !== null && found.expiresAt - now > NEAR_EXPIRY_S ? found : null;
    },
    keep: (key, { accessToken, expiresAt }) => {
      try {
        mkdirSync(folder, { mode: 0o700 });
      } catch {
        // It is there, or the next line finds that it is not.
      }
      if (!isOwnFolder(folder)) return false;
      try {
        return replaceFile(pathOf(key), JSON.stringify({ accessToken, expiresAt }));
      } catch {
        return false;
      }
    },
    forget: (key) => {
      if (isOwnFolder(folder)) rmSync(pathOf(key), { force: true });
    },
  };
}

function isOwnFolder(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === userInfo().uid && (found.mode & 0o077) === 0;
}

/** Null for anything else than a file that this cache could have written. */
function readOwn(path: string): CachedOpTok | null {
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const found = fstatSync(file);
      if (!found.isFile() || found.uid !== userInfo().uid || (found.mode & 0o077) !== 0) return null;
      const { accessToken, expiresAt } = JSON.parse(readFileSync(file, 'utf8'));
      if (typeof accessToken !== 'string' || !isAccessToken(accessToken)) return null;
      return typeof expiresAt === 'number' ? { accessToken, expiresAt } : null;
    } finally {
      closeSync(file);
    }
  } catch {
    return null;
  }
}
