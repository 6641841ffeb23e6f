/** The folder that `keygen` writes: how its files are called, and how they are written. */
import { chownSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode } from '../platform/errors.ts';
import { type FileOwner, replaceFile } from '../platform/replace-file.ts';
import { CommandFailure } from './command.ts';

export interface KeyFiles {
  /** The private key, PKCS#8. */
  readonly key: string;
  readonly certificate: string;
}

export interface KeyFolder {
  readonly directory: string;
  /** What the service signs with. */
  readonly current: KeyFiles;
  /** During a rotation: what it will sign with, and what it signed with. */
  readonly next: KeyFiles;
  readonly last: KeyFiles;
  /** The certificates that registries must trust, from the first rotation on. */
  readonly bundle: string;
  readonly jwks: string;
}

export function keyFolderAt(directory: string): KeyFolder {
  const files = (name: string) => ({
    key: join(directory, `${name}.pem`),
    certificate: join(directory, `${name}.crt`),
  });
  return {
    directory,
    current: files('registry-signing'),
    next: files('registry-signing-next'),
    last: files('registry-signing-last'),
    bundle: join(directory, 'registry-signing-bundle.crt'),
    jwks: join(directory, 'registry-jwks.json'),
  };
}

/** A link that leads nowhere is there too. */
export function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

export function makeDirectory(directory: string): void {
  attempt(`make the directory ${directory}`, () => mkdirSync(directory, { recursive: true }));
}

/** Writes a file that must not exist yet. Throws CommandFailure. */
export function writeNew(path: string, text: string, mode: number, owner?: FileOwner): void {
  attempt(`write ${path}`, () => {
    writeFileSync(path, text, { flag: 'wx', mode });
    try {
      if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
    } catch (cause) {
      rmSync(path, { force: true });
      throw cause;
    }
  });
}

/** Puts a complete new file in the place of the old one. Throws CommandFailure. */
export function replaceKeyFile(path: string, text: string, mode: number, owner?: FileOwner): void {
  attempt(`write ${path}`, () =>
    replaceFile(path, text, { mode, ...(owner === undefined ? {} : { owner }) }),
  );
}

export function readKeyFile(path: string): string {
  return attempt(`read ${path}`, () => readFileSync(path, 'utf8'));
}

export function moveFile(from: string, to: string): void {
  attempt(`rename ${from} to ${to}`, () => renameSync(from, to));
}

export function removeFile(path: string): void {
  attempt(`remove ${path}`, () => rmSync(path, { force: true }));
}

function attempt<Value>(what: string, act: () => Value): Value {
  try {
    return act();
  } catch (cause) {
    const code = errorCode(cause);
    throw new CommandFailure(`cannot ${what} (${code})`);
  }
}
