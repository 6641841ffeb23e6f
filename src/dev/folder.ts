/** The folder of a try-out: temporary and removed at the end, or named by the user, kept and used again. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errorCode, explainError } from '../platform/errors.ts';
import { replaceFile } from '../platform/replace-file.ts';

export interface DevFolder {
  /** Absolute. */
  readonly path: string;
  readonly kept: boolean;
  /** Removes the folder unless it is kept. Throws FolderFault. */
  readonly close: () => void;
}

/** Why a folder cannot be used, as a message for the user. */
export class FolderFault extends Error {}

/** Its files, besides those that `keygen` writes. */
export const devFiles = {
  /** Written first; it marks the folder of a try-out. */
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
 * Opens `named`, which must be new, empty or from an earlier try-out, or creates a folder below `temporary`. A new folder
 * is accessible to its owner alone. Throws FolderFault.
 */
export function openDevFolder(named: string | undefined, temporary: string): DevFolder {
  if (named === undefined) {
    const path = mkdtempSync(join(temporary, 'registry-token-dev-'));
    chmodSync(path, 0o700);
    return { path, kept: false, close: () => removeFolder(path) };
  }
  const path = resolve(named);
  if (path.includes(':'))
    throw new FolderFault(
      `${path} has a colon in its name, which skopeo does not accept in a path; choose another name`,
    );
  let names: string[];
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    names = readdirSync(path);
  } catch (cause) {
    throw new FolderFault(
      `cannot use ${path}: ${explainError(cause, 'write')}; choose a folder that you can write to`,
    );
  }
  if (names.length > 0 && !names.includes(devFiles.authorityKey))
    throw new FolderFault(`${path} contains other files; choose a new or empty folder`);
  return { path, kept: true, close: () => {} };
}

function removeFolder(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (cause) {
    throw new FolderFault(`cannot remove ${path}: ${explainError(cause, 'write')}; remove it yourself`);
  }
}

/** Returns the content of a file of the folder, which is created first if it does not exist, for its owner alone. */
export function keepFile({ path }: DevFolder, name: string, make: () => string): string {
  const file = join(path, name);
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT')
      throw new FolderFault(`cannot read ${file}: ${explainError(cause, 'read')}`);
  }
  return writeDevFile({ path }, name, make());
}

/** Writes a file of the folder, for its owner alone, in place of an old one. Returns the text. */
export function writeDevFile({ path }: Pick<DevFolder, 'path'>, name: string, text: string): string {
  const file = join(path, name);
  try {
    replaceFile(file, text);
  } catch (cause) {
    throw new FolderFault(`cannot write ${file}: ${explainError(cause, 'write')}`);
  }
  return text;
}
