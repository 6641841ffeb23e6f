/** What is wrong with the syntax of a YAML text, for the person who wrote it, and where. */
import type { YAMLError } from 'yaml';

export interface SyntaxFault {
  /** The offset in the text. */
  readonly at: number;
  readonly message: string;
}

/**
 * Says what to write instead, in place of the package's own message, which names the parts of a grammar. Quotes nothing of
 * the text, which may be a password.
 */
export function explainSyntaxError({ code, message, pos }: YAMLError, text: string): SyntaxFault {
  const [at] = pos;
  if (code === 'MULTIPLE_DOCS')
    return { at, message: 'starts a second YAML document; the file must hold exactly one' };
  const fault = findUnquoted(message, at, text);
  if (fault !== null) return { at: fault.at, message: `is not valid YAML: ${fault.message}` };
  const known = byCode[code] ?? byMessage.find(([pattern]) => pattern.test(message))?.[1];
  return { at, message: `is not valid YAML: ${known ?? message.split(': ', 1).join('')}` };
}

/** The most frequent fault: a value that begins with a character that means something in YAML. */
export function quote(first: string): string {
  return first === '*'
    ? 'a value that begins with * must be quoted: "*"'
    : `a value that begins with ${first} must be quoted`;
}

/** A value that goes on where a bracket, a quote or an alias ends it. */
function findUnquoted(message: string, at: number, text: string): SyntaxFault | null {
  if (!message.startsWith('Unexpected scalar at node end')) return null;
  const lineStart = text.lastIndexOf('\n', at - 1) + 1;
  const before = text.slice(lineStart, at).trimEnd();
  const open = { '}': '{', ']': '[' }[before.at(-1) ?? ''];
  if (open !== undefined) return { at: lineStart + openingOf(before, open), message: quote(open) };
  if (/["']$/.test(before))
    return { at, message: "text follows a closing quote; a ' in single quotes is written ''" };
  const alias = /\*\S*$/.exec(before);
  return alias === null ? null : { at: lineStart + alias.index, message: quote('*') };
}

/** Where the bracket is that the last character closes; that character itself if the bracket is on another line. */
function openingOf(before: string, open: string): number {
  const last = before.length - 1;
  let depth = 0;
  for (let index = last; index >= 0; index -= 1) {
    if (before[index] === before[last]) depth += 1;
    if (before[index] === open) depth -= 1;
    if (depth === 0) return index;
  }
  return last;
}

const byCode: Readonly<Partial<Record<YAMLError['code'], string>>> = {
  BAD_ALIAS: quote('*'),
  TAG_RESOLVE_FAILED: `unknown tag; ${quote('!')}`,
  BAD_DIRECTIVE: `unknown directive; ${quote('%')}`,
  BAD_DQ_ESCAPE: 'unknown escape after \\ in double quotes; use single quotes to take \\ literally',
  TAB_AS_INDENT: 'indentation is by spaces, not by tabs',
};

/** By what the package says. */
const byMessage: readonly (readonly [RegExp, string])[] = [
  ...['@', '`', '%', ',', '|', '>'].map(
    (first) => [new RegExp(`^Plain value cannot start with .* character \\${first}$`), quote(first)] as const,
  ),
  [/^Block scalar header includes extra/, quote('| or >')],
  [
    /^Nested mappings are not allowed in compact/,
    'a key inside a value; put a value with ": " in quotes, and give all keys of a mapping the same indentation',
  ],
  [/^All mapping items must start/, 'this key is not indented as the other keys of its mapping'],
  [/^Implicit (?:map )?keys need to be/, 'expected `key: value`, with a space after the colon'],
  [/^Unexpected scalar at node end/, 'unexpected text; check the indentation of this line'],
  [/^Flow map in block collection/, 'a { is not closed by a }'],
  [/^Flow sequence in block collection/, 'a [ is not closed by a ]'],
  [/^Unexpected flow-map-end/, 'a } without a { before it'],
  [/^Unexpected flow-seq-end/, 'a ] without a [ before it'],
  [/^Missing closing ["']quote/, 'a quote is not closed'],
  [/^Unexpected block-seq-ind on same line/, 'a list begins on the line after its key'],
  [/^Comments must be separated/, 'a comment needs a space before its #'],
];
