/**
 * The bundle with the highest serial that this site had: in memory, and in a file for the next start. Without the file a
 * restart would accept any bundle that has not expired.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { z } from 'zod';
import { errorCode, explainError } from '../platform/errors.ts';
import { replaceFile } from '../platform/replace-file.ts';
import type { Bundle } from './bundle.ts';

/** What is remembered of a bundle. */
export type Seen = Pick<Bundle, 'serial' | 'contentHash' | 'issuedAt'>;

export interface FoundSeen {
  /** null where no bundle is known. */
  readonly seen: Seen | null;
  /** Why the file tells nothing; null where it does. */
  readonly fault: string | null;
}

/** The fault of a file that is not there, as before the first bundle. */
export const NO_FILE = 'there is none';

const MOST_FILE_BYTES = 4096;
const FORMAT = 'registry-token entitlements 1';

const fileSchema = z.strictObject({
  format: z.literal(FORMAT),
  serial: z.int().min(1),
  contentHash: z.string().regex(/^[0-9a-f]{64}$/),
  issuedAt: z.int().min(0),
});

/** Of the main thread, or of a command: workers do not judge bundles. */
export class SeenSerials {
  #highest: Seen | null = null;

  /** The highest that this process or the file knows. */
  find(path: string): FoundSeen {
    const { seen, fault } = readFile(path);
    return { seen: higherOf(this.#highest, seen), fault };
  }

  /** Remembers a bundle that comes into force. Returns why the file does not have it, or null. */
  record(path: string, { serial, contentHash, issuedAt }: Seen): string | null {
    const seen = { serial, contentHash, issuedAt };
    this.#highest = higherOf(this.#highest, seen);
    const isNewer = () => higherOf(readFile(path).seen, seen) === seen;
    if (!isNewer()) return null;
    const text = `${JSON.stringify({ format: FORMAT, ...seen })}\n`;
    try {
      // Another process may have recorded a higher one meanwhile.
      replaceFile(path, text, { isStillWanted: isNewer });
      return null;
    } catch (cause) {
      return `it cannot be written: ${explainError(cause, 'write')}`;
    }
  }
}

/** Of two of the same serial the first. */
function higherOf(a: Seen | null, b: Seen | null): Seen | null {
  if (a === null || b === null) return a ?? b;
  return b.serial > a.serial ? b : a;
}

function readFile(path: string): FoundSeen {
  const nothing = (fault: string): FoundSeen => ({ seen: null, fault });
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { mode, uid, size, isFile } = statOf(file);
      const own = userInfo().uid;
      if (!isFile) return nothing('it is not a regular file');
      if ((mode & 0o022) !== 0) return nothing('other users can write to it');
      if (own !== 0 && uid !== own && uid !== 0) return nothing(`it belongs to the user ${uid}`);
      if (size > MOST_FILE_BYTES) return nothing('it holds something else');
      const { format, ...seen } = fileSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
      return { seen, fault: null };
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    if (cause instanceof SyntaxError || cause instanceof z.ZodError) return nothing('it is damaged');
    return nothing(
      errorCode(cause) === 'ENOENT' ? 'there is none' : `it cannot be read: ${explainError(cause, 'read')}`,
    );
  }
}

function statOf(file: number) {
  const status = fstatSync(file);
  return { mode: status.mode, uid: status.uid, size: status.size, isFile: status.isFile() };
}
