/**
 * The used proofs of a process that was stopped as planned, in a file for the next one. The file is removed when it is
 * read, so that it is there only if nothing was recorded since it was written. What follows a crash finds none.
 */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fstatSync, lstatSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname } from 'node:path';
import { LARGEST_CLOCK_SKEW, LARGEST_MAX_AGE } from '../authenticate/dpop-proof.ts';
import { errorCode, explainError } from '../platform/errors.ts';
import { replaceFile, syncFolder } from '../platform/replace-file.ts';

/** Times in epoch seconds. */
export interface ReplayState {
  /** Of the process that saved it, as `takeReplayState` gave it. */
  readonly owner: Buffer;
  readonly savedAt: number;
  /** Of a proof dated earlier it cannot tell whether it was used. */
  readonly rememberedSince: number;
  /** Entries that end no later may have been freed. */
  readonly freedUpTo: number;
  /** SAVED_ENTRY words for each entry: its key, and the second in which it expires. */
  readonly entries: Uint32Array<ArrayBuffer>;
}

export const SAVED_ENTRY = 5;
/** More is not written: some 3.3 million entries. */
export const MOST_STATE_BYTES = 64 * 1024 * 1024;

const MAGIC = 'registry-token used proofs 1\n   ';
const OWNER = 16;
/** Owner, start and clockSkew. */
const PROCESS = OWNER + 2 * Float64Array.BYTES_PER_ELEMENT;
const TIMES_AT = MAGIC.length + OWNER;
const HEADER = TIMES_AT + 3 * Float64Array.BYTES_PER_ELEMENT;
const DIGEST = 32;
/** Seconds from the date of a proof until its entry ends, for proofs dated ahead too: later, a state says nothing. */
const WINDOW = LARGEST_MAX_AGE + 2 * LARGEST_CLOCK_SKEW;

/** Writes the file, readable by its owner alone. Returns why it was not written, or null. */
export function saveReplayState(path: string, state: ReplayState): string | null {
  const times = Float64Array.of(state.savedAt, state.rememberedSince, state.freedUpTo);
  const body = Buffer.concat([
    Buffer.from(MAGIC),
    state.owner,
    Buffer.from(times.buffer),
    bytesOf(state.entries),
  ]);
  if (body.length + DIGEST > MOST_STATE_BYTES)
    return `it would be larger than ${MOST_STATE_BYTES} bytes: ${state.entries.length / SAVED_ENTRY} proofs`;
  // One that started before this one had ended, and may have recorded proofs that are not in here.
  if (!readProcess(path)?.owner.equals(state.owner)) return ANOTHER;
  try {
    replaceFile(path, Buffer.concat([body, digestOf(body)]));
    return null;
  } catch (cause) {
    return `it cannot be written: ${explainError(cause, 'write')}`;
  }
}

const SOMETHING_ELSE = 'it holds something else';
const ANOTHER = 'another process has started with this file since';

/** What a file of used proofs was good for: the state, or why there is none. */
export type FoundState = Omit<ReplayState, 'owner'> | { readonly fault: string };

/** What was found, and what this process saves its own under. */
export interface TakenState {
  readonly found: FoundState;
  readonly owner: Buffer;
  /** null where no process has started with this file. */
  readonly former: FormerProcess | null;
}

interface FormerProcess {
  readonly owner: Buffer;
  /** Epoch seconds. */
  readonly startedAt: number;
  /** Seconds by which it accepted proofs that are dated ahead. */
  readonly clockSkew: number;
}

/**
 * Whether something at `path` is neither a file of used proofs nor the beginning of one: it must be neither removed nor
 * overwritten. Throws the system's error where it cannot be read.
 */
export function isForeign(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (!found.isFile()) return true;
  const file = openSync(path, 'r');
  try {
    const start = Buffer.alloc(MAGIC.length);
    const length = readSync(file, start, 0, start.length, 0);
    return !MAGIC.startsWith(start.toString('latin1', 0, length));
  } finally {
    closeSync(file);
  }
}

/**
 * Reads the file and removes it, on the disk too: after a loss of power it would be taken for the newest state. A second
 * file beside it names the process that keeps its proofs here from now on, so that what another one saved or saves counts
 * no more. Throws the system's error where the files cannot be changed.
 */
export function takeReplayState(path: string, now: number, clockSkew: number): TakenState {
  const owner = randomBytes(OWNER);
  const former = readProcess(path);
  if (isForeign(path)) return { found: { fault: SOMETHING_ELSE }, owner, former };
  const read = readState(path);
  writeProcess(path, { owner, startedAt: now, clockSkew });
  rmSync(path, { force: true });
  syncFolder(dirname(path));
  const findState = (): FoundState => {
    if ('fault' in read) return read;
    if (now > read.savedAt + WINDOW) return { fault: 'it is too old to matter' };
    return former?.owner.equals(read.owner) ? read : { fault: ANOTHER };
  };
  return { found: findState(), owner, former };
}

/**
 * Notes for the next process that this one accepts proofs dated ahead by more than at its start. Returns why that was not
 * possible, or null.
 */
export function noteClockSkew(path: string, owner: Buffer, clockSkew: number): string | null {
  const noted = readProcess(path);
  if (!noted?.owner.equals(owner)) return ANOTHER;
  try {
    writeProcess(path, { ...noted, clockSkew });
    return null;
  } catch (cause) {
    return `it cannot be written: ${explainError(cause, 'write')}`;
  }
}

function processPath(path: string): string {
  return `${path}.owner`;
}

function writeProcess(path: string, { owner, startedAt, clockSkew }: FormerProcess): void {
  const numbers = Float64Array.of(startedAt, clockSkew);
  replaceFile(processPath(path), Buffer.concat([owner, Buffer.from(numbers.buffer)]));
}

function readProcess(path: string): FormerProcess | null {
  let content: Buffer;
  try {
    // A named pipe would be waited for.
    if (!lstatSync(processPath(path)).isFile()) return null;
    content = readFileSync(processPath(path));
  } catch {
    return null;
  }
  const owner = content.subarray(0, OWNER);
  // As former versions wrote it.
  if (content.length < PROCESS) return { owner, startedAt: 0, clockSkew: LARGEST_CLOCK_SKEW };
  const [startedAt, clockSkew] = [content.readDoubleLE(OWNER), content.readDoubleLE(OWNER + 8)];
  return { owner, startedAt, clockSkew: isClockSkew(clockSkew) ? clockSkew : LARGEST_CLOCK_SKEW };
}

function isClockSkew(value: number): boolean {
  return value >= 0 && value <= LARGEST_CLOCK_SKEW;
}

function readState(path: string): ReplayState | { readonly fault: string } {
  let content: Buffer;
  try {
    const file = openSync(path, 'r');
    try {
      const status = fstatSync(file);
      if (!status.isFile()) return { fault: 'it is not a regular file' };
      if (status.size > MOST_STATE_BYTES) return { fault: `it is larger than ${MOST_STATE_BYTES} bytes` };
      if ((status.mode & 0o022) !== 0) return { fault: 'other users can write to it' };
      if (status.uid !== userInfo().uid && status.uid !== 0)
        return { fault: `it belongs to the user ${status.uid}` };
      content = readFileSync(file);
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    return {
      fault:
        errorCode(cause) === 'ENOENT' ? 'there is none' : `it cannot be read: ${explainError(cause, 'read')}`,
    };
  }
  const body = content.subarray(0, -DIGEST);
  const words = (body.length - HEADER) / Uint32Array.BYTES_PER_ELEMENT;
  if (words < 0 || words % SAVED_ENTRY !== 0 || body.toString('latin1', 0, MAGIC.length) !== MAGIC)
    return { fault: SOMETHING_ELSE };
  if (!digestOf(body).equals(content.subarray(-DIGEST))) return { fault: 'it is damaged' };
  const at = (index: number) => body.readDoubleLE(TIMES_AT + index * Float64Array.BYTES_PER_ELEMENT);
  const entries = new Uint32Array(words);
  bytesOf(entries).set(body.subarray(HEADER));
  const owner = body.subarray(MAGIC.length, TIMES_AT);
  return { owner, savedAt: at(0), rememberedSince: at(1), freedUpTo: at(2), entries };
}

function digestOf(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest();
}

function bytesOf(words: Uint32Array<ArrayBuffer>): Buffer {
  return Buffer.from(words.buffer, words.byteOffset, words.byteLength);
}
