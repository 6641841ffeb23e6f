/** The OpTok that a stock client is given as a password, and the cache that keeps it for the next call. */
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
import { ClientFault } from './client-fault.ts';
import { type ClientSettings, type ClientSurroundings, openAuthorityClient } from './client-settings.ts';
import { readTextFile } from './files.ts';
import { certificateThumbprint, isAccessToken } from './op-tok.ts';

export interface BoundOpTok {
  readonly accessToken: string;
  /** Epoch seconds; null where the Authority does not say: such an OpTok is not kept. */
  readonly expiresAt: number | null;
}

/** Throws ClientFault where the settings have no certificate, the Authority refuses, or binds to nothing. */
export async function obtainBoundOpTok(
  settings: ClientSettings,
  cache: OpTokCache,
  surroundings: ClientSurroundings,
): Promise<BoundOpTok> {
  const { certificate } = settings;
  if (certificate === null)
    throw new ClientFault(
      'a client that is handed an OpTok as a password shows who it is by a certificate, and there is none: set ' +
        "certPath and keyPath to the client certificate in its certificate folder; with DPoP alone, use 'token'",
    );
  const client = openAuthorityClient(settings, 'certificate', surroundings);
  const text = readTextFile(certificate.certPath, 'the client certificate');
  const key = cacheKey(settings, text);
  const cached: CachedOpTok | null = cache.find(key, surroundings.clock());
  if (cached !== null) return cached;
  const { accessToken, expiresAt } = await client.requestOpTok();
  if (expiresAt !== null) cache.keep(key, { accessToken, expiresAt });
  return { accessToken, expiresAt };
}

/** Removes what is kept for these settings. Throws ClientFault where the certificate cannot be read. */
export function forgetBoundOpTok(settings: ClientSettings, cache: OpTokCache): void {
  const { certificate } = settings;
  if (certificate === null) return;
  cache.forget(cacheKey(settings, readTextFile(certificate.certPath, 'the client certificate')));
}

/** Whatever changes what the Authority would give makes another key: a new certificate above all. */
function cacheKey(settings: ClientSettings, certificate: string): string {
  const { authority, clientId, scope, resources, audience } = settings;
  return JSON.stringify([
    authority,
    clientId,
    scope,
    resources,
    audience,
    certificateThumbprint(certificate),
  ]);
}

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
