/** The configuration from its file and the environment, checked whole: every mistake at once, or a value. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import { type ConfigurationDocument, type KeyPath, parseConfigurationDocument } from './document.ts';
import { applyOverrides, type Override, readOverrides } from './environment.ts';
import { ConfigurationFault, formatPlace, type Mistake } from './mistakes.ts';
import { nearestName } from './nearest-name.ts';
import { type Configuration, configurationSchema, notSupportedYet, secretKeys } from './schema.ts';
import { keyNamesAt } from './schema-walk.ts';

export interface LoadedConfiguration {
  readonly configuration: Configuration;
  /** The file, absolute. */
  readonly file: string;
  /** A path of the configuration, relative to the file, as an absolute one. */
  readonly resolvePath: (path: string) => string;
  /** Where this key stands: `file:line:column`, or the environment's variable. */
  readonly placeOf: (path: KeyPath) => string;
  /** A mistake found later, at the place of this key. */
  readonly mistakeAt: (key: string, message: string) => Mistake;
}

const MAX_BYTES = 64 * 1024 * 1024;
const DEFAULT_FILES = ['etc/registry-token.yaml', '/etc/registry-token/registry-token.yaml'];

/** Which file is read: the option, `REGISTRY_TOKEN_CONFIG`, or the first of the two default places that exists. */
export function findConfigurationFile(
  option: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string {
  const named = option ?? (env.REGISTRY_TOKEN_CONFIG || undefined);
  if (named !== undefined) return resolve(named);
  const found = DEFAULT_FILES.find((file) => existsSync(file));
  if (found !== undefined) return resolve(found);
  throw faultOf(
    'configuration',
    `there is no file: name one with --config or REGISTRY_TOKEN_CONFIG, or write ${DEFAULT_FILES.join(' or ')}`,
  );
}

/** Reads and checks the configuration. Throws ConfigurationFault with every mistake. */
export function loadConfiguration(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): LoadedConfiguration {
  const document = parseConfigurationDocument(readConfigurationFile(file), file);
  if (typeof document.value !== 'object' || document.value === null || Array.isArray(document.value))
    throw faultOf(
      file,
      'must be a YAML mapping with the keys authority, signing, registry and plans',
      document,
    );
  const { overrides, mistakes } = readOverrides(env, configurationSchema, document.value);
  const input = applyOverrides(document.value, overrides);
  const result = configurationSchema.safeParse(input, { reportInput: true });
  const all = [
    ...mistakes,
    ...(result.error?.issues ?? []).flatMap((issue) => explainIssue(issue, document, overrides)),
    ...findUnsupported(input).map((key) =>
      mistakeAtKey(key.split('.'), 'is not supported yet', document, overrides),
    ),
  ];
  if (all.length > 0 || result.data === undefined) throw new ConfigurationFault(all);
  return {
    configuration: result.data,
    file,
    resolvePath: (path) => resolve(dirname(file), path),
    placeOf: (path) => formatPlace(mistakeAtKey(path, '', document, overrides)),
    mistakeAt: (key, message) => mistakeAtKey(key.split('.'), message, document, overrides),
  };
}

function readConfigurationFile(file: string): string {
  try {
    const { size } = statSync(file);
    if (size > MAX_BYTES) throw faultOf(file, `is ${size} bytes long: ${MAX_BYTES} at most`);
    return readFileSync(file, 'utf8');
  } catch (cause) {
    if (cause instanceof ConfigurationFault) throw cause;
    throw faultOf(
      file,
      `cannot be read (${cause instanceof Error && 'code' in cause ? cause.code : 'unknown fault'})`,
    );
  }
}

function faultOf(source: string, message: string, document?: ConfigurationDocument): ConfigurationFault {
  const place = document?.placeOf([]) ?? { line: null, column: null };
  return new ConfigurationFault([{ source, ...place, key: '', message }]);
}

/** One mistake for each thing that a zod issue tells. */
function explainIssue(
  issue: z.core.$ZodIssue,
  document: ConfigurationDocument,
  overrides: readonly Override[],
): Mistake[] {
  const path = issue.path.filter((part) => typeof part !== 'symbol');
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => {
      const known = keyNamesAt(configurationSchema, path);
      const nearest = nearestName(key, known);
      const hint = nearest === null ? `allowed are ${known.join(', ')}` : `the nearest is ${nearest}`;
      return mistakeAtKey([...path, key], `is no known key; ${hint}`, document, overrides);
    });
  // Of a union the alternative that came nearest: its issues lie deeper than the union itself.
  if (issue.code === 'invalid_union') {
    const deeper = issue.errors.filter((issues) => issues.some((inner) => inner.path.length > 0));
    const [nearest] = deeper;
    if (nearest !== undefined)
      return nearest.flatMap((inner) =>
        explainIssue({ ...inner, path: [...path, ...inner.path] }, document, overrides),
      );
  }
  return [mistakeAtKey(path, describe(issue, path), document, overrides)];
}

function describe(issue: z.core.$ZodIssue, path: KeyPath): string {
  const found = holdsSecret(path) ? 'a value that is not shown' : show(issue.input);
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

/** True for a secret key, and for a mapping that has one: a text in its place may be what was meant for the key. */
function holdsSecret(path: KeyPath): boolean {
  const key = path.join('.');
  return [...secretKeys].some((secret) => secret === key || secret.startsWith(`${key}.`));
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
  const text = (JSON.stringify(value) ?? 'nothing').replace(/\/\/.*@/, '//…@');
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function findUnsupported(input: unknown): string[] {
  return notSupportedYet
    .filter(({ key, unless }) => {
      let value = input;
      for (const part of key.split('.'))
        value = (value as Record<string, unknown> | null | undefined)?.[part];
      return value !== undefined && value !== unless;
    })
    .map(({ key }) => key);
}

function mistakeAtKey(
  path: KeyPath,
  message: string,
  document: ConfigurationDocument,
  overrides: readonly Override[],
): Mistake {
  const key = path.reduce<string>(
    (name, part) =>
      typeof part === 'number' ? `${name}[${part}]` : `${name}${name === '' ? '' : '.'}${nameOf(part)}`,
    '',
  );
  const override = overrides.findLast(({ path: set }) => set.every((part, index) => part === path[index]));
  if (override !== undefined)
    return {
      source: 'environment',
      line: null,
      column: null,
      key: override.variable,
      message: `${message} (${key})`,
    };
  return { source: document.source, ...document.placeOfKey(path), key, message };
}

/** A name as it stands, or in quotes where it would not be told from what is around it. */
function nameOf(part: string): string {
  const name = part.length > 80 ? `${part.slice(0, 80)}…` : part;
  return /^[\w.:/@+…-]+$/.test(name) ? name : JSON.stringify(name);
}
