/** The files that a configuration names: read, with a mistake at the key that names one that cannot be; and watched for changes. */
import { readFileSync, statSync } from 'node:fs';
import type { LoadedConfiguration } from '../config/load.ts';
import type { Mistake } from '../document/mistakes.ts';
import { errorCode } from '../platform/errors.ts';

/** A million licences of 60 characters, and some. */
const MAX_BYTES = 64 * 1024 * 1024;
/** How often files are looked at for changes. */
const LOOK_MS = 1000;

export interface FileReaderOptions {
  /** Throws as that of Node does. */
  readonly readFile?: (file: string) => Buffer;
}

/** Reads files and keeps their bytes, their states and every mistake. */
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
    const shown = key.endsWith('asswordPath') ? 'the file' : file;
    this.report(key, `${shown} cannot be read (${code})`);
    return null;
  }
}

function shareable(bytes: Buffer): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

/** Device, inode, size and times of a file, through symbolic links; or why they cannot be had. */
export function fileState(path: string): string {
  try {
    const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true });
    return `${dev} ${ino} ${size} ${mtimeNs}`;
  } catch (cause) {
    return errorCode(cause);
  }
}

/**
 * Calls `onChange` once files differ from the states that `files` has for them and then stayed the same from one look
 * to the next, so that nothing half-written is read. Looking, rather than being told, sees renames, symbolic links
 * that are swapped (Kubernetes) and network file systems alike. Returns a function that ends it.
 */
export function watchFiles(files: () => ReadonlyMap<string, string>, onChange: () => void): () => void {
  let last = '';
  const timer = setInterval(() => {
    const seen = changesOf(files());
    const settled = seen !== '' && seen === last;
    last = settled ? '' : seen;
    if (settled) onChange();
  }, LOOK_MS);
  return () => clearInterval(timer);
}

/** The files that are not as they were read, and what they are now; empty where there is none. */
function changesOf(files: ReadonlyMap<string, string>): string {
  return [...files]
    .map(([path, read]) => ({ path, read, now: fileState(path) }))
    .filter(({ read, now }) => now !== read)
    .map(({ path, now }) => `${path} ${now}`)
    .join('\n');
}
