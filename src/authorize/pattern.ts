/**
 * Repository patterns (CONTRACT §3): `*` is any run of characters inside one path segment, `**` as a whole segment
 * is one or more segments, `{claim:NAME}` is that claim of the OpTok taken literally.
 */
import type { JsonObject } from '../authenticate/compact-jws.ts';
import { isNameComponent } from '../request/resource-scope.ts';

/** A piece of a segment: text to be found as it is, any run of characters, or the value of a claim. */
type Piece = { readonly text: string } | { readonly claim: string } | '*';

/** A segment between slashes: its pieces, or `**`. */
export type Segment = readonly Piece[] | '**';

export interface Pattern {
  readonly source: string;
  readonly segments: readonly Segment[];
}

/** A segment with its claims filled in, as literal texts between the `*`. */
type Glob = readonly string[] | '**';

const LITERAL = /^[A-Za-z0-9._:-]+$/;

/** Parses a pattern, or says what is wrong with it in a phrase that follows the pattern's name. */
export function parsePattern(source: string): Pattern | { readonly fault: string } {
  if (source === '') return { fault: 'is empty' };
  const segments: Segment[] = [];
  for (const text of splitSegments(source)) {
    if (text === '') return { fault: 'has an empty path segment' };
    if (text === '**') segments.push('**');
    else {
      const pieces = parseSegment(text);
      if ('fault' in pieces) return pieces;
      segments.push(pieces);
    }
  }
  return { source, segments };
}

/** Splits at slashes, but not inside braces: a claim's name may hold one (`{claim:https://example.com/tid}`). */
function splitSegments(source: string): string[] {
  return (source.match(/(?:\{[^}]*\}|[^/])+|\/(?=\/|$)|^\//g) ?? []).map((text) =>
    text === '/' ? '' : text,
  );
}

function parseSegment(text: string): readonly Piece[] | { readonly fault: string } {
  const pieces: Piece[] = [];
  for (const token of text.match(/\{[^}]*\}?|\*+|[^{*]+/g) ?? []) {
    const claim = /^\{claim:([^{}]+)\}$/.exec(token)?.[1];
    if (claim !== undefined) pieces.push({ claim });
    else if (token === '*') pieces.push('*');
    else if (token.startsWith('**'))
      return { fault: 'has ** beside other characters: ** is a whole path segment' };
    else if (token.startsWith('{')) return { fault: 'has braces that are not {claim:NAME}' };
    else if (!LITERAL.test(token)) return { fault: 'has a character that no repository name can have' };
    else pieces.push({ text: token });
  }
  return pieces;
}

/**
 * True where the pattern, with these claims filled in, matches the whole name. Its time grows with the product
 * of the two lengths at worst, whatever the pattern.
 */
export function matchesPattern(pattern: Pattern, name: string, claims: JsonObject): boolean {
  const globs: Glob[] = [];
  for (const segment of pattern.segments) {
    const glob = segment === '**' ? segment : fillIn(segment, claims);
    if (glob === null) return false;
    globs.push(glob);
  }
  return matchesSegments(globs, name.split('/'));
}

/** The literal texts between the `*` of a segment; null where a claim is missing or is no valid name component. */
export function fillIn(pieces: readonly Piece[], claims: JsonObject): readonly string[] | null {
  const texts = [''];
  for (const piece of pieces) {
    if (piece === '*') {
      texts.push('');
      continue;
    }
    const text = 'text' in piece ? piece.text : claimComponent(claims, piece.claim);
    if (text === null) return null;
    texts[texts.length - 1] += text;
  }
  return texts;
}

/** The claim as one path component of a repository name; null where it is none. */
export function claimComponent(claims: JsonObject, name: string): string | null {
  const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
  return typeof value === 'string' && value.length <= 255 && isNameComponent(value) ? value : null;
}

/**
 * Glob matching over segments. After a mismatch only the last `**` needs to take one segment more: whatever an
 * earlier one could gain, the last one can take too.
 */
function matchesSegments(globs: readonly Glob[], segments: readonly string[]): boolean {
  let glob = 0;
  let segment = 0;
  let resumeGlob = -1;
  let resumeSegment = -1;
  while (segment < segments.length) {
    const current = globs[glob];
    if (current === '**') {
      resumeGlob = glob + 1;
      resumeSegment = segment + 1;
      glob = resumeGlob;
      segment = resumeSegment;
    } else if (current !== undefined && matchesGlob(current, segments[segment] ?? '')) {
      glob += 1;
      segment += 1;
    } else if (resumeGlob !== -1) {
      resumeSegment += 1;
      glob = resumeGlob;
      segment = resumeSegment;
    } else return false;
  }
  return segment === segments.length && glob === globs.length;
}

/** True where the text starts with the first literal, ends with the last, and has the others in between in order. */
export function matchesGlob(literals: readonly string[], text: string): boolean {
  const first = literals[0] ?? '';
  if (literals.length === 1) return text === first;
  const last = literals[literals.length - 1] ?? '';
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last))
    return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const literal of literals.slice(1, -1)) {
    const found = text.indexOf(literal, at);
    if (found === -1 || found + literal.length > end) return false;
    at = found + literal.length;
  }
  return true;
}
