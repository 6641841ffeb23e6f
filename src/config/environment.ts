/** Overrides from the environment: `REGISTRY_TOKEN_` and the path of a key. */
import { parse } from 'yaml';
import { z } from 'zod';
import { alternatives, suggestName } from '../document/issues.ts';
import type { Mistake } from '../document/mistakes.ts';
import type { KeyPath } from '../document/text.ts';
import { hintFor } from './other-names.ts';

export interface Override {
  readonly variable: string;
  readonly path: KeyPath;
  readonly value: unknown;
}

const PREFIX = 'REGISTRY_TOKEN_';
/** Which file to read is no key of that file. */
const CONFIG_VARIABLE = 'REGISTRY_TOKEN_CONFIG';
/** What Kubernetes adds for a Service of the name registry-token, or registry-token-anything. */
const SERVICE_LINK =
  /^REGISTRY_TOKEN_(?!.*__)(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/;

/**
 * Reads every override, outer keys before those inside them. A variable that is no key of the schema is a mistake;
 * so are two for one key, and a list item beyond the next. `present` is the file's content.
 */
export function readOverrides(
  env: Readonly<Record<string, string | undefined>>,
  schema: z.ZodType,
  present: unknown,
): { readonly overrides: readonly Override[]; readonly mistakes: readonly Mistake[] } {
  const found: Override[] = [];
  const mistakes: Mistake[] = [];
  const mistake = (variable: string, message: string) =>
    mistakes.push({ source: 'environment', line: null, column: null, key: variable, message });
  for (const [variable, text] of Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!variable.toUpperCase().startsWith(PREFIX) || text === undefined) continue;
    if (variable.toUpperCase() === CONFIG_VARIABLE || SERVICE_LINK.test(variable)) continue;
    const resolved = resolvePath(variable.slice(PREFIX.length).split('__'), schema, present);
    if ('fault' in resolved) mistake(variable, resolved.fault);
    else found.push({ variable, path: resolved.path, value: readValue(text, resolved.schema) });
  }
  const overrides: Override[] = [];
  let value = present;
  for (const override of found.sort((a, b) => comparePaths(a.path, b.path))) {
    const last = overrides.at(-1);
    const gap = findGap(value, override.path);
    if (last !== undefined && comparePaths(last.path, override.path) === 0)
      mistake(override.variable, `sets the same key as ${last.variable}: unset one of them`);
    else if (gap !== null) mistake(override.variable, gap);
    else {
      overrides.push(override);
      value = setAt(value, override.path, override.value);
    }
  }
  return { overrides, mistakes };
}

/** An outer key comes before what is inside it, and list items come in their order. */
function comparePaths(a: KeyPath, b: KeyPath): number {
  for (const [index, part] of a.entries()) {
    const other = b[index];
    if (other === undefined) return 1;
    if (part !== other) return part < other ? -1 : 1;
  }
  return a.length - b.length;
}

/** What is wrong where an item of a list is set that is neither there nor the next. */
function findGap(container: unknown, path: KeyPath): string | null {
  let at = container;
  for (const part of path) {
    const length = Array.isArray(at) ? at.length : 0;
    if (typeof part === 'number' && part > length) return `is item ${part} of a list whose next is ${length}`;
    at = memberOf(at, part);
  }
  return null;
}

/** Sets each override in a copy of the document. */
export function applyOverrides(value: unknown, overrides: readonly Override[]): unknown {
  let result: unknown = structuredClone(value ?? {});
  for (const { path, value: override } of overrides) result = setAt(result, path, override);
  return result;
}

function setAt(container: unknown, path: KeyPath, value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (typeof key === 'number') {
    const items = Array.isArray(container) ? [...container] : [];
    items[key] = setAt(items[key], rest, value);
    return items;
  }
  const members: Record<string, unknown> =
    typeof container === 'object' && container !== null ? { ...container } : {};
  return { ...members, [key]: setAt(memberOf(members, key), rest, value) };
}

type Resolved = { readonly path: KeyPath; readonly schema: z.ZodType } | { readonly fault: string };

/** Follows the parts of a variable's name through the schema. */
function resolvePath(parts: readonly string[], schema: z.ZodType, present: unknown): Resolved {
  const path: (string | number)[] = [];
  let at = schema;
  let value = present;
  for (const part of parts) {
    const level = enter(part, at, value);
    if ('names' in level) {
      const meant = findLevels(parts.flatMap((name) => name.split('_')).filter(Boolean), schema, present);
      const isMeant = meant !== null && meant.length > parts.length;
      if (!isMeant && level.names.length === 0)
        return { fault: `goes deeper than the configuration does, at ${part}` };
      const suggestion = isMeant
        ? `did you mean ${PREFIX}${meant.join('__')}? Two underscores separate levels`
        : (hintFor([...path, part]) ?? suggestName(plain(part), level.names));
      return { fault: `is not a key of the configuration; ${suggestion}` };
    }
    path.push(level.key);
    at = level.schema;
    value = memberOf(value, level.key);
  }
  return { path, schema: at };
}

type Level =
  | { readonly key: string | number; readonly schema: z.ZodType }
  /** Those that there are, where this one is not; none where nothing can be below. */
  | { readonly names: readonly string[] };

/** The key of this name inside a value; letter case and underscores do not count. */
function enter(part: string, schema: z.ZodType, value: unknown): Level {
  const choices = alternatives(schema);
  const object = choices.find((choice) => choice instanceof z.ZodObject);
  const record = choices.find((choice) => choice instanceof z.ZodRecord);
  const list = choices.find((choice) => choice instanceof z.ZodArray);
  if (object !== undefined) {
    const names = Object.keys(object.shape);
    const key = names.find((candidate) => plain(candidate) === plain(part));
    return key === undefined ? { names } : { key, schema: object.shape[key] as z.ZodType };
  }
  if (record !== undefined) {
    const key = ownKeys(value).find((candidate) => plain(candidate) === plain(part)) ?? part;
    return { key, schema: record.valueType as z.ZodType };
  }
  if (list !== undefined && /^\d{1,5}$/.test(part))
    return { key: Number(part), schema: list.element as z.ZodType };
  return { names: [] };
}

/** The words of a name divided into levels of the schema (`SIGNING`, `KEY_PATH`); null if they are none. */
function findLevels(words: readonly string[], schema: z.ZodType, value: unknown): string[] | null {
  if (words.length === 0) return [];
  const counts = words.map((_, index) => index + 1);
  const isNamedFreely = alternatives(schema).some((choice) => choice instanceof z.ZodRecord);
  // The longest name of a key: plansPath rather than plans. The shortest of a plan, which may be any.
  for (const count of isNamedFreely ? counts : counts.toReversed()) {
    const name = words.slice(0, count).join('_');
    const level = enter(name, schema, value);
    if ('names' in level) continue;
    const below = findLevels(words.slice(count), level.schema, memberOf(value, level.key));
    if (below !== null) return [name, ...below];
  }
  return null;
}

/** A string where nothing else fits; otherwise YAML (`[a, b]`), which is a string again where it is plain text. */
function readValue(text: string, schema: z.ZodType): unknown {
  const choices = alternatives(schema);
  const takesText = choices.some((choice) => choice instanceof z.ZodString || choice instanceof z.ZodEnum);
  const takesMore = choices.some((choice) => choice instanceof z.ZodArray || choice instanceof z.ZodObject);
  if (takesText && !takesMore) return text;
  try {
    // Warnings would go to standard error and quote the text, which may hold a password.
    const value: unknown = parse(text, { maxAliasCount: 0, logLevel: 'error' });
    return takesText && (typeof value !== 'object' || value === null) ? text : value;
  } catch {
    return text;
  }
}

function memberOf(container: unknown, key: string | number): unknown {
  return typeof container === 'object' && container !== null && Object.hasOwn(container, key)
    ? (container as Record<string, unknown>)[key]
    : undefined;
}

function ownKeys(value: unknown): string[] {
  return typeof value === 'object' && value !== null ? Object.keys(value) : [];
}

function plain(name: string): string {
  return name.replaceAll('_', '').toLowerCase();
}
