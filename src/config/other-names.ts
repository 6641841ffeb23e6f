/**
 * Keys as other services name them: the StellaOps registry token service, which this one replaces, and ASP.NET, on which
 * that one runs. None of them is accepted; each is a mistake that says what to write, and its content is checked anyway.
 */
import { z } from 'zod';
import { alternatives } from '../document/issues.ts';
import type { KeyPath } from '../document/text.ts';

/** By path, in lower case. */
const hints: Readonly<Record<string, string>> = {
  'authority.metadataaddress': 'write `metadataUrl`',
  'authority.requirehttpsmetadata':
    'remove it: https is required everywhere but on loopback, and caPath names an authority of your own',
  'authority.backchanneltimeout': 'remove it: the Authority has 5 seconds to answer',
  'authority.tokenclockskew': 'write `clockSkew`',
  'authority.audience': 'write `audiences`, a list',
  'signing.keyfile': 'write `keyPath`',
  kestrel: 'write `server.listen` and `server.tls`',
  urls: 'write `server.listen`',
  allowedhosts: 'remove it: the Host header decides nothing here',
  serilog: 'write `logging.level`',
  'logging.loglevel': 'write `level: info`',
};

/** What to do about an unknown key at this path; null if it is not one of those. */
export function hintFor(path: KeyPath): string | null {
  const name = path.join('.').replaceAll('_', '').toLowerCase();
  return Object.hasOwn(hints, name) ? (hints[name] ?? null) : null;
}

export interface OtherName {
  readonly path: KeyPath;
  readonly message: string;
}

/**
 * A configuration with its keys as the schema has them, where only the letter case differs (`Signing: KeyPath`), and with
 * plans by name where they are a list; and where that was so.
 */
export function withOurNames(
  value: unknown,
  schema: z.ZodType,
): { readonly value: unknown; readonly found: readonly OtherName[] } {
  const found: OtherName[] = [];
  const seen = new Map<unknown, readonly z.ZodType[]>();
  const kindsOf = (kind: unknown): readonly z.ZodType[] => {
    if (kind === undefined) return [];
    const kinds = seen.get(kind) ?? alternatives(kind as z.ZodType);
    seen.set(kind, kinds);
    return kinds;
  };
  const visit = (part: unknown, kinds: readonly z.ZodType[], path: KeyPath): unknown => {
    // Where the schema ends. By an alias a value may hold itself.
    if (kinds.length === 0) return part;
    const record = kinds.find((kind) => kind instanceof z.ZodRecord);
    const list = kinds.find((kind) => kind instanceof z.ZodArray);
    const object = kinds.find((kind) => kind instanceof z.ZodObject);
    if (Array.isArray(part)) {
      const named = record === undefined ? null : byName(part);
      if (named !== null) {
        found.push({ path, message: howToName(named) });
        return visit(Object.fromEntries(named), kinds, path);
      }
      return part.map((item, index) => visit(item, kindsOf(list?.element), [...path, index]));
    }
    if (typeof part !== 'object' || part === null) return part;
    return Object.fromEntries(
      Object.entries(part).map(([key, member]) => {
        const isKnown = object === undefined || Object.hasOwn(object.shape, key);
        const name = isKnown ? key : (spellingOf(key, part, Object.keys(object.shape)) ?? key);
        if (name !== key)
          found.push({
            path: [...path, key],
            message: `unknown key; did you mean \`${name}\`? Letter case counts`,
          });
        return [name, visit(member, kindsOf(object?.shape[name] ?? record?.valueType), [...path, name])];
      }),
    );
  };
  return { value: visit(value, alternatives(schema), []), found };
}

/** The name that a key has here; null if it is unknown, or there too as it should be. */
function spellingOf(key: string, members: object, names: readonly string[]): string | null {
  const name = names.find((candidate) => candidate.toLowerCase() === key.toLowerCase());
  return name === undefined || Object.hasOwn(members, name) ? null : name;
}

/** The members of a list by their `name`; null if one has none, or two have the same. */
function byName(list: readonly unknown[]): (readonly [string, unknown])[] | null {
  const named = list.map((item) => {
    if (typeof item !== 'object' || item === null) return null;
    const { name, Name, ...members } = item as Record<string, unknown>;
    const found = name ?? Name;
    return typeof found === 'string' ? ([found, members] as const) : null;
  });
  const names = new Set(named.map((entry) => entry?.[0]));
  return named.length > 0 && names.size === named.length && named.every((entry) => entry !== null)
    ? named
    : null;
}

function howToName([first, second]: readonly (readonly [string, unknown])[]): string {
  const shown = [first, second].flatMap((entry) => (entry === undefined ? [] : [`${entry[0]}: {...}`]));
  return `must be a mapping, not a list; write the name of each as its key: { ${shown.join(', ')} }`;
}

/** The path of the same value in the document as it is written. */
export function writtenPath(path: KeyPath, document: unknown): KeyPath {
  let at = document;
  return path.map((part) => {
    const members = (typeof at === 'object' && at !== null ? at : {}) as Record<string | number, unknown>;
    const key = Object.hasOwn(members, part) ? part : (otherKey(part, members) ?? part);
    at = members[key];
    return key;
  });
}

function otherKey(part: string | number, members: object): string | number | undefined {
  const index = Array.isArray(members) ? (byName(members) ?? []).findIndex(([name]) => name === part) : -1;
  if (index >= 0) return index;
  return Object.keys(members).find((name) => name.toLowerCase() === String(part).toLowerCase());
}
