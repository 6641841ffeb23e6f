/**
 * A JSON document with the places of its keys. `JSON.parse` makes the values; the scanner finds what that does not tell:
 * where a syntax error is, and members that are there twice.
 */
import type { ConfigurationDocument } from './document.ts';
import { formatKey } from './issues.ts';
import { ConfigurationFault, type Mistake } from './mistakes.ts';
import { type KeyPath, placeAt } from './text.ts';

/** Parses JSON (RFC 8259). Throws ConfigurationFault with the first syntax error, or every member that is there twice. */
export function parseJsonDocument(text: string, source: string): ConfigurationDocument {
  const mistakes: Mistake[] = [];
  const report = (offset: number, key: string, message: string) =>
    mistakes.push({ source, ...placeAt(text, offset), key, message });
  try {
    scanDocument(text, (offset, path) => report(offset, formatKey(path), 'is set twice in the same object'));
  } catch (cause) {
    if (!(cause instanceof SyntaxFault)) throw cause;
    report(cause.offset, '', cause.message);
  }
  if (mistakes.length > 0) throw new ConfigurationFault(mistakes);
  const places = new JsonPlaces(text);
  return {
    source,
    value: JSON.parse(text),
    placeOf: (path) => placeAt(text, places.find(path).value),
    placeOfKey: (path) => placeAt(text, places.find(path).key),
    keysOf: (path) => places.keysOf(path),
  };
}

/** The message says what is wrong. */
class SyntaxFault extends Error {
  readonly offset: number;

  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** Where a member's name and its value begin; of an item, where it begins. */
interface Found {
  readonly key: number;
  readonly value: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const CUT = '; is the file whole?';
/** Deeper than any schema of ours goes, and no danger to the stack. */
const MAX_DEPTH = 32;
const WORD = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[\dA-Fa-f]{4})/y;

/** Walks a whole document. Throws SyntaxFault at the first error. */
function scanDocument(text: string, onRepeated: (offset: number, path: KeyPath) => void): void {
  const path: (string | number)[] = [];
  const scan = (from: number): number => {
    if (path.length > MAX_DEPTH) throw new SyntaxFault(from, `is nested deeper than ${MAX_DEPTH} levels`);
    const names: string[] = [];
    let seen: Set<string> | null = null;
    return scanValue(text, from, (name, { key, value }) => {
      path.push(name);
      if (typeof name === 'string') {
        // A set for each of many small objects would cost more than looking through a few names.
        if (names.length === 16) seen = new Set(names);
        if (seen?.has(name) ?? names.includes(name)) onRepeated(key, path);
        if (seen === null) names.push(name);
        else seen.add(name);
      }
      const end = scan(value);
      path.pop();
      return end;
    });
  };
  const end = skipSpace(text, scan(skipSpace(text, 0)));
  if (end < text.length) throw new SyntaxFault(end, 'is not valid JSON: text after the end of the document');
}

/** `visit` is told of each member or item of a container, and returns where its value ends. Returns where the whole ends. */
function scanValue(
  text: string,
  from: number,
  visit: (name: string | number, found: Found) => number,
): number {
  const open = text[from];
  if (open !== '{' && open !== '[') return scanScalar(text, from);
  const close = open === '{' ? '}' : ']';
  let at = skipSpace(text, from + 1);
  if (text[at] === close) return at + 1;
  for (let index = 0; ; index += 1) {
    let name: string | number = index;
    const key = at;
    if (open === '{') {
      if (text[at] !== '"') throw unexpected(text, at, 'a name in double quotes');
      const end = scanString(text, at);
      name = JSON.parse(text.slice(at, end)) as string;
      at = skipSpace(text, end);
      if (text[at] !== ':') throw unexpected(text, at, 'a colon');
      at = skipSpace(text, at + 1);
    }
    at = skipSpace(text, visit(name, { key, value: at }));
    if (text[at] === close) return at + 1;
    if (text[at] !== ',') throw unexpected(text, at, `a comma or ${close}`);
    at = skipSpace(text, at + 1);
  }
}

function scanScalar(text: string, from: number): number {
  if (text[from] === '"') return scanString(text, from);
  WORD.lastIndex = from;
  if (!WORD.test(text)) throw unexpected(text, from, 'a value');
  return WORD.lastIndex;
}

function scanString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    if (code < 0x20)
      throw new SyntaxFault(at, 'is not valid JSON: a line end or control character in a text');
    if (code !== BACKSLASH) continue;
    ESCAPE.lastIndex = at;
    if (!ESCAPE.test(text)) throw new SyntaxFault(at, 'is not valid JSON: an unknown escape after \\');
    at = ESCAPE.lastIndex - 1;
  }
  throw new SyntaxFault(from, `is not valid JSON: a text without an end${CUT}`);
}

function skipSpace(text: string, from: number): number {
  let at = from;
  for (; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
  }
  return at;
}

function unexpected(text: string, at: number, wanted: string): SyntaxFault {
  const isCut = at >= text.length;
  return new SyntaxFault(at, `is not valid JSON: ${wanted} is missing${isCut ? CUT : ''}`);
}

/** Where keys stand. The members of the document itself are remembered, so that many lookups do not each read it all. */
class JsonPlaces {
  readonly #text: string;
  #members: ReadonlyMap<string | number, Found> | null = null;

  constructor(text: string) {
    this.#text = text;
  }

  /** The last key of this path, or the nearest around it that is there. */
  find(path: KeyPath): Found {
    const start = skipSpace(this.#text, 0);
    let found: Found = { key: start, value: start };
    for (const [depth, part] of path.entries()) {
      const members = depth === 0 ? this.#top(start) : membersOf(this.#text, found.value);
      const next = members.get(part);
      if (next === undefined) return found;
      found = next;
    }
    return found;
  }

  /** In the order of the text. */
  keysOf(path: KeyPath): string[] {
    const { value } = this.find(path);
    const members = path.length === 0 ? this.#top(value) : membersOf(this.#text, value);
    return [...members.keys()].map(String);
  }

  #top(start: number): ReadonlyMap<string | number, Found> {
    this.#members ??= membersOf(this.#text, start);
    return this.#members;
  }
}

function membersOf(text: string, from: number): Map<string | number, Found> {
  const members = new Map<string | number, Found>();
  const skip = (at: number): number => scanValue(text, at, (_, { value }) => skip(value));
  scanValue(text, from, (name, found) => {
    members.set(name, found);
    return skip(found.value);
  });
  return members;
}
