/**
 * A JSON document with the places of its keys. `JSON.parse` makes the values; the scanner finds what that does not tell:
 * where a syntax error is, and members that are there twice.
 */
import type { ConfigurationDocument } from './document.ts';
import { formatKey } from './issues.ts';
import { ConfigurationFault, type Mistake } from './mistakes.ts';
import { type KeyPath, placeAt } from './text.ts';

/**
 * Parses JSON (RFC 8259). Throws ConfigurationFault with the first syntax error, or every member that is there twice or whose name
 * a schema would drop.
 */
export function parseJsonDocument(text: string, source: string): ConfigurationDocument {
  const mistakes: Mistake[] = [];
  const report = (offset: number, key: string, message: string) =>
    mistakes.push({ source, ...placeAt(text, offset), key, message });
  try {
    scanDocument(text, (offset, path, fault) => report(offset, formatKey(path), fault));
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
/** The schema would silently drop a member of this name. */
const DROPPED = '__proto__';
const CUT = '; is the file whole?';
/** Deeper than any schema of ours goes, and no danger to the stack. */
const MAX_DEPTH = 32;
const WORD = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[\dA-Fa-f]{4})/y;

/** Told of a member that cannot be taken: where it is, and why. */
type OnFault = (offset: number, path: KeyPath, fault: string) => void;

/** Walks a whole document. Throws SyntaxFault at the first error. */
function scanDocument(text: string, onFault: OnFault): void {
  checkEnd(text, scanAt(text, skipSpace(text, 0), [], onFault));
}

function checkEnd(text: string, end: number): void {
  const rest = skipSpace(text, end);
  if (rest < text.length)
    throw new SyntaxFault(rest, 'is not valid JSON: text after the end of the document');
}

/** Walks the value at this path, which begins at `from`, and returns where it ends. */
function scanAt(text: string, from: number, around: KeyPath, onFault: OnFault): number {
  const path = [...around];
  const scan = (at: number): number => {
    if (path.length > MAX_DEPTH) throw new SyntaxFault(at, `is nested deeper than ${MAX_DEPTH} levels`);
    const names = new Names();
    return scanValue(text, at, (name, { key, value }) => {
      path.push(name);
      const fault = typeof name === 'string' ? names.faultOf(name) : null;
      if (fault !== null) onFault(key, path, fault);
      const end = scan(value);
      path.pop();
      return end;
    });
  };
  return scan(from);
}

/** The names of one object. A set for each of many small objects would cost more than looking through a few names. */
class Names {
  readonly #few: string[] = [];
  #many: Set<string> | null = null;

  /** Why an object that has had the names before cannot have this one too; null where it can. */
  faultOf(name: string): string | null {
    if (this.#isRepeated(name)) return 'is set twice in the same object';
    return name === DROPPED ? 'is a name that cannot be used here' : null;
  }

  #isRepeated(name: string): boolean {
    if (this.#few.length === 16) this.#many ??= new Set(this.#few);
    const isRepeated = this.#many?.has(name) ?? this.#few.includes(name);
    if (this.#many === null) this.#few.push(name);
    else this.#many.add(name);
    return isRepeated;
  }
}

/** `visit` is called for each member or item of a container, and returns where its value ends. Returns where the whole ends. */
function scanValue(
  text: string,
  from: number,
  visit: (name: string | number, found: Found) => number,
): number {
  if (!isContainer(text, from)) return scanScalar(text, from);
  const members = new Members(text, from);
  while (!members.isAtEnd) members.goOn(visit(members.name, members));
  return members.at;
}

function isContainer(text: string, at: number): boolean {
  return text[at] === '{' || text[at] === '[';
}

/** The members of an object or the items of an array, one after another. */
class Members implements Found {
  readonly #text: string;
  readonly #isObject: boolean;
  readonly #close: string;
  /** The member's name, or the item's number. */
  name: string | number = -1;
  key = 0;
  value = 0;
  isAtEnd = false;
  /** At the end: where the container ends. */
  at: number;

  constructor(text: string, from: number) {
    this.#text = text;
    this.#isObject = text[from] === '{';
    this.#close = this.#isObject ? '}' : ']';
    this.at = skipSpace(text, from + 1);
    if (text[this.at] === this.#close) this.#end();
    else this.#begin();
  }

  /** To the next, from where the value of this one ends. */
  goOn(end: number): void {
    this.at = skipSpace(this.#text, end);
    const found = this.#text[this.at];
    if (found === this.#close) {
      this.#end();
      return;
    }
    if (found !== ',') throw unexpected(this.#text, this.at, `a comma or ${this.#close}`);
    this.at = skipSpace(this.#text, this.at + 1);
    this.#begin();
  }

  #begin(): void {
    this.key = this.at;
    if (this.#isObject) this.#readName();
    else this.name = Number(this.name) + 1;
    this.value = this.at;
  }

  #readName(): void {
    const text = this.#text;
    if (text[this.at] !== '"') throw unexpected(text, this.at, 'a name in double quotes');
    const end = scanString(text, this.at);
    this.name = JSON.parse(text.slice(this.at, end)) as string;
    this.at = skipSpace(text, end);
    if (text[this.at] !== ':') throw unexpected(text, this.at, 'a colon');
    this.at = skipSpace(text, this.at + 1);
  }

  #end(): void {
    this.isAtEnd = true;
    this.at += 1;
  }
}

/** A part of a document: the value at a path, or a container whose own parts follow; that has an empty one as its value. */
export interface JsonPart {
  readonly path: KeyPath;
  readonly value: unknown;
}

/**
 * Reads JSON part by part, for documents that are too long to be read at once: every member of the document, and those of the
 * members that `isDivided` names. `onFault` is called for each member that is there twice, or whose name a schema would drop. Throws ConfigurationFault
 * with the first syntax error, and where the document is no object.
 */
export function* readJsonParts(
  text: string,
  source: string,
  isDivided: (name: string) => boolean,
  onFault: (path: KeyPath, fault: string) => void,
): Generator<JsonPart, void> {
  try {
    const from = skipSpace(text, 0);
    if (text[from] !== '{') throw unexpected(text, from, 'an object');
    checkEnd(text, yield* partsOf(text, from, [], isDivided, (_, path, fault) => onFault([...path], fault)));
  } catch (cause) {
    if (!(cause instanceof SyntaxFault)) throw cause;
    const place = placeAt(text, cause.offset);
    throw new ConfigurationFault([{ source, ...place, key: '', message: cause.message }]);
  }
}

function* partsOf(
  text: string,
  from: number,
  around: KeyPath,
  isDivided: (name: string) => boolean,
  onFault: OnFault,
): Generator<JsonPart, number> {
  const names = new Names();
  const members = new Members(text, from);
  while (!members.isAtEnd) {
    const { name, key, value } = members;
    const path = [...around, name];
    const fault = typeof name === 'string' ? names.faultOf(name) : null;
    if (fault !== null) onFault(key, path, fault);
    if (around.length === 0 && isDivided(String(name)) && isContainer(text, value)) {
      yield { path, value: text[value] === '{' ? {} : [] };
      members.goOn(yield* partsOf(text, value, path, isDivided, onFault));
    } else {
      const end = scanAt(text, value, path, onFault);
      yield { path, value: JSON.parse(text.slice(value, end)) };
      members.goOn(end);
    }
  }
  return members.at;
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
