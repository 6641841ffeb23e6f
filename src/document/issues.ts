/** What a zod schema found wrong, in words: what stands there, what is allowed, the nearest key. */
import type { z } from 'zod';
import type { KeyPath } from './document.ts';
import type { Mistake } from './mistakes.ts';
import { nearestName } from './nearest-name.ts';
import { keyNamesAt } from './schema-walk.ts';

/** The document that an issue is about. */
export interface IssueContext {
  readonly schema: z.ZodType;
  /** Whether a value at this path must not be shown. */
  readonly holdsSecret: (path: KeyPath) => boolean;
  /** A mistake at the place of this key. */
  readonly mistakeAt: (path: KeyPath, message: string) => Mistake;
}

/** One mistake for each thing that a zod issue tells. */
export function explainIssue(issue: z.core.$ZodIssue, context: IssueContext): Mistake[] {
  const { schema, mistakeAt } = context;
  const path = issue.path.filter((part) => typeof part !== 'symbol');
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => {
      const known = keyNamesAt(schema, path);
      const nearest = nearestName(key, known);
      const hint = nearest === null ? `allowed are ${known.join(', ')}` : `the nearest is ${nearest}`;
      return mistakeAt([...path, key], `is no known key; ${hint}`);
    });
  // Of a union the alternative that came nearest: its issues lie deeper than the union itself.
  if (issue.code === 'invalid_union') {
    const deeper = issue.errors.filter((issues) => issues.some((inner) => inner.path.length > 0));
    const [nearest] = deeper;
    if (nearest !== undefined)
      return nearest.flatMap((inner) => explainIssue({ ...inner, path: [...path, ...inner.path] }, context));
  }
  return [mistakeAt(path, describe(issue, context.holdsSecret(path)))];
}

/** A path as messages have it: `plans.pro.repositories[0].pattern`. */
export function formatKey(path: KeyPath): string {
  return path.reduce<string>(
    (name, part) =>
      typeof part === 'number' ? `${name}[${part}]` : `${name}${name === '' ? '' : '.'}${nameOf(part)}`,
    '',
  );
}

function describe(issue: z.core.$ZodIssue, isSecret: boolean): string {
  const found = isSecret ? 'a value that is not shown' : show(issue.input);
  if (issue.code === 'invalid_type' && issue.input === undefined)
    return `is missing; it must be ${typeNames[issue.expected] ?? issue.expected}`;
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${typeNames[issue.expected] ?? issue.expected}, not ${found}`;
    case 'invalid_value':
      return `must be one of ${issue.values.join(', ')}, not ${found}`;
    case 'too_small':
      if (issue.origin === 'string') return issue.message;
      return `must be at least ${issue.minimum}${issue.origin === 'array' ? ' long' : ''}, not ${found}`;
    case 'too_big':
      return `must be at most ${issue.maximum}, not ${found}`;
    case 'invalid_key':
      return 'is a name that is not 1 to 64 printable ASCII characters without spaces';
    default:
      return issue.input === undefined || typeof issue.input === 'object'
        ? issue.message
        : `${issue.message}, not ${found}`;
  }
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};

function show(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object' && value !== null) return 'a mapping';
  // The user information of a URL is a password as a rule.
  const text = (JSON.stringify(value) ?? 'nothing').replace(/:[/\\]*[^/\\]*@|\/\/.*@/, '://…@');
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** A name as it stands, or in quotes where it would not be told from what is around it. */
function nameOf(part: string): string {
  const name = part.length > 80 ? `${part.slice(0, 80)}…` : part;
  return /^[\w.:/@+…-]+$/.test(name) ? name : JSON.stringify(name);
}
