/** The configuration from its file and the environment, checked whole: every mistake at once, or a value. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type ConfigurationDocument, parseConfigurationDocument } from '../document/document.ts';
import { explainIssue, formatKey } from '../document/issues.ts';
import { ConfigurationFault, formatPlace, type Mistake } from '../document/mistakes.ts';
import { decodeText, type KeyPath, parseKeyPath } from '../document/text.ts';
import { explainError } from '../platform/errors.ts';
import { findContradictions, memberOf } from './contradictions.ts';
import { applyOverrides, type Override, readOverrides } from './environment.ts';
import { hintFor, withOurNames, writtenPath } from './other-names.ts';
import { emptyPlansFile, inOrder, type PlansFile, readPlansFile } from './plans-file.ts';
import { type Configuration, configurationSchema, secretKeys } from './schema.ts';
import { type ListenAddress, parseTelemetryAddress, type UnixAddress } from './values.ts';

export interface LoadedConfiguration {
  readonly configuration: Configuration;
  /** The file, absolute. */
  readonly file: string;
  /** The file that `plansPath` names, absolute; null where it names none. */
  readonly plansFile: string | null;
  /** A path of the configuration, relative to the file, as an absolute one. */
  readonly resolvePath: (path: string) => string;
  /** Where this key stands: `file:line:column`, or the environment's variable. */
  readonly placeOf: (path: KeyPath) => string;
  /** A mistake found later, at the place of this key: `signing.additionalKeys.0`. */
  readonly mistakeAt: (key: string, message: string) => Mistake;
  /** The keys that the environment sets, each with its variable. */
  readonly overrides: readonly { readonly key: string; readonly variable: string }[];
}

/** Some 10,000 rules; YAML takes more than a second for so many bytes. */
const MOST_YAML_BYTES = 1024 * 1024;
const MOST_PLANS_BYTES = 64 * 1024 * 1024;
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

/** Reads a whole file, of at most so many bytes. Throws as Node does. */
export type ReadFile = (file: string) => Buffer;

/**
 * Reads and checks the configuration at each call. Throws ConfigurationFault with every mistake. While its files have the
 * same content, what was made of them is returned again.
 */
export function configurationLoader(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): (readFile?: ReadFile) => LoadedConfiguration {
  let last: { readonly contents: ReadonlyMap<string, Buffer>; readonly loaded: LoadedConfiguration } | null =
    null;
  return (readFile = readFileSync) => {
    if (last !== null && [...last.contents].every(([path, bytes]) => hasContent(path, bytes, readFile)))
      return last.loaded;
    const contents = new Map<string, Buffer>();
    const loaded = loadConfiguration(file, env, (path) => {
      const bytes = readFile(path);
      contents.set(path, bytes);
      return bytes;
    });
    last = { contents, loaded };
    return loaded;
  };
}

/** Reads and checks the configuration. Throws ConfigurationFault with every mistake. */
export function loadConfiguration(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
  readFile: ReadFile = readFileSync,
): LoadedConfiguration {
  const text = decodeText(readConfigurationFile(file, readFile), file);
  const document = parseConfigurationDocument(text, file);
  if (typeof document.value !== 'object' || document.value === null || Array.isArray(document.value))
    throw faultOf(
      file,
      'must be a YAML mapping with the keys authority, signing, registry and plans',
      document,
    );
  const written = judge(document.value, env);
  const { value, found } = written.result.success
    ? { value: null, found: [] }
    : withOurNames(document.value, configurationSchema);
  // What is written under other names is checked too, so that its mistakes are reported in the same run.
  const { overrides, mistakes, input, result } = found.length === 0 ? written : judge(value, env);
  const resolvePath = (path: string) => resolve(dirname(file), path);
  const inFile = (path: KeyPath, message: string) => mistakeAtKey(path, message, document, overrides);
  const more = openPlansFile(input, { readFile, resolvePath, mistakeAt: inFile });
  const mistakeAt = (path: KeyPath, message: string): Mistake =>
    isOf(more, path)
      ? { source: more.file, ...more.placeOfKey(path), key: formatKey(path), message }
      : inFile(path, message);
  const context = { schema: configurationSchema, holdsSecret, hintFor, mistakeAt: inFile };
  // What plans a bundle has shows when it is opened.
  const isCatalogueKnown =
    (more === null || more.mistakes.length === 0) && memberOf(input, 'entitlements') === undefined;
  const contradictions = findContradictions(input, isCatalogueKnown ? [...(more?.plans.keys() ?? [])] : null);
  const all = [
    ...mistakes,
    ...found.map(({ path, message }) => inFile(path, message)),
    ...(result.error?.issues ?? []).flatMap((issue) => explainIssue(issue, context)),
    ...contradictions.flatMap((found) =>
      explainIssue({ ...found, code: 'custom', path: [...found.path] }, context),
    ),
    ...(more?.mistakes ?? []),
    ...findDoublePlans(input, more, inFile),
  ];
  if (all.length > 0 || result.data === undefined)
    throw new ConfigurationFault(all.sort((a, b) => comparePlaces(a, b, file)));
  const plans = inOrder(result.data.plans, document, ['plans']);
  return {
    configuration: { ...result.data, plans: new Map([...plans, ...(more?.plans ?? [])]) },
    file,
    plansFile: more?.file ?? null,
    resolvePath,
    placeOf: (path) => formatPlace(mistakeAt(path, '')),
    mistakeAt: (key, message) => mistakeAt(parseKeyPath(key), message),
    overrides: overrides.map(({ path, variable }) => ({ key: formatKey(path), variable })),
  };
}

/**
 * `telemetry.listen` alone, so that a running service can be asked whatever else is wrong in the file: null where it names
 * none. Throws ConfigurationFault where it cannot be read as far as that.
 */
export function readTelemetryListen(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): ListenAddress | UnixAddress | null {
  const listen = memberOf(memberOf(readUnchecked(file, env), 'telemetry'), 'listen');
  return typeof listen === 'string' ? parseTelemetryAddress(listen) : null;
}

/** `logging` alone, for the same reason: the audit file, absolute, and the level, where they are text. */
export function readLogging(
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): { readonly auditPath: string | null; readonly level: string | null } {
  const logging = memberOf(readUnchecked(file, env), 'logging');
  const [path, level] = [memberOf(logging, 'auditPath'), memberOf(logging, 'level')];
  return {
    auditPath: typeof path === 'string' && path !== '' ? resolve(dirname(file), path) : null,
    level: typeof level === 'string' ? level : null,
  };
}

/** The content with the environment's overrides, whatever is wrong in it. */
function readUnchecked(file: string, env: Readonly<Record<string, string | undefined>>): unknown {
  const { value } = parseConfigurationDocument(decodeText(readConfigurationFile(file), file), file);
  return applyOverrides(value, readOverrides(env, configurationSchema, value).overrides);
}

/** The content of the file with the environment's overrides, and how the schema finds it. */
function judge(content: unknown, env: Readonly<Record<string, string | undefined>>) {
  const { overrides, mistakes } = readOverrides(env, configurationSchema, content);
  const input = applyOverrides(content, overrides);
  return { overrides, mistakes, input, result: configurationSchema.safeParse(input, { reportInput: true }) };
}

/** The file that `plansPath` names; null where it names none. One that cannot be read has that as its mistake. */
function openPlansFile(
  input: unknown,
  {
    readFile,
    resolvePath,
    mistakeAt,
  }: {
    readonly readFile: ReadFile;
    readonly resolvePath: (path: string) => string;
    readonly mistakeAt: (path: KeyPath, message: string) => Mistake;
  },
): PlansFile | null {
  const path = memberOf(input, 'plansPath');
  if (typeof path !== 'string' || path === '') return null;
  const file = resolvePath(path);
  try {
    return readPlansFile(readBounded(file, MOST_PLANS_BYTES, readFile), file);
  } catch (cause) {
    const message =
      cause instanceof TooLarge
        ? `${file} has ${cause.size} bytes; at most ${MOST_PLANS_BYTES} are read`
        : `${file} cannot be read: ${explainError(cause, 'read')}`;
    return emptyPlansFile(file, [mistakeAt(['plansPath'], message)]);
  }
}

/** Whether this key belongs to a plan of the plans file. */
function isOf(plansFile: PlansFile | null, [section, name]: KeyPath): plansFile is PlansFile {
  return plansFile !== null && section === 'plans' && typeof name === 'string' && plansFile.plans.has(name);
}

function findDoublePlans(
  input: unknown,
  more: PlansFile | null,
  mistakeAt: (path: KeyPath, message: string) => Mistake,
): Mistake[] {
  const plans = memberOf(input, 'plans');
  if (more === null || typeof plans !== 'object' || plans === null) return [];
  return [...more.plans.keys()]
    .filter((name) => Object.hasOwn(plans, name))
    .map((name) => {
      const path = ['plans', name];
      const message = `is also a plan of the configuration (${formatPlace(mistakeAt(path, ''))}); remove one of them`;
      return { source: more.file, ...more.placeOfKey(path), key: formatKey(path), message };
    });
}

/** The configuration file's mistakes first, in the order of each file; what has no place in a file comes last. */
function comparePlaces(a: Mistake, b: Mistake, file: string): number {
  if (a.line === null || b.line === null) return Number(a.line === null) - Number(b.line === null);
  if (a.source !== b.source) return Number(a.source !== file) - Number(b.source !== file);
  return a.line - b.line || (a.column ?? 0) - (b.column ?? 0);
}

/** The content of a configuration file. Throws ConfigurationFault where it cannot be read, or is too large. */
export function readConfigurationFile(file: string, readFile: ReadFile = readFileSync): Buffer {
  try {
    return readBounded(file, MOST_YAML_BYTES, readFile);
  } catch (cause) {
    throw faultOf(
      file,
      cause instanceof TooLarge
        ? `has ${cause.size} bytes; at most ${MOST_YAML_BYTES} are read as YAML. Write long lists of plans to a JSON file and name it in plansPath`
        : `cannot be read: ${explainError(cause, 'read')}`,
    );
  }
}

class TooLarge extends Error {
  readonly size: number;

  constructor(size: number) {
    super();
    this.size = size;
  }
}

function readBounded(file: string, most: number, readFile: ReadFile): Buffer {
  const { size } = statSync(file);
  if (size > most) throw new TooLarge(size);
  const bytes = readFile(file);
  if (bytes.length > most) throw new TooLarge(bytes.length);
  return bytes;
}

/** Whether a file holds exactly this. */
function hasContent(file: string, bytes: Buffer, readFile: ReadFile): boolean {
  try {
    return statSync(file).size === bytes.length && readFile(file).equals(bytes);
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
  const place = document.placeOfKey(writtenPath(path, document.value));
  return { source: document.source, ...place, key, message };
}
