/** The files that a configuration names: read, or a mistake at the key that names them. All mistakes are kept. */
import { readFileSync } from 'node:fs';
import type { LoadedConfiguration } from '../config/load.ts';
import type { Mistake } from '../document/mistakes.ts';
import { errorCode } from '../platform/errors.ts';
import { fileState } from './file-state.ts';

/** A million licences of 60 characters, and some. */
const MAX_BYTES = 64 * 1024 * 1024;

export interface FileReaderOptions {
  /** Throws as that of Node does. */
  readonly readFile?: (file: string) => Buffer;
}

export class FileReader {
  readonly #loaded: LoadedConfiguration;
  readonly #readFile: (file: string) => Buffer;
  readonly #contents = new Map<string, Uint8Array>();
  readonly #mistakes: Mistake[] = [];
  readonly #states = new Map<string, string>();

  constructor(loaded: LoadedConfiguration, options: FileReaderOptions = {}) {
    this.#loaded = loaded;
    this.#readFile = options.readFile ?? readFileSync;
  }

  get mistakes(): readonly Mistake[] {
    return this.#mistakes;
  }

  /** Every file that was asked for, absolute, whether or not it could be read; each with its state just before. */
  get states(): ReadonlyMap<string, string> {
    return this.#states;
  }

  /** What was read, in memory that threads can share. */
  get contents(): ReadonlyMap<string, Uint8Array> {
    return this.#contents;
  }

  /** The file that this key names; null where it names none, or one that cannot be read. */
  read(key: string, path: string | undefined): Buffer | null {
    if (path === undefined) return null;
    const file = this.#loaded.resolvePath(path);
    this.#states.set(file, fileState(file));
    try {
      const bytes = this.#readFile(file);
      if (bytes.length > MAX_BYTES) return this.#reportSize(key, file);
      this.#contents.set(file, shareable(bytes));
      return bytes;
    } catch (cause) {
      return this.#reportUnreadable(key, file, cause);
    }
  }

  readText(key: string, path: string | undefined): string | null {
    return this.read(key, path)?.toString('utf8') ?? null;
  }

  /** Keeps a mistake at this key. */
  report(key: string, message: string): void {
    this.#mistakes.push(this.#loaded.mistakeAt(key, message));
  }

  #reportSize(key: string, file: string): null {
    this.report(key, `${file} is larger than ${MAX_BYTES} bytes`);
    return null;
  }

  #reportUnreadable(key: string, file: string, cause: unknown): null {
    const code = errorCode(cause);
    // A password that was written where its path belongs is not shown.
    const shown = key === 'signing.keyPasswordPath' ? 'the file' : file;
    this.report(key, `${shown} cannot be read (${code})`);
    return null;
  }
}

function shareable(bytes: Buffer): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}
