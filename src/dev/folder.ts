/** The folder of a try-out: temporary and removed at the end, or named, kept and used again with the same keys. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errorCode } from '../platform/errors.ts';
import { replaceFile } from '../platform/replace-file.ts';

export interface DevFolder {
  /** Absolute. */
  readonly path: string;
  readonly kept: boolean;
  /** Removes the folder unless it is kept. Throws FolderFault. */
  readonly close: () => void;
}

/** Why a folder cannot be used, in a sentence for the one who named it. */
export class FolderFault extends Error {}

/** What is in it, beside what `keygen` writes. */
export const devFiles = {
  /** Written first, and found in no folder but that of a try-out. */
  authorityKey: 'dev-authority.pem',
  secret: 'client-secret.txt',
  clientKey: 'client-dpop.pem',
  configuration: 'registry-token.yaml',
  registryConfiguration: 'config.yml',
  registryStorage: 'registry',
  image: 'image',
  pulledImage: 'pulled',
} as const;

/**
 * Opens `named`, which must be new, empty or of an earlier try-out, or makes a folder below `temporary`. Only its
 * owner can look into a new one. Throws FolderFault.
 */
export function openDevFolder(named: string | undefined, temporary: string): DevFolder {
  if (named === undefined) {
    const path = mkdtempSync(join(temporary, 'registry-token-dev-'));
    chmodSync(path, 0o700);
    return { path, kept: false, close: () => removeFolder(path) };
  }
  const path = resolve(named);
  if (path.includes(':'))
    throw new FolderFault(`${path} has a colon in its name: skopeo could not find the image in it`);
  let names: string[];
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    names = readdirSync(path);
  } catch (cause) {
    throw new FolderFault(`${path} cannot be used (${errorCode(cause)}); name a folder that you may write`);
  }
  if (names.length > 0 && !names.includes(devFiles.authorityKey))
    throw new FolderFault(`${path} holds other files already; name a new or an empty folder`);
  return { path, kept: true, close: () => {} };
}

function removeFolder(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (cause) {
    throw new FolderFault(`${path} cannot be removed (${errorCode(cause)}); remove it yourself`);
  }
}

/** Returns what a file of the folder holds; where there is none, makes it first, for its owner alone. */
export function keepFile({ path }: DevFolder, name: string, make: () => string): string {
  const file = join(path, name);
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT') throw new FolderFault(`${file} cannot be read (${errorCode(cause)})`);
  }
  return writeDevFile({ path }, name, make());
}

/** Writes a file of the folder, for its owner alone, whatever it held. Returns the text. */
export function writeDevFile({ path }: Pick<DevFolder, 'path'>, name: string, text: string): string {
  const file = join(path, name);
  try {
    replaceFile(file, text);
  } catch (cause) {
    throw new FolderFault(`${file} cannot be written (${errorCode(cause)})`);
  }
  return text;
}
