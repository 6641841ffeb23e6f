/** A registry's own configuration, written by someone else: read with a bound. */
import { readFileSync, statSync } from 'node:fs';
import { parseDocument } from 'yaml';
import { errorCode } from '../platform/errors.ts';

const MAX_BYTES = 1024 * 1024;
const SHOWN_LENGTH = 200;

export type Members = Readonly<Record<string, unknown>>;

/** The mapping that a YAML or JSON file holds, or what is wrong with the file in a phrase that follows its name. */
export function readMapping(file: string): { readonly value: Members } | { readonly fault: string } {
  const read = readSmallFile(file);
  if ('fault' in read) return read;
  // The library's messages quote the text, which may hold a password.
  const document = parseDocument(read.text, { logLevel: 'silent' });
  const [error] = document.errors;
  if (error !== undefined) return { fault: `is not YAML or JSON (line ${error.linePos?.[0].line ?? 1})` };
  try {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return isMembers(value) ? { value } : { fault: 'holds no mapping' };
  } catch {
    return { fault: 'has too many aliases' };
  }
}

/** A file that a person wrote: a regular one, of 1 MiB at most. */
export function readSmallFile(file: string): { readonly text: string } | { readonly fault: string } {
  try {
    const stats = statSync(file);
    if (!stats.isFile()) return { fault: 'is not a regular file' };
    if (stats.size > MAX_BYTES) return { fault: `is larger than ${MAX_BYTES} bytes` };
    return { text: readFileSync(file, 'utf8') };
  } catch (cause) {
    const code = errorCode(cause);
    if (code === 'ENOENT') return { fault: 'does not exist on this machine' };
    return { fault: code === 'EACCES' ? 'cannot be read by this user' : 'cannot be read' };
  }
}

/** The member of this name where it is a mapping, else an empty one. */
export function section(value: unknown, name: string): Members {
  const member = isMembers(value) ? value[name] : undefined;
  return isMembers(member) ? member : {};
}

export function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value of the file for a message, which escapes it: cut off where it is long, a URL without its user name and password. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return 'not set';
  if (typeof value === 'object')
    return Array.isArray(value) ? `[${value.map(shown).join(', ')}]` : 'a mapping';
  const text = String(value).replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1***@');
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}...` : text;
}
