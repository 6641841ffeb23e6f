/** The folder that `keygen` writes: how its files are called, and how they are written. */
import { randomBytes } from 'node:crypto';
import { chownSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Writes a file that must not exist yet. Throws CommandFailure. */
export function writeNew(path: string, text: string, mode: number, owner: Owner | null = null): void {
  attempt(`write ${path}`, () => {
    writeFileSync(path, text, { flag: 'wx', mode });
    try {
      if (owner !== null) chownSync(path, owner.uid, owner.gid);
    } catch (cause) {
      rmSync(path, { force: true });
      throw cause;
    }
  });
}

/**
 * Puts a complete new file in the place of the old one, so that neither the old file's mode nor half a file is ever
 * seen. Throws CommandFailure.
 */
export function replaceFile(path: string, text: string, mode: number, owner: Owner | null = null): void {
  const fresh = `${path}.${randomBytes(6).toString('hex')}`;
  attempt(`write ${path}`, () => {
    try {
      writeFileSync(fresh, text, { flag: 'wx', mode });
      if (owner !== null) chownSync(fresh, owner.uid, owner.gid);
      renameSync(fresh, path);
    } catch (cause) {
      rmSync(fresh, { force: true });
      throw cause;
    }
  });
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
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown fault';
    throw new CommandFailure(`cannot ${what} (${code})`);
  }
}

/** A path as YAML has it: in double quotes, as JSON, where a plain one could be misread. */
export function yamlText(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : JSON.stringify(path);
}
