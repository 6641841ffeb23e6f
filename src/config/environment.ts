/** Overrides from the environment: `REGISTRY_TOKEN_` and the path of a key (CONTRACT §4). */
import { parse } from 'yaml';
import { z } from 'zod';
import type { KeyPath } from './document.ts';
import type { Mistake } from './mistakes.ts';
import { nearestName } from './nearest-name.ts';
import { alternatives } from './schema-walk.ts';

export interface Override {
  readonly variable: string;
  readonly path: KeyPath;
  readonly value: unknown;
}

const PREFIX = 'REGISTRY_TOKEN_';
/** Which file to read is no key of that file. */
const CONFIG_VARIABLE = 'REGISTRY_TOKEN_CONFIG';
/** What Kubernetes adds for a Service of the name registry-token. */
const SERVICE_LINK = /^REGISTRY_TOKEN_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\w+)?)$/;

/** Reads every override; a variable that is no key of the schema is a mistake. `present` is the file's content. */
export function readOverrides(
  env: Readonly<Record<string, string | undefined>>,
  schema: z.ZodType,
  present: unknown,
): { readonly overrides: readonly Override[]; readonly mistakes: readonly Mistake[] } {
  const overrides: Override[] = [];
  const mistakes: Mistake[] = [];
  for (const [variable, text] of Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!variable.toUpperCase().startsWith(PREFIX) || text === undefined) continue;
    if (variable.toUpperCase() === CONFIG_VARIABLE || SERVICE_LINK.test(variable)) continue;
    const resolved = resolvePath(variable.slice(PREFIX.length).split('__'), schema, present);
    if ('fault' in resolved) {
      mistakes.push({
        source: 'environment',
        line: null,
        column: null,
        key: variable,
        message: resolved.fault,
      });
    } else overrides.push({ variable, path: resolved.path, value: readValue(text, resolved.schema) });
  }
  return { overrides, mistakes };
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
  const current = members[key];
  return { ...members, [key]: setAt(current, rest, value) };
}

type Resolved = { readonly path: KeyPath; readonly schema: z.ZodType } | { readonly fault: string };

/** Follows the parts of a variable's name through the schema; letter case and underscores do not count. */
function resolvePath(parts: readonly string[], schema: z.ZodType, present: unknown): Resolved {
  const path: (string | number)[] = [];
  let at = schema;
  let value = present;
  for (const part of parts) {
    const choices = alternatives(at);
    const object = choices.find((choice) => choice instanceof z.ZodObject);
    const record = choices.find((choice) => choice instanceof z.ZodRecord);
    const list = choices.find((choice) => choice instanceof z.ZodArray);
    let key: string | number;
    if (object !== undefined) {
      const names = Object.keys(object.shape);
      const name = names.find((candidate) => plain(candidate) === plain(part));
      if (name === undefined) {
        const nearest = nearestName(plain(part), names);
        return {
          fault: `is no key of the configuration${nearest === null ? '' : `; the nearest is ${nearest}`}`,
        };
      }
      key = name;
      at = object.shape[name] as z.ZodType;
    } else if (record !== undefined) {
      key = ownKeys(value).find((candidate) => plain(candidate) === plain(part)) ?? part;
      at = record.valueType as z.ZodType;
    } else if (list !== undefined && /^\d{1,5}$/.test(part)) {
      key = Number(part);
      at = list.element as z.ZodType;
    } else return { fault: `goes deeper than the configuration does, at ${part}` };
    path.push(key);
    value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
  }
  return { path, schema: at };
}

/** A string where nothing else fits; otherwise YAML (`[a, b]`), which is a string again where it is plain text. */
function readValue(text: string, schema: z.ZodType): unknown {
  const choices = alternatives(schema);
  const takesText = choices.some((choice) => choice instanceof z.ZodString || choice instanceof z.ZodEnum);
  const takesMore = choices.some((choice) => choice instanceof z.ZodArray || choice instanceof z.ZodObject);
  if (takesText && !takesMore) return text;
  try {
    const value: unknown = parse(text, { maxAliasCount: 0 });
    return takesText && (typeof value !== 'object' || value === null) ? text : value;
  } catch {
    return text;
  }
}

function ownKeys(value: unknown): string[] {
  return typeof value === 'object' && value !== null ? Object.keys(value) : [];
}

function plain(name: string): string {
  return name.replaceAll('_', '').toLowerCase();
}
