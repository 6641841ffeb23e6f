/** What a repository pattern matches. */
import type { ClaimTexts } from './claim-texts.ts';
import { closeBrace, OPEN_BRACE, SLASH, STAR } from './pattern.ts';

/** All that matching asks of a repository's name. */
export type NameText = Pick<string, 'length' | 'charCodeAt'>;
/** And of a pattern. */
type PatternText = Pick<string, 'length' | 'charCodeAt' | 'slice'>;

const NONE = -1;

/**
 * True where a pattern without a fault, with these claims filled in, matches the whole name. After a mismatch only the
 * last `*` of the segment needs to take one character more, and once that is exhausted, only the last `**` one segment
 * more: whatever an earlier one could gain, the last one can take too. So each character of the name is compared with
 * each of the pattern once at most: the time is linear in the name's length for any pattern, and grows with the product
 * of the two lengths at worst.
 */
export function matchesPattern(pattern: PatternText, name: NameText, claims: ClaimTexts): boolean {
  const { length } = name;
  const to = pattern.length;
  let at = 0;
  let position = 0;
  // Most patterns differ from the name before their first wildcard: seen here in half the time.
  let first = at < to ? pattern.charCodeAt(at) : NONE;
  while (position < length && name.charCodeAt(position) === first && !isWildcard(first)) {
    at += 1;
    position += 1;
    first = at < to ? pattern.charCodeAt(at) : NONE;
  }
  if (first !== NONE && !isWildcard(first)) return false;
  // Where to go on after the last `*` and `**`, and how much of the name they have taken.
  let afterStar = NONE;
  let starTaken = 0;
  let afterStars = NONE;
  let starsTaken = 0;
  for (;;) {
    const code = at < to ? pattern.charCodeAt(at) : NONE;
    if (code === STAR) {
      if (at + 1 < to && pattern.charCodeAt(at + 1) === STAR) {
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
      const end = closeBrace(pattern, at);
      const claim = claims.textOf(pattern.slice(at + 1, end));
      // All claims are needed for a match, so that the first unusable one decides.
      if (claim === null) return false;
      if (isAt(claim, name, position)) {
        at = end + 1;
        position += claim.length;
        if (claim.includes('/')) afterStar = NONE;
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

function isAt(part: string, name: NameText, position: number): boolean {
  if (position + part.length > name.length) return false;
  for (let at = 0; at < part.length; at += 1)
    if (part.charCodeAt(at) !== name.charCodeAt(position + at)) return false;
  return true;
}
