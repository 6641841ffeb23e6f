/** What a pattern matches (CONTRACT §3), told from its text as it stands in UTF-8: nothing is made of it beforehand. */
import type { JsonObject } from '../authenticate/compact-jws.ts';
import { isNameComponent } from '../request/resource-scope.ts';
import { CLAIM, CLOSE_BRACE, encodePattern, OPEN_BRACE, type Pattern, SLASH, STAR } from './pattern.ts';

/** All that matching asks of a repository's name. */
export type NameText = Pick<string, 'length' | 'charCodeAt'>;

const NONE = -1;

/** True where the pattern, with these claims filled in, matches the whole name. */
export function matchesPattern(
  { source }: Pick<Pattern, 'source'>,
  name: string,
  claims: JsonObject,
): boolean {
  const text = encodePattern(source);
  return matchesText(text, 0, text.length, name, new ClaimTexts(claims));
}

/**
 * The same of a pattern that has no fault, in text[from, to). After a mismatch only the last `*` of the segment needs to
 * take one character more, and where that is spent, only the last `**` one segment more: whatever an earlier one could
 * gain, the last one can take too. So each character of the name meets each of the pattern once at most: the time is
 * linear in the name's length for any pattern, and grows with the product of the two lengths at worst.
 */
export function matchesText(
  text: Uint8Array,
  from: number,
  to: number,
  name: NameText,
  claims: ClaimTexts,
): boolean {
  const { length } = name;
  let at = from;
  let position = 0;
  // Most patterns differ from the name before their first wildcard: seen here in half the time.
  let first = at < to ? text[at] : NONE;
  while (position < length && name.charCodeAt(position) === first && !isWildcard(first)) {
    at += 1;
    position += 1;
    first = at < to ? text[at] : NONE;
  }
  if (first !== NONE && !isWildcard(first)) return false;
  // Where to go on after the last `*` and `**`, and how much of the name they have taken.
  let afterStar = NONE;
  let starTaken = 0;
  let afterStars = NONE;
  let starsTaken = 0;
  for (;;) {
    const code = at < to ? text[at] : NONE;
    if (code === STAR) {
      if (at + 1 < to && text[at + 1] === STAR) {
        at += 2;
        position = segmentEnd(name, position);
        afterStars = at;
        starsTaken = position;
        afterStar = NONE;
      } else {
        at += 1;
        afterStar = at;
        starTaken = position;
      }
      continue;
    }
    if (code === OPEN_BRACE) {
      const end = closeBrace(text, at, to);
      const claim = claims.textAt(text, at + CLAIM.length, end);
      // All claims are needed for a match, so that the first unusable one decides.
      if (claim === null) return false;
      if (isAt(claim, name, position)) {
        at = end + 1;
        position += claim.length;
        continue;
      }
    } else if (code === NONE) {
      if (position === length) return true;
    } else if (position < length && name.charCodeAt(position) === code) {
      at += 1;
      position += 1;
      if (code === SLASH) afterStar = NONE;
      continue;
    }
    if (afterStar !== NONE && starTaken < length && name.charCodeAt(starTaken) !== SLASH) {
      starTaken += 1;
      at = afterStar;
      position = starTaken;
    } else if (afterStars !== NONE && starsTaken < length) {
      starsTaken = segmentEnd(name, starsTaken + 1);
      at = afterStars;
      position = starsTaken;
      afterStar = NONE;
    } else return false;
  }
}

function isWildcard(code: number | undefined): boolean {
  return code === STAR || code === OPEN_BRACE;
}

/** Where the segment that goes on here ends. */
function segmentEnd(name: NameText, from: number): number {
  let at = from;
  while (at < name.length && name.charCodeAt(at) !== SLASH) at += 1;
  return at;
}

function closeBrace(text: Uint8Array, open: number, to: number): number {
  let at = open + CLAIM.length;
  while (at < to && text[at] !== CLOSE_BRACE) at += 1;
  return at;
}

function isAt(part: string, name: NameText, position: number): boolean {
  if (position + part.length > name.length) return false;
  for (let at = 0; at < part.length; at += 1)
    if (part.charCodeAt(at) !== name.charCodeAt(position + at)) return false;
  return true;
}

/** So many claims are remembered: a search among more would take longer than reading one anew. */
const MAX_KNOWN = 8;

/** The claims of one caller as patterns ask for them: by a name that stands in the pattern's text. */
export class ClaimTexts {
  readonly #claims: JsonObject;
  readonly #known: { readonly name: Uint8Array; readonly text: string | null }[] = [];

  constructor(claims: JsonObject) {
    this.#claims = claims;
  }

  /** The claim whose name is text[from, to), as `claimComponent` has it. */
  textAt(text: Uint8Array, from: number, to: number): string | null {
    for (const known of this.#known) if (isSame(known.name, text, from, to)) return known.text;
    // A copy: the text may be memory that threads share, and that is not decoded.
    const name = text.slice(from, to);
    const found = claimComponent(this.#claims, Buffer.from(name).toString('utf8'));
    if (this.#known.length < MAX_KNOWN) this.#known.push({ name, text: found });
    return found;
  }
}

function isSame(name: Uint8Array, text: Uint8Array, from: number, to: number): boolean {
  if (name.length !== to - from) return false;
  for (let at = 0; at < name.length; at += 1) if (name[at] !== text[from + at]) return false;
  return true;
}

/** The claim as one path component of a repository name; null where it is none. */
export function claimComponent(claims: JsonObject, name: string): string | null {
  const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
  return typeof value === 'string' && value.length <= 255 && isNameComponent(value) ? value : null;
}
