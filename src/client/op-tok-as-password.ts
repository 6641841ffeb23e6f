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
import { excerpt } from '../platform/escape.ts';
import { replaceFile } from '../platform/replace-file.ts';
import type { AuthorityClient } from './authority-client.ts';
import { requestChallenge } from './challenge.ts';
import { ClientFault } from './client-fault.ts';
import { type ClientDependencies, type ClientSettings, openClient } from './client-settings.ts';
import { readTextFile } from './files.ts';
import type { HttpOptions } from './http.ts';
import { certificateThumbprint, isAccessToken } from './op-tok.ts';

export interface PasswordOpTok {
  readonly accessToken: string;
  /** Epoch seconds; null if unknown: such an OpTok is not kept. */
  readonly expiresAt: number | null;
}

/** The registry that the password is for, and the realm that the user has named for it; null for none. */
export interface PasswordUse {
  readonly registry: string;
  readonly realm: string | null;
}

/** Throws ClientFault if the settings do not allow it, the Authority refuses, or the OpTok is not bound as it should be. */
export async function obtainOpTokAsPassword(
  settings: ClientSettings,
  use: PasswordUse,
  cache: OpTokCache,
  dependencies: ClientDependencies,
): Promise<PasswordOpTok> {
  const { certificate, source } = settings;
  if (!isFromAuthority(source)) return findGiven(settings, use, dependencies);
  if (certificate === null)
    throw new ClientFault(
      'a stock client needs an OpTok that is bound to its certificate, and the profile has none: set certPath and keyPath to ' +
        "the client certificate in its certificate folder; with DPoP alone, use 'agent' or 'token'",
    );
  const client = openClient(settings, 'stock client', dependencies);
  const key = cacheKey(source, readTextFile(certificate.certPath, 'the client certificate'));
  const askedAt = dependencies.clock();
  const cached = cache.find(key, askedAt);
  if (cached !== null) return cached;
  const { accessToken, expiresAt } = await client.requestOpTok();
  if (expiresAt !== null) cache.keep(key, { accessToken, expiresAt, lifetime: expiresAt - askedAt });
  return { accessToken, expiresAt };
}

/** Removes what is kept for these settings. Throws ClientFault if the certificate cannot be read. */
export function forgetOpTokAsPassword({ certificate, source }: ClientSettings, cache: OpTokCache): void {
  if (certificate === null || !isFromAuthority(source)) return;
  cache.forget(cacheKey(source, readTextFile(certificate.certPath, 'the client certificate')));
}

/** Not cached: whatever writes the OpTok decides when it changes. */
async function findGiven(
  settings: ClientSettings,
  { registry, realm }: PasswordUse,
  dependencies: ClientDependencies,
): Promise<PasswordOpTok> {
  const { parts, requestOpTok } = openClient(settings, 'stock client', dependencies);
  const { accessToken, expiresAt, dpopKey, isBearer } = await requestOpTok();
  if (dpopKey !== null)
    throw new ClientFault(
      "the OpTok is bound to a DPoP key, and only this program can make proofs: use 'agent' or 'token'",
    );
  if (isBearer) await checkRealmOf(registry, realm, parts.http);
  return { accessToken, expiresAt };
}

/** The client that gets the password sends it to whichever realm the registry names, so the registry is asked first. */
async function checkRealmOf(registry: string, realm: string | null, http: HttpOptions): Promise<void> {
  if (realm === null)
    throw new ClientFault(
      'the OpTok is a bearer token, which is handed out only for the realm that the profile names: set realm in the profile',
    );
  const challenge = await requestChallenge(registry, http);
  if (challenge.realm !== realm)
    throw new ClientFault(
      `${excerpt(registry)} names the realm ${excerpt(challenge.realm)}, and the profile ${excerpt(realm)}; ` +
        'the bearer token is not handed out',
    );
}

type AuthoritySettings = Extract<ClientSettings['source'], AuthorityClient>;

function isFromAuthority(source: ClientSettings['source']): source is AuthoritySettings {
  return source.kind === 'authority' || source.kind === 'login';
}

/** Everything that changes what the Authority would issue is part of the key, a new certificate above all. */
function cacheKey(source: AuthoritySettings, certificate: string): string {
  const { kind, authority, clientId, scope, resources, audience } = source;
  const thumbprint = certificateThumbprint(certificate);
  return JSON.stringify([kind, authority, clientId, scope, resources, audience, thumbprint]);
}

export interface CachedOpTok {
  readonly accessToken: string;
  /** Epoch seconds. */
  readonly expiresAt: number;
  /** Of the new OpTok, in seconds. */
  readonly lifetime: number;
}

export interface OpTokCache {
  /**
   * null if there is none with half of its life left: the client fetches registry tokens with it for as long as a push
   * takes. `now` in epoch seconds.
   */
  readonly find: (key: string, now: number) => CachedOpTok | null;
  /** Whether it could be kept; a cache that cannot be written is not a reason to fail. */
  readonly keep: (key: string, opTok: CachedOpTok) => boolean;
  readonly forget: (key: string) => void;
}

/** Keeps nothing: for sessions without a runtime folder. */
export const noOpTokCache: OpTokCache = { find: () => null, keep: () => false, forget: () => {} };

/**
 * Files of mode 0600 in a folder of mode 0700 below `runtimeFolder`, the value of XDG_RUNTIME_DIR. Files that belong to another
 * user, or that others could read or write, are neither read nor written.
 */
export function openOpTokCache(runtimeFolder: string | undefined): OpTokCache {
  // XDG Base Directory: a path that is not absolute must be ignored.
  if (runtimeFolder === undefined || !isAbsolute(runtimeFolder)) return noOpTokCache;
  const folder = join(runtimeFolder, 'registry-token');
  const pathOf = (key: string) => join(folder, `${createHash('sha256').update(key).digest('hex')}.json`);
  return {
    find: (key, now) => {
      if (!isOwnFolder(folder)) return null;
      const found = readOwn(pathOf(key));
      return found !== null && found.expiresAt - now >= found.lifetime / 2 ? found : null;
    },
    keep: (key, opTok) => {
      try {
        mkdirSync(folder, { mode: 0o700 });
      } catch {
        // It exists already, or the next line notices that it does not.
      }
      if (!isOwnFolder(folder)) return false;
      try {
        return replaceFile(pathOf(key), JSON.stringify(opTok));
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

/** null for anything but a file that this cache could have written. */
function readOwn(path: string): CachedOpTok | null {
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const found = fstatSync(file);
      if (!found.isFile() || found.uid !== userInfo().uid || (found.mode & 0o077) !== 0) return null;
      const { accessToken, expiresAt, lifetime } = JSON.parse(readFileSync(file, 'utf8'));
      if (typeof accessToken !== 'string' || !isAccessToken(accessToken)) return null;
      if (typeof expiresAt !== 'number' || typeof lifetime !== 'number') return null;
      return { accessToken, expiresAt, lifetime };
    } finally {
      closeSync(file);
    }
  } catch {
    return null;
  }
}
