/**
 * The files that a configuration names: read once for all threads, with a mistake at the key that names one that cannot
 * be; watched for changes, and read again only when nobody writes to them any more.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { LoadedConfiguration, ReadFile } from '../config/load.ts';
import { ConfigurationFault, type Mistake } from '../document/mistakes.ts';
import { decodeText } from '../document/text.ts';
import { errorCode, explainError } from '../platform/errors.ts';

/** A million licences of 60 characters, and some. */
const MAX_BYTES = 64 * 1024 * 1024;
/** How often files are looked at for changes. */
const LOOK_MS = 1000;
/** A file that has not changed for so long is taken to be whole. */
const STABLE_MS = 250;
const STABLE_LOOK_MS = 50;
/** A reload waits no longer than this for files that keep changing. */
export const MOST_WAIT_MS = 2000;

/** One reading of files: their bytes, and their states just before. */
export class FileSnapshot {
  readonly #readFile: ReadFile;
  readonly #contents = new Map<string, Uint8Array>();
  readonly #states = new Map<string, string>();

  constructor(readFile: ReadFile = readBounded) {
    this.#readFile = readFile;
  }

  /** One of bytes that were read before, by absolute path. */
  static of(contents: ReadonlyMap<string, Uint8Array>): FileSnapshot {
    return new FileSnapshot((file) => {
      const bytes = contents.get(file);
      if (bytes === undefined) throw Object.assign(new Error('not in the snapshot'), { code: 'ENOENT' });
      return asBuffer(bytes);
    });
  }

  /** A further reading: what `snapshot` has read is not read again. */
  static over(snapshot: FileSnapshot): FileSnapshot {
    return new FileSnapshot((file) => asBuffer(snapshot.contents.get(file)) ?? snapshot.read(file));
  }

  /** Every file that was asked for, absolute, whether or not it could be read. */
  get states(): ReadonlyMap<string, string> {
    return this.#states;
  }

  /** What was read, in memory that threads can share. */
  get contents(): ReadonlyMap<string, Uint8Array> {
    return this.#contents;
  }

  /** Reads a file, absolute. Throws as Node does. */
  readonly read = (file: string): Buffer => {
    this.#states.set(file, fileState(file));
    const bytes = this.#readFile(file);
    this.#contents.set(file, shareable(bytes));
    return bytes;
  };

  /** Whether every file is still as it was when it was read. */
  get isCurrent(): boolean {
    return changesOf(this.#states) === '';
  }
}

class TooLarge extends Error {
  readonly size: number;

  constructor(size: number) {
    super();
    this.size = size;
  }
}

/** A file of at least so many bytes is read straight into memory that threads can share: a copy would take as long again. */
const LARGE_BYTES = 256 * 1024;

/** Reading one waits for whoever writes to it. */
class NamedPipe extends Error {}

/** A file that is too large is not read: it could take all the memory that there is. */
function readBounded(path: string): Buffer {
  // Without O_NONBLOCK a named pipe that nobody writes to would hold up everything.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = fstatSync(file);
    if (status.isFIFO()) throw new NamedPipe();
    const { size } = status;
    if (size > MAX_BYTES) throw new TooLarge(size);
    if (size < LARGE_BYTES) return readFileSync(file);
    const bytes = Buffer.from(new SharedArrayBuffer(size));
    let length = 0;
    for (let read = 1; read > 0 && length < size; length += read)
      read = readSync(file, bytes, length, size - length, null);
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

function asBuffer(bytes: Uint8Array): Buffer;
function asBuffer(bytes: Uint8Array | undefined): Buffer | undefined;
function asBuffer(bytes: Uint8Array | undefined): Buffer | undefined {
  return bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function isBlank(bytes: Buffer): boolean {
  return bytes.length < 16 && bytes.toString('latin1').trim() === '';
}

/** Reads the files that a configuration names, and keeps every mistake. */
export class FileReader {
  readonly loaded: LoadedConfiguration;
  readonly #snapshot: FileSnapshot;
  readonly #mistakes: Mistake[] = [];

  constructor(loaded: LoadedConfiguration, snapshot = new FileSnapshot()) {
    this.loaded = loaded;
    this.#snapshot = snapshot;
  }

  get mistakes(): readonly Mistake[] {
    return this.#mistakes;
  }

  get snapshot(): FileSnapshot {
    return this.#snapshot;
  }

  /**
   * The file that this key names; null where it names none, or one that cannot be read. `missing` is the message of a
   * file that is not there or empty, where the general one does not help.
   */
  read(key: string, path: string | undefined, missing?: (file: string) => string): Buffer | null {
    if (path === undefined) return null;
    const file = this.loaded.resolvePath(path);
    // A password that was written where its path belongs is not shown.
    const shown = key.endsWith('asswordPath') ? 'the file' : file;
    try {
      const bytes = this.#snapshot.read(file);
      if (missing !== undefined && isBlank(bytes)) this.report(key, `${shown} is empty; ${missing(file)}`);
      else return bytes;
    } catch (cause) {
      if (cause instanceof TooLarge)
        this.report(key, `${shown} has ${cause.size} bytes; at most ${MAX_BYTES} are read`);
      else if (cause instanceof NamedPipe) this.report(key, `${shown} is a named pipe; name a regular file`);
      else if (errorCode(cause) === 'ENOENT' && missing !== undefined)
        this.report(key, `${shown} does not exist; ${missing(file)}`);
      else this.report(key, `${shown} cannot be read: ${explainError(cause, 'read')}`);
    }
    return null;
  }

  /** The same as text: UTF-8, without a byte order mark. */
  readText(key: string, path: string | undefined): string | null {
    const bytes = this.read(key, path);
    if (bytes === null || path === undefined) return null;
    try {
      return decodeText(bytes, this.loaded.resolvePath(path));
    } catch (cause) {
      if (!(cause instanceof ConfigurationFault)) throw cause;
      this.#mistakes.push(...cause.mistakes.map((mistake) => ({ ...mistake, key })));
      return null;
    }
  }

  /** Keeps a mistake at this key. */
  report(key: string, message: string): void {
    this.#mistakes.push(this.loaded.mistakeAt(key, message));
  }

  reportAll(mistakes: readonly Mistake[]): void {
    this.#mistakes.push(...mistakes);
  }

  /** Keeps a mistake at a place inside the file that this key names. */
  reportInside(
    key: string,
    path: string,
    { line, column, message }: Pick<Mistake, 'line' | 'column' | 'message'>,
  ): void {
    this.#mistakes.push({ source: this.loaded.resolvePath(path), line, column, key, message });
  }
}

function shareable(bytes: Buffer): Uint8Array {
  if ((bytes.buffer as ArrayBufferLike) instanceof SharedArrayBuffer) return bytes;
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

/**
 * Resolves when none of these files has changed for a quarter of a second, or when the time is up: `until` by
 * `performance.now()`.
 */
export async function untilStable(files: Iterable<string>, until: number): Promise<void> {
  const paths = [...files];
  const look = () => paths.map(fileState).join('\n');
  let seen = look();
  let since = performance.now();
  while (performance.now() < until && performance.now() - since < STABLE_MS) {
    await wait(STABLE_LOOK_MS);
    const now = look();
    if (now === seen) continue;
    seen = now;
    since = performance.now();
  }
}

/** Device, inode, size and times of a file, through symbolic links; or why they cannot be read. */
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
