/** The configuration from its file and the environment, checked whole: every mistake at once, or a value. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import {
  type ConfigurationDocument,
  type KeyPath,
  parseConfigurationDocument,
} from '../document/document.ts';
import { explainIssue, formatKey } from '../document/issues.ts';
import { ConfigurationFault, formatPlace, type Mistake } from '../document/mistakes.ts';
import { errorCode } from '../platform/errors.ts';
import { findContradictions } from './contradictions.ts';
import { applyOverrides, type Override, readOverrides } from './environment.ts';
import { type Configuration, configurationSchema, secretKeys } from './schema.ts';

export interface LoadedConfiguration {
  readonly configuration: Configuration;
  /** The file, absolute. */
  readonly file: string;
  /** A path of the configuration, relative to the file, as an absolute one. */
  readonly resolvePath: (path: string) => string;
  /** Where this key stands: `file:line:column`, or the environment's variable. */
  readonly placeOf: (path: KeyPath) => string;
  /** A mistake found later, at the place of this key: `signing.additionalKeys.0`. */
  readonly mistakeAt: (key: string, message: string) => Mistake;
  /** The keys that the environment sets, each with its variable. */
  readonly overrides: readonly { readonly key: string; readonly variable: string }[];
}

/** Some 10,000 rules; YAML takes half a second for so many bytes. */
const MAX_BYTES = 1024 * 1024;
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

/**
 * Reads and checks the configuration at each call. Throws ConfigurationFault with every mistake. While the file has the
 * same content, what was made of it is returned again.
 */
export function configurationLoader(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): () => LoadedConfiguration {
  let last: { readonly text: Buffer; readonly loaded: LoadedConfiguration } | null = null;
  return () => {
    if (last !== null && hasContent(file, last.text)) return last.loaded;
    const text = readConfigurationFile(file);
    last = { text, loaded: readConfiguration(text, file, env) };
    return last.loaded;
  };
}

/** Reads and checks the configuration. Throws ConfigurationFault with every mistake. */
export function loadConfiguration(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): LoadedConfiguration {
  return readConfiguration(readConfigurationFile(file), file, env);
}

function readConfiguration(
  text: Buffer,
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): LoadedConfiguration {
  const document = parseConfigurationDocument(text.toString('utf8'), file);
  if (typeof document.value !== 'object' || document.value === null || Array.isArray(document.value))
    throw faultOf(
      file,
      'must be a YAML mapping with the keys authority, signing, registry and plans',
      document,
    );
  const { overrides, mistakes } = readOverrides(env, configurationSchema, document.value);
  const input = applyOverrides(document.value, overrides);
  const result = configurationSchema.safeParse(input, { reportInput: true });
  const mistakeAt = (path: KeyPath, message: string) => mistakeAtKey(path, message, document, overrides);
  const issues: z.core.$ZodIssue[] = [
    ...(result.error?.issues ?? []),
    ...findContradictions(input).map((found) => ({
      ...found,
      code: 'custom' as const,
      path: [...found.path],
    })),
  ];
  const all = [
    ...mistakes,
    ...issues.flatMap((issue) =>
      explainIssue(issue, { schema: configurationSchema, holdsSecret, mistakeAt }),
    ),
  ];
  if (all.length > 0 || result.data === undefined) throw new ConfigurationFault(all.sort(comparePlaces));
  return {
    configuration: result.data,
    file,
    resolvePath: (path) => resolve(dirname(file), path),
    placeOf: (path) => formatPlace(mistakeAt(path, '')),
    mistakeAt: (key, message) => mistakeAt(parseKey(key), message),
    overrides: overrides.map(({ path, variable }) => ({ key: formatKey(path), variable })),
  };
}

/** In the order of the file; what has no place in it comes after. */
function comparePlaces(a: Mistake, b: Mistake): number {
  if (a.line === null || b.line === null) return Number(a.line === null) - Number(b.line === null);
  return a.line - b.line || (a.column ?? 0) - (b.column ?? 0);
}

/** The text of a configuration file. Throws ConfigurationFault where it cannot be read, or is far too large. */
export function readConfigurationFile(file: string): Buffer {
  try {
    const { size } = statSync(file);
    if (size > MAX_BYTES)
      throw faultOf(
        file,
        `is ${size} bytes long; at most ${MAX_BYTES} are read as YAML: put long lists of plans into a JSON file, and name it in plansPath`,
      );
    return readFileSync(file);
  } catch (cause) {
    if (cause instanceof ConfigurationFault) throw cause;
    throw faultOf(file, `cannot be read (${errorCode(cause)})`);
  }
}

/** Whether a file holds exactly this. */
function hasContent(file: string, text: Buffer): boolean {
  try {
    return statSync(file).size === text.length && readFileSync(file).equals(text);
  } catch {
    return false;
  }
}

function faultOf(source: string, message: string, document?: ConfigurationDocument): ConfigurationFault {
  const place = document?.placeOfKey([]) ?? { line: null, column: null };
  return new ConfigurationFault([{ source, ...place, key: '', message }]);
}

/** True for a secret key, and for a mapping that has one: a text in its place may be what was meant for the key. */
function holdsSecret(path: KeyPath): boolean {
  const key = path.join('.');
  return [...secretKeys].some((secret) => secret === key || secret.startsWith(`${key}.`));
}

function mistakeAtKey(
  path: KeyPath,
  message: string,
  document: ConfigurationDocument,
  overrides: readonly Override[],
): Mistake {
  const key = formatKey(path);
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

/** List items are numbers. */
function parseKey(key: string): KeyPath {
  return key.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}
