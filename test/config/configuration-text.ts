/** Configurations of the tests as texts: a file for each, and the places of their keys counted while writing. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LoadedConfiguration, loadConfiguration } from '../../src/config/load.ts';
import { ConfigurationFault, type Mistake } from '../../src/document/mistakes.ts';

export type Environment = Readonly<Record<string, string | undefined>>;
export type KeyPath = readonly (string | number)[];

export const SAMPLE_FILE = new URL('../../etc/registry-token.yaml', import.meta.url).pathname;
export const sampleText = readFileSync(SAMPLE_FILE, 'utf8');

/** The keys without which there is no configuration, and no others. */
export const minimum = {
  authority: { issuer: 'https://authority.example.com', audiences: ['registry'] },
  signing: { issuer: 'registry-token.example.com', keyPath: 'signing.pem' },
  registry: { realm: 'https://registry.example.com/token' },
  plans: { community: { repositories: [{ pattern: 'public/*' }] } },
};

/** Loads a text as the configuration's file, which is gone afterwards. */
export function loadText(text: string | Uint8Array, env: Environment = {}): LoadedConfiguration {
  const directory = mkdtempSync(join(tmpdir(), 'registry-token-config-'));
  try {
    const file = join(directory, 'test.yaml');
    writeFileSync(file, text);
    return loadConfiguration(file, env);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

export interface Outcome {
  /** null where the text is no configuration. */
  readonly loaded: LoadedConfiguration | null;
  readonly mistakes: readonly Mistake[];
  /** What is printed, `test.yaml` in place of the file's whole path. */
  readonly message: string;
}

/** A configuration or its mistakes. Anything else that is thrown is thrown on. */
export function judge(text: string | Uint8Array, env: Environment = {}): Outcome {
  try {
    return { loaded: loadText(text, env), mistakes: [], message: '' };
  } catch (cause) {
    if (!(cause instanceof ConfigurationFault)) throw cause;
    const message = cause.message.replaceAll(/^\S*test\.yaml/gm, 'test.yaml');
    return { loaded: null, mistakes: cause.mistakes, message };
  }
}

export interface Written {
  readonly text: string;
  /** Line and column of each key, by its path as JSON. */
  readonly places: ReadonlyMap<string, { readonly line: number; readonly column: number }>;
}

/**
 * Writes a value as block YAML with one key a line. Written out here, so that the places do not come from the
 * parser whose places are under test.
 */
export function writeYaml(value: object): Written {
  const lines: string[] = [];
  const places = new Map<string, { line: number; column: number }>();
  const write = (at: unknown, path: KeyPath, indent: string) => {
    for (const [name, member] of Object.entries(at as object)) {
      const key = Array.isArray(at) ? Number(name) : name;
      const start = Array.isArray(at) ? '-' : `${/^[A-Za-z]+$/.test(name) ? name : JSON.stringify(name)}:`;
      const inner = [...path, key];
      places.set(JSON.stringify(inner), { line: lines.length + 1, column: indent.length + 1 });
      if (typeof member === 'object' && member !== null && Object.keys(member).length > 0) {
        lines.push(`${indent}${start}`);
        write(member, inner, `${indent}  `);
      } else lines.push(`${indent}${start} ${JSON.stringify(member)}`);
    }
  };
  write(value, [], '');
  return { text: `${lines.join('\n')}\n`, places };
}

/** A key as a mistake names it: `plans.pro.repositories[0].pattern`. */
export function dotted(path: KeyPath): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`))
    .join('')
    .replace(/^\./, '');
}

/** A copy with another value at a path, which must be there; undefined takes the key away. */
export function changedAt<Value>(value: Value, path: KeyPath, change: unknown): Value {
  const copy = structuredClone(value);
  let parent = copy as Record<string | number, unknown>;
  for (const part of path.slice(0, -1)) parent = parent[part] as Record<string | number, unknown>;
  const last = path.at(-1) ?? '';
  if (change !== undefined) parent[last] = change;
  else if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
  return copy;
}
