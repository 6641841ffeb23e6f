/**
 * The revoked licences of a list, exactly: a hash table of places in the list's own text, with which every candidate is
 * compared. A million licences take their text and 8 MB, cost the garbage collector nothing, and can be shared by
 * threads.
 */
import { randomBytes } from 'node:crypto';

/** Plain values over SharedArrayBuffers: a structured clone in another thread is the same memory. */
export interface LicenseTable {
  /** The list, in UTF-8. */
  readonly text: Uint8Array;
  /** Where a licence begins in the text, and one more; 0 is a free slot. A power of two, of which half are free. */
  readonly slots: Uint32Array;
  /** Nobody can write a list whose licences all fall into one place. */
  readonly seed: number;
}

const LINE_FEED = 0x0a;
const HASH = 0x23;
/** A list is read in pieces of so many bytes, each a millisecond or two. */
const PIECE = 64 * 1024;

export class RevokedLicenses {
  readonly table: LicenseTable;

  constructor(table: LicenseTable) {
    this.table = table;
  }

  has(license: string): boolean {
    const wanted = Buffer.from(license);
    return findSlot(this.table, wanted, 0, wanted.length) >= 0;
  }
}

/**
 * Reads a list: a licence a line; blank lines and what comes after a `#` do not count, where the `#` begins the line or
 * follows a space. The text is UTF-8, and stays in use. `pause` is waited for now and then, so that a long list keeps
 * nobody waiting.
 */
export async function readRevokedLicenses(
  text: Uint8Array,
  pause: () => Promise<unknown>,
): Promise<RevokedLicenses> {
  let lines = 1;
  for (let at = 0; at < text.length; at += PIECE) {
    if (at > 0) await pause();
    lines += countLines(text, at, Math.min(at + PIECE, text.length));
  }
  const slots = new Uint32Array(new SharedArrayBuffer(4 * 2 ** Math.ceil(Math.log2(2 * lines))));
  const table = { text, slots, seed: randomBytes(4).readUInt32LE() };
  for (let at = 0; at < text.length; ) {
    if (at > 0) await pause();
    at = addLicenses(table, at, at + PIECE);
  }
  return new RevokedLicenses(table);
}

/** Adds the licences of the lines that begin before a byte; returns where the next line begins. */
function addLicenses(table: LicenseTable, from: number, before: number): number {
  let at = from;
  while (at < before && at < table.text.length) {
    const license = licenseAt(table.text, at);
    if (license.from < license.to) {
      const slot = findSlot(table, table.text, license.from, license.to);
      if (slot < 0) table.slots[~slot] = license.from + 1;
    }
    at = license.next;
  }
  return at;
}

/** The slot of a licence, or the complement of the one that it would take. */
function findSlot({ text, slots, seed }: LicenseTable, wanted: Uint8Array, from: number, to: number): number {
  const mask = slots.length - 1;
  let slot = hash(wanted, from, to, seed) & mask;
  for (;;) {
    const start = (slots[slot] ?? 0) - 1;
    if (start === -1) return ~slot;
    if (isLicense(text, start, wanted, from, to)) return slot;
    slot = (slot + 1) & mask;
  }
}

/** Whether the licence that begins here is this one, and no longer. */
function isLicense(text: Uint8Array, start: number, wanted: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at += 1) if (text[start + at - from] !== wanted[at]) return false;
  return licenseAt(text, start).to === start + to - from;
}

/** FNV-1a, and MurmurHash3's last mixing. */
function hash(bytes: Uint8Array, from: number, to: number, seed: number): number {
  let mixed = seed;
  for (let at = from; at < to; at += 1) mixed = Math.imul(mixed ^ (bytes[at] ?? 0), 0x01000193);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

interface License {
  /** Empty where the line has none. */
  readonly from: number;
  readonly to: number;
  /** Where the next line begins. */
  readonly next: number;
}

/** The licence of the line that goes on here; not in the middle of a licence. */
function licenseAt(text: Uint8Array, start: number): License {
  let from = start;
  let to = start;
  let at = start;
  for (; at < text.length && text[at] !== LINE_FEED; at += 1) {
    const code = text[at] ?? 0;
    if (code >= 0x80) return licenseBeyondAscii(text, start);
    if (isSpace(code)) continue;
    if (code === HASH && (at === start || isSpace(text[at - 1] ?? 0)))
      return { from, to, next: lineEnd(text, at) + 1 };
    if (from === to) from = at;
    to = at + 1;
  }
  return { from, to, next: at + 1 };
}

/** The same for a line that may hold spaces of any language. */
function licenseBeyondAscii(text: Uint8Array, start: number): License {
  const end = lineEnd(text, start);
  // A copy: memory that threads share is not decoded.
  const line = Buffer.from(text.slice(start, end)).toString('utf8');
  const comment = line.search(/(?:^|\s)#/);
  const written = comment === -1 ? line : line.slice(0, comment);
  const license = written.trim();
  const from = start + Buffer.byteLength(written) - Buffer.byteLength(written.trimStart());
  return { from, to: from + Buffer.byteLength(license), next: end + 1 };
}

/** ASCII alone. */
function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}

function lineEnd(text: Uint8Array, from: number): number {
  const end = text.indexOf(LINE_FEED, from);
  return end === -1 ? text.length : end;
}

function countLines(text: Uint8Array, from: number, to: number): number {
  let count = 0;
  for (let at = from; at < to; at += 1) if (text[at] === LINE_FEED) count += 1;
  return count;
}
