/**
 * The grammar of repository patterns: `*` is any run of characters inside one path segment, `**` as a whole segment is
 * one or more segments, `{claim:NAME}` is that claim of the OpTok taken literally, and `{path:NAME}` one that is a whole
 * path. `|lower` after the name lower-cases it first. What a pattern matches is in `match.ts`.
 */

/** A piece of a segment: literal text, any run of characters, or the claim that a reference such as `claim:tid` names. */
type Piece = { readonly text: string } | { readonly reference: string } | '*';

/** A segment between slashes: its pieces, or `**`. */
export type Segment = readonly Piece[] | '**';

export const STAR = 0x2a;
export const SLASH = 0x2f;
export const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
/** What stands between the braces; a `|` is there before `lower` alone. */
const REFERENCE = /^(?:claim|path):[^{}|]+(?:\|lower)?$/;

/** What checking a pattern asks of its text. */
export type PatternText = Pick<string, 'length' | 'charCodeAt' | 'slice' | 'isWellFormed'>;

/** True for `A-Za-z0-9._:-`, by the ASCII code. */
const isLiteral: readonly boolean[] = Array.from({ length: 128 }, (_, code) =>
  /^[A-Za-z0-9._:-]$/.test(String.fromCharCode(code)),
);

const faults = {
  empty: 'is empty',
  segment: 'has an empty path segment',
  stars: 'has ** beside other characters; ** must be a whole path segment',
  braces: 'has braces that are neither {claim:NAME} nor {path:NAME}, with or without |lower after the name',
  character: 'has a character that no repository name can have',
} as const;

/** What is wrong with a pattern, in a phrase that follows the pattern's name; null where nothing is. Linear in its length. */
export function findPatternFault(pattern: PatternText): string | null {
  const { length } = pattern;
  if (length === 0) return faults.empty;
  if (!pattern.isWellFormed()) return faults.character;
  let segment = 0;
  for (let at = 0; at < length; at += 1) {
    const code = pattern.charCodeAt(at);
    if (isLiteral[code]) continue;
    if (code === SLASH) {
      if (at === segment) return faults.segment;
      segment = at + 1;
    } else if (code === STAR) {
      if (at + 1 >= length || pattern.charCodeAt(at + 1) !== STAR) continue;
      const isWhole = at === segment && (at + 2 === length || pattern.charCodeAt(at + 2) === SLASH);
      if (!isWhole) return faults.stars;
      at += 1;
    } else if (code === OPEN_BRACE) {
      const end = closeBrace(pattern, at);
      if (end === length || !REFERENCE.test(pattern.slice(at + 1, end))) return faults.braces;
      at = end;
    } else return faults.character;
  }
  return segment === length ? faults.segment : null;
}

/** Where the brace that opens here is closed; the end of the pattern where it is not. */
export function closeBrace(pattern: Pick<PatternText, 'length' | 'charCodeAt'>, open: number): number {
  let at = open + 1;
  while (at < pattern.length && pattern.charCodeAt(at) !== CLOSE_BRACE) at += 1;
  return at;
}

/** The segments of a pattern as they are written. A claim's name may hold a slash: `{claim:https://example.com/tid}`. */
export function writtenSegments(pattern: string): readonly string[] {
  return pattern.match(/(?:\{[^}]*\}|[^/])+/g) ?? [];
}

/** The parts of a pattern without a fault, for those who explain it. */
export function splitPattern(pattern: string): readonly Segment[] {
  return writtenSegments(pattern).map((segment) => (segment === '**' ? '**' : splitSegment(segment)));
}

function splitSegment(text: string): readonly Piece[] {
  return (text.match(/\{[^}]*\}|\*|[^{*]+/g) ?? []).map((token): Piece => {
    if (token === '*') return '*';
    return token.startsWith('{') ? { reference: token.slice(1, -1) } : { text: token };
  });
}
