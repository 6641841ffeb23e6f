/** Docker's config.json: stores a registry token where docker, the containerd image store of docker, crane and oras read it. */
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorCode, explainError } from '../platform/errors.ts';
import { followLinks, replaceFile } from '../platform/replace-file.ts';
import { ClientFault } from './client-fault.ts';
import { withLock } from './files.ts';

const ATTEMPTS = 50;
/** A lock is held for milliseconds. */
const LOCK_MS = 20_000;

/** Throws ClientFault if a token could not be stored in this file; called before one is requested. */
export function checkDockerConfig(path: string, host: string): void {
  merge(read(path), path, host, 'x');
}

/**
 * Sets `auths[host].registrytoken` and writes the whole file again, indented with tabs, as docker does at each login. The file
 * keeps its mode and owner, and a symbolic link its target; a new file is readable by its owner alone. Concurrent
 * writers lose nothing: ours take turns, and what another program wrote in between is merged. Throws ClientFault; the
 * file is then unchanged.
 */
export async function storeRegistryToken(
  path: string,
  { host, token }: { readonly host: string; readonly token: string },
  pause: (milliseconds: number) => Promise<void>,
  replaceWith: typeof replaceFile = replaceFile,
): Promise<void> {
  const target = followLink(path);
  makeFolder(target);
  await withLock(`${target}.lock`, { maxMs: LOCK_MS, pause }, () => {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const found = read(target);
      const merged = merge(found, path, host, token);
      if (replace(replaceWith, target, merged, () => read(target) === found)) return;
    }
    throw new ClientFault(`${path} is constantly being changed by other programs; nothing was stored in it`);
  });
}

function merge(text: string | null, path: string, host: string, token: string): string {
  const fault = (why: string) => new ClientFault(`${path} ${why}; the file is unchanged`);
  let config: unknown;
  try {
    config = text === null || text.trim() === '' ? {} : JSON.parse(text);
  } catch {
    throw fault('is not valid JSON; repair it');
  }
  if (!isObject(config)) throw fault('is not a JSON object');
  const auths = config.auths ?? {};
  if (!isObject(auths)) throw fault('has a value for auths that is not an object');
  const entry = auths[host] ?? {};
  if (!isObject(entry)) throw fault(`has a value for auths["${host}"] that is not an object`);
  const merged = { ...config, auths: { ...auths, [host]: { ...entry, registrytoken: token } } };
  return `${JSON.stringify(merged, null, '\t')}\n`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** null if there is no file. */
function read(path: string): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(readFileSync(path));
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return null;
    const why = cause instanceof TypeError ? 'it is not UTF-8' : explainError(cause, 'read');
    throw new ClientFault(`cannot read ${path}: ${why}; the file is unchanged`);
  }
}

function replace(
  replaceWith: typeof replaceFile,
  path: string,
  text: string,
  isStillWanted: () => boolean,
): boolean {
  try {
    const old = statSync(path, { throwIfNoEntry: false });
    const mode = old === undefined ? 0o600 : old.mode & 0o777;
    return replaceWith(path, text, { mode, isStillWanted });
  } catch (cause) {
    if (cause instanceof ClientFault) throw cause;
    throw new ClientFault(`cannot write ${path}: ${explainError(cause, 'write')}; the file is unchanged`);
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new ClientFault(`cannot create the folder of ${path}: ${explainError(cause, 'write')}`);
  }
}

function followLink(path: string): string {
  try {
    return followLinks(path);
  } catch (cause) {
    throw new ClientFault(`cannot read ${path}: ${explainError(cause, 'read')}`);
  }
}
