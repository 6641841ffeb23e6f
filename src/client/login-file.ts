/**
 * What `login` keeps: the refresh token, and what it is bound to. Every change is made under a lock and replaces the file whole, so
 * that two processes never use one refresh token twice, and a reader never sees half of a file.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { dirname } from 'node:path';
import { errorCode, explainError } from '../platform/errors.ts';
import { excerpt } from '../platform/escape.ts';
import { replaceFile } from '../platform/replace-file.ts';
import { ClientFault, type JsonObject } from './client-fault.ts';
import { withLock } from './files.ts';
import { isRefreshToken } from './op-tok.ts';

export interface Login {
  /** The issuer. */
  readonly authority: string;
  readonly clientId: string;
  /** What the tokens are bound to, as their `cnf` names it. */
  readonly binding: { readonly jkt: string } | { readonly 'x5t#S256': string };
  readonly refreshToken: string;
}

const MAX_BYTES = 256 * 1024;
/** The holder may wait for a slow Authority: two exchanges of 15 s, one of them with a nonce. */
const LOCK_MS = 60_000;

/** null if there is none. Throws ClientFault for a file that is not this user's own, or that others could have read. */
export function readLogin(path: string): Login | null {
  const fault = (why: string) => new ClientFault(`cannot use the login in ${path}: ${why}`);
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return null;
    throw fault(errorCode(cause) === 'ELOOP' ? 'it is a symbolic link' : explainError(cause, 'read'));
  }
  try {
    const { uid, mode, size, isFile } = describe(file);
    if (!isFile) throw fault('it is not a regular file');
    if (uid !== userInfo().uid)
      throw fault(`it belongs to the user ${uid}, who is not the one running this program`);
    if ((mode & 0o077) !== 0)
      throw fault(
        `other users can read it (mode ${(mode & 0o777).toString(8)}); run registry-token login again, or chmod 600 it`,
      );
    if (size > MAX_BYTES) throw fault(`it has more than ${MAX_BYTES} bytes`);
    const login = parseLogin(readFileSync(file, 'utf8'));
    if (login === null) throw fault('it is not a file that login wrote; run registry-token login again');
    return login;
  } finally {
    closeSync(file);
  }
}

function describe(file: number) {
  const found = fstatSync(file);
  return { uid: found.uid, mode: found.mode, size: found.size, isFile: found.isFile() };
}

function parseLogin(text: string): Login | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { authority, clientId, binding, refreshToken } = value as JsonObject;
  const bound = parseBinding(binding);
  if (typeof authority !== 'string' || typeof clientId !== 'string') return null;
  return bound !== null && isRefreshToken(refreshToken)
    ? { authority, clientId, binding: bound, refreshToken }
    : null;
}

function parseBinding(value: unknown): Login['binding'] | null {
  const { jkt, 'x5t#S256': thumbprint } = (value ?? {}) as JsonObject;
  if (typeof jkt === 'string') return { jkt };
  return typeof thumbprint === 'string' ? { 'x5t#S256': thumbprint } : null;
}

/** Creates its folder (0700). Throws ClientFault if a login could not be written there. */
export function prepareLoginFile(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new ClientFault(`cannot create the folder ${dirname(path)}: ${explainError(cause, 'write')}`);
  }
  const folder = statSync(dirname(path));
  if (folder.uid !== userInfo().uid && folder.uid !== 0)
    throw new ClientFault(
      `the folder ${dirname(path)} belongs to the user ${folder.uid}, who could replace the login; use a folder of this user`,
    );
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && (!found.isFile() || found.uid !== userInfo().uid))
    throw new ClientFault(
      `${path} is not a regular file of this user, so the login is not written there; remove it, or name another DPoP key`,
    );
}

/** Throws ClientFault; the former login is then still there. */
export function writeLogin(path: string, login: Login): void {
  try {
    replaceFile(path, `${JSON.stringify(login)}\n`);
  } catch (cause) {
    throw new ClientFault(`cannot write the login to ${path}: ${explainError(cause, 'write')}`);
  }
}

export function removeLogin(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (cause) {
    throw new ClientFault(`cannot remove the login ${path}: ${explainError(cause, 'write')}`);
  }
}

/** Throws ClientFault if another process holds the lock for too long. */
export function withLoginLock<Result>(
  path: string,
  pause: (milliseconds: number) => Promise<void>,
  body: () => Result | Promise<Result>,
): Promise<Result> {
  return withLock(`${path}.lock`, { maxMs: LOCK_MS, pause }, body);
}

/** Throws ClientFault if the login is for another client, or none at all. */
export function checkLogin(
  login: Login | null,
  { authority, clientId }: Pick<Login, 'authority' | 'clientId'>,
  path: string,
): Login {
  if (login === null)
    throw new ClientFault('nobody is logged in; run registry-token login, for the same profile');
  if (login.authority !== authority || login.clientId !== clientId)
    throw new ClientFault(
      `the login in ${path} is for the client ${excerpt(login.clientId, 80)} of ${excerpt(login.authority)}; ` +
        'run registry-token login for this profile, and name another dpopKeyPath if both are in use',
    );
  return login;
}
