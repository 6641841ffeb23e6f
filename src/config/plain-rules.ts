/**
 * A list of rules in the plain shape that people and programs write, read without YAML's whole machinery, which takes
 * 10 µs and 1 kB for each. Whatever is not of the shape to the letter is left to that machinery: `null` here.
 *
 *     - pattern: stella-ops/**
 *     - { pattern: "customers/{claim:tid}/*", actions: [pull, push] }   # also quoted, or with the actions first
 *     - pattern: team/app
 *       actions:
 *         - pull
 */

import { DASH, indentAt, isAt, LINE_FEED, lineEnd, SPACE, skipSpaces } from './plain-lines.ts';
import { defaultActions } from './schema.ts';

/** A rule where it stands: ranges of bytes of the text. */
export interface PlainRule {
  /** Its lines: the first byte, and the one after the last. */
  readonly from: number;
  readonly to: number;
  readonly patternFrom: number;
  readonly patternTo: number;
  /** A list in flow, or the lines of one in block; empty where none is written. */
  readonly actionsFrom: number;
  readonly actionsTo: number;
}

const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const COMMA = 0x2c;
const SLASH = 0x2f;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const PATTERN = new TextEncoder().encode('pattern:');
const ACTIONS = new TextEncoder().encode('actions:');

/** Text that needs no quotes: `a-z`, and with a slash or six letters it is no number and no word of YAML 1.1 or 1.2. */
const startsPlain = codesOf(/[A-Za-z0-9_.]/);
const isPlain = codesOf(/[A-Za-z0-9_./*{}:-]/);
const isPlainInFlow = codesOf(/[A-Za-z0-9_./*-]/);
const isLetter = codesOf(/[A-Za-z]/);
/** What a list of actions in flow may hold; `parseActions` looks closer. */
const isListed = codesOf(/[A-Za-z0-9_*'", -]/);
/** In quotes, on one line, everything printable is itself but these two. */
const isQuotable = codesOf(/[ -~]/);

function codesOf(characters: RegExp): readonly boolean[] {
  return Array.from({ length: 256 }, (_, code) => code < 128 && characters.test(String.fromCharCode(code)));
}

/** Reads the rule whose dash is the first character after `indent` spaces of the line that begins here. */
export function readPlainRule(text: Uint8Array, from: number, indent: number): PlainRule | null {
  let at = from + indent + 2;
  if (text[at - 1] !== SPACE) return null;
  const found = { from, to: 0, patternFrom: 0, patternTo: 0, actionsFrom: 0, actionsTo: 0 };
  if (text[at] === OPEN_BRACE) {
    do {
      at = skipSpaces(text, at + 1);
      at = readEntry(text, at, found, true);
      if (at === -1) return null;
      at = skipSpaces(text, at);
    } while (text[at] === COMMA);
    if (text[at] !== CLOSE_BRACE) return null;
    at = lineEnd(text, at + 1);
  } else {
    for (;;) {
      at = readEntry(text, at, found, false);
      if (at === -1) return null;
      at = lineEnd(text, at);
      if (at === -1) return null;
      if (found.actionsFrom === at) {
        at = found.actionsTo = blockListEnd(text, at, indent + 2);
        if (found.actionsTo === found.actionsFrom) return null;
      }
      if (indentAt(text, at) !== indent + 2 || !isLetter[text[at + indent + 2] ?? 0]) break;
      at += indent + 2;
    }
  }
  if (at === -1 || found.patternTo === 0) return null;
  found.to = at;
  return found;
}

type Found = { -readonly [Key in keyof PlainRule]: PlainRule[Key] };

/** Reads `pattern: …` or `actions: …`, each once; -1 where it is neither. Actions in block begin with the next line. */
function readEntry(text: Uint8Array, from: number, found: Found, inFlow: boolean): number {
  if (isAt(text, from, PATTERN)) {
    if (found.patternTo !== 0 || text[from + PATTERN.length] !== SPACE) return -1;
    return readScalar(text, skipSpaces(text, from + PATTERN.length), found, inFlow);
  }
  if (!isAt(text, from, ACTIONS) || found.actionsTo !== 0) return -1;
  const at = skipSpaces(text, from + ACTIONS.length);
  if (text[at] === OPEN_BRACKET) {
    if (at === from + ACTIONS.length) return -1;
    let end = at + 1;
    while (text[end] !== CLOSE_BRACKET) {
      if (!isListed[text[end] ?? 0]) return -1;
      end += 1;
    }
    found.actionsFrom = at;
    found.actionsTo = end + 1;
    return end + 1;
  }
  if (inFlow) return -1;
  const next = lineEnd(text, at);
  if (next === -1) return -1;
  found.actionsFrom = found.actionsTo = next;
  return at;
}

function readScalar(text: Uint8Array, from: number, found: Found, inFlow: boolean): number {
  const quote = text[from] ?? 0;
  let at = from;
  if (quote === DOUBLE_QUOTE || quote === SINGLE_QUOTE) {
    at += 1;
    while (text[at] !== quote) {
      const code = text[at] ?? 0;
      if (!isQuotable[code] || code === BACKSLASH) return -1;
      at += 1;
    }
    found.patternFrom = from + 1;
    found.patternTo = at;
    return at === from + 1 ? -1 : at + 1;
  }
  if (!startsPlain[quote]) return -1;
  const allowed = inFlow ? isPlainInFlow : isPlain;
  let hasSlash = false;
  while (allowed[text[at] ?? 0]) {
    if (text[at] === SLASH) hasSlash = true;
    at += 1;
  }
  if (text[at - 1] === COLON || !(hasSlash || (isLetter[quote] && at - from >= 6))) return -1;
  found.patternFrom = from;
  found.patternTo = at;
  return at;
}

/** Past the lines of a list in block at this indentation or deeper: `- pull`. */
function blockListEnd(text: Uint8Array, from: number, least: number): number {
  const indent = indentAt(text, from);
  if (indent < least) return from;
  let at = from;
  while (indentAt(text, at) === indent && text[at + indent] === DASH) {
    const end = text.indexOf(LINE_FEED, at);
    at = end === -1 ? text.length : end + 1;
  }
  return at;
}

const ACTION = `(?:[A-Za-z][\\w-]*|'[\\w*-]+'|"[\\w*-]+")`;
const FLOW_LIST = new RegExp(`^\\[ *${ACTION}(?: *, *${ACTION})* *\\]$`);
const BLOCK_LIST = new RegExp(`^(?: *- ${ACTION} *(?: #.*)?(?:\\r?\\n|$))+$`);
/** Words of YAML 1.1 or 1.2 that are no text without quotes. */
const WORD = /(?<!['"\w-])(?:null|true|false|yes|no|on|off|y|n)(?!['"\w-])/i;

/** The actions in the text that `readPlainRule` found; null where they are not plain. */
export function parseActions(text: string): readonly string[] | null {
  if (text === '') return defaultActions;
  if (!(FLOW_LIST.test(text) || BLOCK_LIST.test(text)) || WORD.test(text)) return null;
  return text.startsWith('[')
    ? (text.match(/[\w*-]+/g) ?? null)
    : text.split('\n').flatMap((line) => /^ *- ['"]?([\w*-]+)/.exec(line)?.[1] ?? []);
}
