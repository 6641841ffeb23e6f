/** Docker's config.json: puts a registry token where docker, containerd's docker store, crane and oras read it. */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorCode } from '../platform/errors.ts';
import { followLinks, replaceFile } from '../platform/replace-file.ts';
import { ClientFault } from './client-fault.ts';
import { withFileLock } from './file-lock.ts';
import { setJsonMember } from './json-member.ts';

const ATTEMPTS = 50;

/** Throws ClientFault where a token could not be stored in this file, before one is asked for. */
export function checkDockerConfig(path: string, host: string): void {
  merge(read(path), path, host, 'x');
}

/**
 * Sets `auths[host].registrytoken`. Everything else in the file stays as it is, to the character; the file is
 * replaced whole, for its owner alone (0600), and made where there is none. Of writers at the same time none loses
 * anything: ours take turns, and what another program wrote meanwhile is merged. Throws ClientFault, and then the
 * file is as it was.
 */
export async function storeRegistryToken(
  path: string,
  { host, token }: { readonly host: string; readonly token: string },
  pause: (milliseconds: number) => Promise<void>,
  replaceWith: typeof replaceFile = replaceFile,
): Promise<void> {
  makeFolder(path);
  // A link to the file stays a link, also one that leads nowhere yet.
  const target = followLink(path);
  await withFileLock(`${target}.lock`, pause, () => {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const found = read(target);
      const merged = merge(found, path, host, token);
      if (replace(replaceWith, target, merged, () => read(target) === found)) return;
    }
    throw new ClientFault(`${path} is changed by others all the time; nothing was stored in it`);
  });
}

function merge(text: string | null, path: string, host: string, token: string): string {
  const fault = (why: string) => new ClientFault(`${path} ${why}; it is left as it is`);
  if (text === null || text.trim() === '')
    return `${JSON.stringify({ auths: { [host]: { registrytoken: token } } }, null, '\t')}\n`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw fault("is no valid JSON, so it is not docker's configuration as it stands: repair it");
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw fault("holds no JSON object, as docker's configuration is");
  const merged = setJsonMember(text, ['auths', host, 'registrytoken'], token);
  if (merged === null) throw fault(`has something else than an object as auths or as auths["${host}"]`);
  return merged;
}

/** Null where there is no file. */
function read(path: string): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(readFileSync(path));
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return null;
    const why = cause instanceof TypeError ? 'not UTF-8' : errorCode(cause);
    throw new ClientFault(`${path} cannot be read (${why}); it is left as it is`);
  }
}

function replace(
  replaceWith: typeof replaceFile,
  path: string,
  text: string,
  isStillWanted: () => boolean,
): boolean {
  try {
    return replaceWith(path, text, { isStillWanted });
  } catch (cause) {
    if (cause instanceof ClientFault) throw cause;
    throw new ClientFault(`${path} cannot be written (${errorCode(cause)}); it is left as it is`);
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new ClientFault(`the folder of ${path} cannot be made (${errorCode(cause)})`);
  }
}

function followLink(path: string): string {
  try {
    return followLinks(path);
  } catch (cause) {
    throw new ClientFault(`${path} cannot be read (${errorCode(cause)})`);
  }
}
