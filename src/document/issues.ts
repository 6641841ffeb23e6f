/** What a zod schema found wrong, in words: what was found, what is allowed, which key was probably meant. */
import { z } from 'zod';
import type { Mistake } from './mistakes.ts';
import { quote } from './syntax-errors.ts';
import type { KeyPath } from './text.ts';

/** The document that an issue is about. */
export interface IssueContext {
  readonly schema: z.ZodType;
  /** Whether a value at this path must not be shown. */
  readonly holdsSecret: (path: KeyPath) => boolean;
  /** What to do about an unknown key, where more is known than the names that are allowed; null elsewhere. */
  readonly hintFor?: (path: KeyPath) => string | null;
  /** A mistake with the place of this key. */
  readonly mistakeAt: (path: KeyPath, message: string) => Mistake;
}

/** The mistakes that one zod issue stands for. */
export function explainIssue(issue: z.core.$ZodIssue, context: IssueContext): Mistake[] {
  const { schema, mistakeAt } = context;
  const path = issue.path.filter((part) => typeof part !== 'symbol');
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => {
      const hint = context.hintFor?.([...path, key]) ?? suggestName(key, keyNamesAt(schema, path));
      return mistakeAt([...path, key], `unknown key; ${hint}`);
    });
  // Of a union, explain the alternative that fits best: the one whose issues lie deeper than the union itself.
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
    return `is missing; must be ${typeNames[issue.expected] ?? issue.expected}`;
  switch (issue.code) {
    case 'invalid_type':
      if (issue.expected === 'string' && isUnquoted(issue.input))
        return `must be text, not a mapping; ${quote('{')}`;
      return `must be ${typeNames[issue.expected] ?? issue.expected}, not ${found}`;
    case 'invalid_value':
      return `must be one of ${issue.values.join(', ')}, not ${found}`;
    case 'too_small':
      if (issue.origin === 'string') return issue.message;
      return `must be at least ${issue.minimum}${issue.origin === 'array' ? ' long' : ''}, not ${found}`;
    case 'too_big':
      return `must be at most ${issue.maximum}, not ${found}`;
    case 'invalid_key':
      return `is not a valid name: ${issue.issues[0]?.message ?? 'use another'}`;
    default:
      return issue.input === undefined || typeof issue.input === 'object'
        ? issue.message
        : `${issue.message}, not ${found}`;
  }
}

/** What YAML makes of `{claim:tid}`. */
function isUnquoted(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const members = Object.values(value);
  return members.length > 0 && members.every((member) => member === null);
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

/** What a schema accepts, without the layers of defaults and transformations around it. */
export function alternatives(schema: z.ZodType): z.ZodType[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return alternatives(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodPipe) return alternatives(schema.in as z.ZodType);
  if (schema instanceof z.ZodUnion)
    return schema.options.flatMap((option) => alternatives(option as z.ZodType));
  return [schema];
}

/** The names of the keys that a mapping at this path may have; none where the schema has no mapping there. */
export function keyNamesAt(schema: z.ZodType, path: KeyPath): string[] {
  let choices = alternatives(schema);
  for (const part of path) choices = choices.flatMap((choice) => childOf(choice, part)).flatMap(alternatives);
  return choices.flatMap((choice) => (choice instanceof z.ZodObject ? Object.keys(choice.shape) : []));
}

function childOf(schema: z.ZodType, part: string | number): z.ZodType[] {
  if (schema instanceof z.ZodObject)
    return typeof part === 'string' && Object.hasOwn(schema.shape, part) ? [schema.shape[part]] : [];
  if (schema instanceof z.ZodRecord) return [schema.valueType as z.ZodType];
  return schema instanceof z.ZodArray ? [schema.element as z.ZodType] : [];
}

/** What to say after an unknown name: the name that was probably meant, else all that are allowed. */
export function suggestName(found: string, names: readonly string[]): string {
  const nearest = nearestName(found, names);
  return nearest === null ? `allowed are ${names.join(', ')}` : `did you mean \`${nearest}\`?`;
}

/** The name that a misspelt one most likely stands for; null if none is close. */
export function nearestName(found: string, names: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(found.length / 3)) + 1;
  for (const name of names) {
    const distance = editDistance(found.toLowerCase().slice(0, 64), name.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best;
}

/** Levenshtein: insertions, deletions and replacements. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (const [index, character] of [...from].entries()) {
    const next = [index + 1];
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = (row[column - 1] ?? 0) + (character === to[column - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
