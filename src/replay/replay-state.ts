/**
 * The used proofs of a process that was stopped as planned, in a file for the next one. The file is removed when it is
 * read, so that it is there only if nothing was recorded since it was written. What follows a crash finds none.
 */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import { LARGEST_CLOCK_SKEW, LARGEST_MAX_AGE } from '../authenticate/dpop-proof.ts';
import { errorCode } from '../platform/errors.ts';
import { replaceFile } from '../platform/replace-file.ts';

/** Times in epoch seconds. */
export interface ReplayState {
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
const HEADER = MAGIC.length + 3 * Float64Array.BYTES_PER_ELEMENT;
const DIGEST = 32;
/** Seconds from the date of a proof until its entry ends, for proofs dated ahead too: later, a state says nothing. */
const WINDOW = LARGEST_MAX_AGE + 2 * LARGEST_CLOCK_SKEW;

/** Writes the file, readable by its owner alone. Returns why it was not written, or null. */
export function saveReplayState(path: string, state: ReplayState): string | null {
  const times = Float64Array.of(state.savedAt, state.rememberedSince, state.freedUpTo);
  const body = Buffer.concat([Buffer.from(MAGIC), Buffer.from(times.buffer), bytesOf(state.entries)]);
  if (body.length + DIGEST > MOST_STATE_BYTES)
    return `it would be larger than ${MOST_STATE_BYTES} bytes: ${state.entries.length / SAVED_ENTRY} proofs`;
  try {
    replaceFile(path, Buffer.concat([body, digestOf(body)]));
    return null;
  } catch (cause) {
    return `it cannot be written (${errorCode(cause)})`;
  }
}

/** What a file of used proofs was good for: the state, or why there is none. */
export type FoundState = ReplayState | { readonly fault: string };

/**
 * Reads the file and removes it. `fault` says why there is no state in it. Throws the system's error where the file
 * cannot be removed: it would be taken for the newest state at the next start.
 */
export function takeReplayState(path: string, now: number): FoundState {
  const read = readState(path);
  rmSync(path, { force: true });
  if ('fault' in read) return read;
  return now > read.savedAt + WINDOW ? { fault: 'it is too old to matter' } : read;
}

function readState(path: string): FoundState {
  let content: Buffer;
  try {
    const file = openSync(path, 'r');
    try {
      const status = fstatSync(file);
      if (!status.isFile()) return { fault: 'it is not a regular file' };
      if (status.size > MOST_STATE_BYTES) return { fault: `it is larger than ${MOST_STATE_BYTES} bytes` };
      if ((status.mode & 0o022) !== 0) return { fault: 'others may write to it' };
      if (status.uid !== userInfo().uid && status.uid !== 0)
        return { fault: `it belongs to the user ${status.uid}` };
      content = readFileSync(file);
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    return {
      fault: errorCode(cause) === 'ENOENT' ? 'there is none' : `it cannot be read (${errorCode(cause)})`,
    };
  }
  const body = content.subarray(0, -DIGEST);
  const words = (body.length - HEADER) / Uint32Array.BYTES_PER_ELEMENT;
  if (words < 0 || words % SAVED_ENTRY !== 0 || body.toString('latin1', 0, MAGIC.length) !== MAGIC)
    return { fault: 'it holds something else' };
  if (!digestOf(body).equals(content.subarray(-DIGEST))) return { fault: 'it is damaged' };
  const at = (index: number) => body.readDoubleLE(MAGIC.length + index * Float64Array.BYTES_PER_ELEMENT);
  const entries = new Uint32Array(words);
  bytesOf(entries).set(body.subarray(HEADER));
  return { savedAt: at(0), rememberedSince: at(1), freedUpTo: at(2), entries };
}

function digestOf(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest();
}

function bytesOf(words: Uint32Array<ArrayBuffer>): Buffer {
  return Buffer.from(words.buffer, words.byteOffset, words.byteLength);
}
