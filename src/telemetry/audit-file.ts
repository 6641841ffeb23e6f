/**
 * The file of decisions (`logging.auditPath`). One thread appends to it, and no request waits for it. What the disk does not
 * accept at once is kept in memory up to a limit; beyond it lines are dropped and counted. sonic-boom cannot
 * be used: if the disk fills up in the middle of a line and the file is then renamed, it writes half a line to each file.
 */
import { closeSync, constants, openSync, type Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { explainError } from '../platform/errors.ts';
import { waitAtMost } from '../platform/wait.ts';
import type { Log } from './log.ts';

export interface AuditFileOptions {
  /** Absolute. */
  readonly path: string;
  readonly log: Log;
  /** Characters kept in memory at most; default 8 Mi. */
  readonly maxWaiting?: number;
  /** Milliseconds between attempts after a failed one; default 1000. */
  readonly retryMs?: number;
}

const MAX_WAITING = 8 * 1024 * 1024;
const RETRY_MS = 1000;
/** How often it is checked whether the file was renamed or removed, in milliseconds. */
const LOOK_MS = 1000;
/** How long closing may take, in milliseconds: the disk may hang. */
const CLOSE_MS = 2000;
/** Its owner, and the group that a setgid folder gives it; the umask may take the group away. */
const MODE = 0o640;

/**
 * Throws an Error with a `code` if the file cannot be appended to. It must not be a pipe: opening one waits for its reader. If
 * the file does not exist, it is created, for its owner and group.
 */
export function checkAuditFile(path: string): void {
  closeSync(openSync(path, 'a', MODE));
}

export class AuditFile {
  readonly #path: string;
  readonly #log: Log;
  readonly #maxWaiting: number;
  readonly #retryMs: number;
  #waiting: string[] = [];
  #waitingLength = 0;
  /** What is being written, and how much of it has been written. */
  #batch: Buffer = Buffer.alloc(0);
  #taken = 0;
  #handle: FileHandle | null = null;
  #inode = '';
  #lookedAt = Number.NEGATIVE_INFINITY;
  #run: Promise<void> | null = null;
  #wake: (() => void) | null = null;
  #isClosing = false;
  /** Of the last attempt; null where it went well. */
  #cause: unknown = null;
  #droppedHere = 0;
  #dropped = 0;

  constructor({ path, log, maxWaiting = MAX_WAITING, retryMs = RETRY_MS }: AuditFileOptions) {
    this.#path = path;
    this.#log = log;
    this.#maxWaiting = maxWaiting;
    this.#retryMs = retryMs;
  }

  /** Lines lost since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Why it cannot be written now. */
  get fault(): string | null {
    return this.#cause === null ? null : explainError(this.#cause, 'write');
  }

  /** Whole lines. Returns at once. */
  write(lines: string): void {
    if (this.#waitingLength + lines.length > this.#maxWaiting) {
      this.#drop(countLines(lines));
      return;
    }
    this.#waiting.push(lines);
    this.#waitingLength += lines.length;
    this.#start();
  }

  /** Makes the next line go to the file at the path: called after the file was renamed. */
  reopen(): void {
    this.#lookedAt = Number.NEGATIVE_INFINITY;
    this.#wake?.();
  }

  /** Writes what is left, as far as the disk accepts it, and resolves within two seconds. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#wake?.();
    await waitAtMost(CLOSE_MS, this.#run ?? Promise.resolve());
    const lost = countLines(this.#waiting.join('')) + countLines(this.#batch.toString('utf8', this.#taken));
    if (lost > 0) this.#drop(lost);
    if (this.#droppedHere > 0) this.#log.warn('audit lines were lost', { dropped: this.#droppedHere });
    if (this.#run === null) await this.#handle?.close().catch(() => {});
  }

  #start(): void {
    this.#run ??= this.#writeAll().finally(() => {
      this.#run = null;
      // Lines that came after the last check.
      if (this.#waiting.length > 0 && !this.#isClosing) this.#start();
    });
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0 || this.#taken < this.#batch.length) {
      try {
        await this.#writeSome();
        this.#recovered();
      } catch (cause) {
        this.#failed(cause);
        if (this.#isClosing) return;
        await this.#pause();
      }
    }
  }

  async #writeSome(): Promise<void> {
    const handle = await this.#current();
    if (this.#taken === this.#batch.length) {
      this.#batch = Buffer.from(this.#waiting.join(''));
      this.#taken = 0;
      this.#waiting = [];
    }
    while (this.#taken < this.#batch.length) {
      const { bytesWritten } = await handle.write(this.#batch, this.#taken);
      if (bytesWritten === 0) throw Object.assign(new Error(), { code: 'nothing written' });
      this.#taken += bytesWritten;
    }
    this.#batch = Buffer.alloc(0);
    this.#taken = 0;
    // Only now: until here it was in memory and counted.
    this.#waitingLength = this.#waiting.reduce((sum, { length }) => sum + length, 0);
  }

  /** The file at the path, opened again if it was renamed or removed. */
  async #current(): Promise<FileHandle> {
    const now = performance.now();
    if (this.#handle !== null && now - this.#lookedAt < LOOK_MS) return this.#handle;
    if (this.#handle !== null && this.#inode === (await inodeAt(this.#path))) {
      this.#lookedAt = now;
      return this.#handle;
    }
    const before = this.#handle;
    this.#handle = null;
    await before?.close().catch(() => {});
    const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
    const handle = await open(this.#path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, MODE);
    this.#handle = handle;
    // A new file begins with a whole line: the one that was interrupted.
    if (this.#taken > 0) this.#taken = this.#batch.lastIndexOf('\n', this.#taken - 1) + 1;
    this.#inode = inodeOf(await handle.stat());
    this.#lookedAt = now;
    return handle;
  }

  async #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await waitAtMost(this.#retryMs, promise);
    this.#wake = null;
  }

  #failed(cause: unknown): void {
    // Opened again for the next attempt: a good file may be there by then.
    this.#lookedAt = Number.NEGATIVE_INFINITY;
    if (this.#cause !== null) return;
    this.#cause = cause;
    this.#log.warn(
      'cannot write the audit file; lines are kept in memory, and dropped if there are too many',
      {
        path: this.#path,
        fault: explainError(cause, 'write'),
      },
    );
  }

  #drop(lines: number): void {
    if (this.#droppedHere === 0) this.#log.warn('dropping audit lines', { path: this.#path });
    this.#droppedHere += lines;
    this.#dropped += lines;
  }

  #recovered(): void {
    if (this.#cause === null && this.#droppedHere === 0) return;
    this.#log.warn('the audit file can be written again', { path: this.#path, dropped: this.#droppedHere });
    this.#cause = null;
    this.#droppedHere = 0;
  }
}

async function inodeAt(path: string): Promise<string> {
  try {
    return inodeOf(await stat(path));
  } catch {
    return 'none';
  }
}

function inodeOf({ dev, ino }: Pick<Stats, 'dev' | 'ino'>): string {
  return `${dev}:${ino}`;
}

function countLines(lines: string): number {
  let count = 0;
  for (let at = lines.indexOf('\n'); at !== -1; at = lines.indexOf('\n', at + 1)) count += 1;
  return count;
}
