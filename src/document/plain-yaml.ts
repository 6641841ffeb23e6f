/**
 * Reads YAML as most people write configurations: block mappings and lists, collections and scalars of one line, comments.
 * The yaml package takes 0.2 ms for each rule of a plan, and this a hundredth of that. Whatever is not as plain (and
 * everything that has a mistake) is left to the package: null is returned. A test holds both equal.
 */
import type { KeyPath } from './text.ts';

/** A value and where it begins. */
export interface PlainNode {
  readonly value: unknown;
  readonly at: number;
  /** Of a collection, by key or index. */
  readonly members: ReadonlyMap<string | number, Member> | null;
}

interface Member {
  /** Where the key begins, or the item. */
  readonly key: number;
  readonly node: PlainNode;
}

interface Line {
  readonly indent: number;
  /** Where the text after the indent begins and ends. */
  readonly from: number;
  readonly to: number;
}

/** Line breaks other than LF, tabs, and what is invisible. */
const ODD = /[^\n\x20-\x7e\u00a1-\u2027\u2030-\ud7ff\uf900-\ufefe]/;
const KEY = /(?:([A-Za-z_][A-Za-z0-9_.-]{0,99})|"([^"\\\n]{0,99})"|'([^'\n]{0,99})'):(?= |\n|$)/y;
const QUOTED = /"([^"\\\n]*)"|'([^'\n]*)'(?!')/y;
/** Text without quotes: beside a flow collection, and in one. */
const BLOCK_SCALAR = /[A-Za-z0-9_./](?:[A-Za-z0-9_./@+*=<>%~{}-]|:(?=[A-Za-z0-9_./@+*=<>%~{}-]))*(?=\n| |$)/y;
const FLOW_SCALAR = /[A-Za-z0-9_./](?:[A-Za-z0-9_./@+*=<>%~-]|:(?=[A-Za-z0-9_./@+*=<>%~-]))*(?=[ ,\]}])/y;
/** What text without quotes means to YAML's core schema, if it is not that text. */
const SPECIAL =
  /^(?:null|true|false|0o[0-7]+|0x[0-9a-f]+|[-+]?\.inf|\.nan|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:e[-+]?[0-9]+)?)$/i;
const MAX_DEPTH = 32;

/** The whole document; null where it is not as plain. */
export function readPlainYaml(text: string): PlainNode | null {
  if (ODD.test(text)) return null;
  try {
    return new Reader(text).readDocument();
  } catch (cause) {
    if (cause instanceof NotPlain) return null;
    throw cause;
  }
}

/** The node at a path, or the nearest around it that is there; and where the path's last key is, if it is there. */
export function findPlain(
  root: PlainNode,
  path: KeyPath,
): { readonly node: PlainNode; readonly key: number | null } {
  let node = root;
  let key: number | null = null;
  for (const part of path) {
    const member = node.members?.get(part);
    if (member === undefined) return { node, key: null };
    ({ key, node } = member);
  }
  return { node, key };
}

class NotPlain extends Error {}

class Reader {
  readonly #text: string;
  readonly #lines: Line[] = [];
  /** Of the line that is read next. */
  #next = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
    for (let start = 0; start < text.length; ) {
      const newline = text.indexOf('\n', start);
      const to = newline === -1 ? text.length : newline;
      let from = start;
      while (from < to && text[from] === ' ') from += 1;
      if (from < to && text[from] !== '#') this.#lines.push({ indent: from - start, from, to });
      start = to + 1;
    }
  }

  readDocument(): PlainNode {
    const [first] = this.#lines;
    if (first === undefined || first.indent !== 0) throw new NotPlain();
    const root = this.#readMapping(0);
    if (this.#next < this.#lines.length) throw new NotPlain();
    return root;
  }

  /** A collection whose lines have at least this indent: those after a key or a dash that has nothing beside it. */
  #readBlock(least: number, isListAllowedBefore: boolean): PlainNode {
    const line = this.#lines[this.#next];
    if (line === undefined) throw new NotPlain();
    const isList = this.#isItem(line);
    if (line.indent < least && !(isList && isListAllowedBefore && line.indent === least - 1))
      throw new NotPlain();
    return isList ? this.#readList(line.indent) : this.#readMapping(line.indent);
  }

  #readMapping(indent: number): PlainNode {
    const members = new Map<string | number, Member>();
    const value: Record<string, unknown> = {};
    const at = this.#lines[this.#next]?.from ?? 0;
    this.#descend();
    for (let line = this.#lines[this.#next]; line?.indent === indent; line = this.#lines[this.#next]) {
      if (this.#isItem(line)) break;
      const { name, end } = this.#readKey(line.from);
      if (members.has(name)) throw new NotPlain();
      this.#next += 1;
      const node = this.#readValue(line, end, indent + 1, true);
      members.set(name, { key: line.from, node });
      value[name] = node.value;
    }
    return this.#ascend(indent, { value, at, members });
  }

  #readList(indent: number): PlainNode {
    const members = new Map<string | number, Member>();
    const value: unknown[] = [];
    const at = this.#lines[this.#next]?.from ?? 0;
    this.#descend();
    for (
      let line = this.#lines[this.#next];
      line?.indent === indent && this.#isItem(line);
      line = this.#lines[this.#next]
    ) {
      const node = this.#readItem(line);
      members.set(value.length, { key: node.at, node });
      value.push(node.value);
    }
    return this.#ascend(indent, { value, at, members });
  }

  /** After the dash there is nothing, a value, or a mapping whose first key is beside it. */
  #readItem(line: Line): PlainNode {
    let from = line.from + 1;
    while (from < line.to && this.#text[from] === ' ') from += 1;
    KEY.lastIndex = from;
    if (from < line.to && KEY.test(this.#text)) {
      const indent = line.indent + from - line.from;
      this.#lines[this.#next] = { indent, from, to: line.to };
      return this.#readMapping(indent);
    }
    this.#next += 1;
    return this.#readValue(line, line.from + 1, line.indent + 1, false);
  }

  /** What a line has from here on, or what the lines below it have. */
  #readValue(line: Line, from: number, least: number, isListAllowedBefore: boolean): PlainNode {
    const start = this.#skipSpaces(from);
    if (start >= line.to || (this.#text[start] === '#' && start > from))
      return this.#readBlock(least, isListAllowedBefore);
    const { node, end } = this.#readInline(start, BLOCK_SCALAR);
    const rest = this.#skipSpaces(end);
    if (rest < line.to && !(this.#text[rest] === '#' && rest > end)) throw new NotPlain();
    return node;
  }

  #readInline(from: number, scalar: RegExp): { readonly node: PlainNode; readonly end: number } {
    const open = this.#text[from];
    if (open === '{' || open === '[') return this.#readFlow(from, open === '{');
    QUOTED.lastIndex = from;
    const quoted = QUOTED.exec(this.#text);
    if (quoted !== null)
      return { node: { value: quoted[1] ?? quoted[2], at: from, members: null }, end: QUOTED.lastIndex };
    scalar.lastIndex = from;
    const [plain] = scalar.exec(this.#text) ?? [];
    if (plain === undefined) throw new NotPlain();
    return { node: { value: meaningOf(plain), at: from, members: null }, end: scalar.lastIndex };
  }

  /** A mapping or a list of one line. */
  #readFlow(at: number, isMapping: boolean): { readonly node: PlainNode; readonly end: number } {
    const members = new Map<string | number, Member>();
    const value: Record<string, unknown> = {};
    const items: unknown[] = [];
    const close = isMapping ? '}' : ']';
    this.#descend();
    let from = this.#skipSpaces(at + 1);
    while (this.#text[from] !== close) {
      let start = from;
      let name: string | number = items.length;
      if (isMapping) {
        const key = this.#readKey(from);
        name = key.name;
        start = this.#skipSpaces(key.end);
      }
      if (members.has(name)) throw new NotPlain();
      const { node, end } = this.#readInline(start, FLOW_SCALAR);
      members.set(name, { key: from, node });
      if (isMapping) value[name] = node.value;
      else items.push(node.value);
      from = this.#skipSpaces(end);
      if (this.#text[from] === close) break;
      if (this.#text[from] !== ',') throw new NotPlain();
      from = this.#skipSpaces(from + 1);
      if (this.#text[from] === close) throw new NotPlain();
    }
    this.#depth -= 1;
    return { node: { value: isMapping ? value : items, at, members }, end: from + 1 };
  }

  #readKey(from: number): { readonly name: string; readonly end: number } {
    KEY.lastIndex = from;
    const match = KEY.exec(this.#text);
    if (match === null) throw new NotPlain();
    const [, plain, double, single] = match;
    if (plain !== undefined && SPECIAL.test(plain)) throw new NotPlain();
    const name = plain ?? double ?? single ?? '';
    if (name === '__proto__') throw new NotPlain();
    return { name, end: KEY.lastIndex };
  }

  #isItem({ from, to }: Line): boolean {
    return this.#text[from] === '-' && (from + 1 === to || this.#text[from + 1] === ' ');
  }

  #skipSpaces(from: number): number {
    let at = from;
    while (this.#text[at] === ' ') at += 1;
    return at;
  }

  #descend(): void {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw new NotPlain();
  }

  /** The line after a collection of lines is outside of it. */
  #ascend(indent: number, node: PlainNode): PlainNode {
    this.#depth -= 1;
    if (node.members?.size === 0 || (this.#lines[this.#next]?.indent ?? 0) > indent) throw new NotPlain();
    return node;
  }
}

/** Text without quotes, by YAML's core schema. */
function meaningOf(text: string): unknown {
  if (!SPECIAL.test(text)) return text;
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^(?:0|[1-9]\d{0,14})$/.test(text)) return Number(text);
  throw new NotPlain();
}
