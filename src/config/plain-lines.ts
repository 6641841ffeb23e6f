/** The lines of a text in bytes, as far as the plain shape needs them. */

export const SPACE = 0x20;
export const LINE_FEED = 0x0a;
export const HASH = 0x23;
export const DASH = 0x2d;
const CARRIAGE_RETURN = 0x0d;

/** Where the next line begins, if nothing but spaces and a comment is left of this one; else -1. */
export function lineEnd(text: Uint8Array, from: number): number {
  const at = skipSpaces(text, from);
  const code = text[at];
  if (code === LINE_FEED) return at + 1;
  if (code === undefined) return at;
  if (code === CARRIAGE_RETURN && text[at + 1] === LINE_FEED) return at + 2;
  if (code !== HASH || text[at - 1] !== SPACE) return -1;
  const end = text.indexOf(LINE_FEED, at);
  return end === -1 ? text.length : end + 1;
}

/** Whether nothing but a comment is left of a line after its spaces. */
export function isEmptyLine(text: Uint8Array, at: number): boolean {
  return text[at] === HASH || lineEnd(text, at) !== -1;
}

/** Whether what is left of a line begins with a tab or another character that may be a blank to YAML, or none of ASCII. */
export function isOddLine(text: Uint8Array, at: number): boolean {
  const code = text[at] ?? SPACE;
  return code <= SPACE || code > 0x7e;
}

export function nextLine(text: Uint8Array, from: number): number {
  const end = text.indexOf(LINE_FEED, from);
  return end === -1 ? text.length : end + 1;
}

export function countLines(text: Uint8Array, from: number, to: number): number {
  let count = 0;
  for (let at = from; at < to; at += 1) if (text[at] === LINE_FEED) count += 1;
  return count;
}

/** How many spaces the line that begins here begins with. */
export function indentAt(text: Uint8Array, from: number): number {
  return skipSpaces(text, from) - from;
}

export function skipSpaces(text: Uint8Array, from: number): number {
  let at = from;
  while (text[at] === SPACE) at += 1;
  return at;
}

export function isAt(text: Uint8Array, from: number, word: Uint8Array): boolean {
  for (let at = 0; at < word.length; at += 1) if (text[from + at] !== word[at]) return false;
  return true;
}
