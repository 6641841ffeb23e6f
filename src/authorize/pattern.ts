/**
 * Repository patterns (CONTRACT §3): `*` is any run of characters inside one path segment, `**` as a whole segment
 * is one or more segments, `{claim:NAME}` is that claim of the OpTok taken literally. Here is their grammar; what a
 * pattern matches is told by `match.ts`, from the very text that was checked here.
 */

/** A piece of a segment: text to be found as it is, any run of characters, or the value of a claim. */
type Piece = { readonly text: string } | { readonly claim: string } | '*';

/** A segment between slashes: its pieces, or `**`. */
export type Segment = readonly Piece[] | '**';

/** A pattern in its parts: for those who explain it. */
export interface Pattern {
  readonly source: string;
  readonly segments: readonly Segment[];
}

export const STAR = 0x2a;
export const SLASH = 0x2f;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;
/** How a claim begins; its name goes up to the closing brace. */
export const CLAIM = new TextEncoder().encode('{claim:');

/** True for `A-Za-z0-9._:-`, by the ASCII code. */
const isLiteral: readonly boolean[] = Array.from({ length: 256 }, (_, code) =>
  /^[A-Za-z0-9._:-]$/.test(String.fromCharCode(code)),
);

/** Parses a pattern, or says what is wrong with it in a phrase that follows the pattern's name. */
export function parsePattern(source: string): Pattern | { readonly fault: string } {
  // A half of a pair would become another character in UTF-8.
  if (!source.isWellFormed()) return { fault: faults.character };
  const text = encodePattern(source);
  const fault = findPatternFault(text, 0, text.length);
  return fault === null ? { source, segments: splitPattern(source) } : { fault };
}

/** A pattern as it is checked and matched: UTF-8. */
export function encodePattern(source: string): Uint8Array {
  return new TextEncoder().encode(source);
}

const faults = {
  empty: 'is empty',
  segment: 'has an empty path segment',
  stars: 'has ** beside other characters: ** is a whole path segment',
  braces: 'has braces that are not {claim:NAME}',
  character: 'has a character that no repository name can have',
} as const;

/** What is wrong with the pattern in text[from, to), or null. Every byte is looked at once or twice. */
export function findPatternFault(text: Uint8Array, from: number, to: number): string | null {
  if (from === to) return faults.empty;
  let segment = from;
  for (let at = from; at < to; at += 1) {
    const code = text[at] ?? 0;
    if (isLiteral[code]) continue;
    if (code === SLASH) {
      if (at === segment) return faults.segment;
      segment = at + 1;
    } else if (code === STAR) {
      if (at + 1 >= to || text[at + 1] !== STAR) continue;
      const isWhole = at === segment && (at + 2 === to || text[at + 2] === SLASH);
      if (!isWhole) return faults.stars;
      at += 1;
    } else if (code === OPEN_BRACE) {
      const end = claimEnd(text, at, to);
      if (end === null) return faults.braces;
      at = end;
    } else return faults.character;
  }
  return segment === to ? faults.segment : null;
}

/** Where the closing brace of the claim at this opening brace is; null where it is no `{claim:NAME}`. */
function claimEnd(text: Uint8Array, open: number, to: number): number | null {
  const name = open + CLAIM.length;
  for (let at = open; at < name; at += 1) if (at >= to || text[at] !== CLAIM[at - open]) return null;
  for (let at = name; at < to; at += 1) {
    if (text[at] === OPEN_BRACE) return null;
    if (text[at] === CLOSE_BRACE) return at === name ? null : at;
  }
  return null;
}

/** The parts of a pattern without a fault. A claim's name may hold a slash: `{claim:https://example.com/tid}`. */
export function splitPattern(source: string): readonly Segment[] {
  const segments = source.match(/(?:\{[^}]*\}|[^/])+/g) ?? [];
  return segments.map((segment) => (segment === '**' ? '**' : splitSegment(segment)));
}

function splitSegment(text: string): readonly Piece[] {
  return (text.match(/\{[^}]*\}|\*|[^{*]+/g) ?? []).map((token): Piece => {
    if (token === '*') return '*';
    return token.startsWith('{') ? { claim: token.slice(CLAIM.length, -1) } : { text: token };
  });
}
