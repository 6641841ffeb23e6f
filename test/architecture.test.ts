/** What may import what (the map in src/README.md), who may touch the process, and how files are named. */
import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { importsOf, readSources, type Source, withoutComments } from './support/imports.ts';

interface Part {
  readonly charter: string;
  /** Folders of src, and files right under it. */
  readonly mayImport: readonly string[];
}

/** The rows of the table under "Map" in src/README.md: a name, a charter, the names that it may import. */
function readMap(page: string): ReadonlyMap<string, Part> {
  const [, section = ''] = /^## Map\n(.*?)^## /ms.exec(page) ?? [];
  const rows = [...section.matchAll(/^\| `([a-z.-]+)` \| (.+?) \| ?(.*?) ?\|$/gm)];
  return new Map(
    rows.map(([, name = '', charter = '', imports = '']) => [
      name,
      { charter, mayImport: [...imports.matchAll(/`([^`]+)`/g)].map(([, target = '']) => target) },
    ]),
  );
}

const map = readMap(readFileSync(new URL('../src/README.md', import.meta.url), 'utf8'));

/** The folder of src, or the file right under it, that a path belongs to; null outside src. */
function partOf(path: string): string | null {
  const [root, part] = path.split('/');
  if (root !== 'src' || part === undefined) return null;
  return part;
}

function forbiddenImports(sources: readonly Source[]): string[] {
  return sources.flatMap((source) => {
    const part = partOf(source.path) ?? '';
    const may = map.get(part)?.mayImport;
    if (may === undefined) return [`${source.path}: src/README.md has no row for ${part}`];
    return importsOf(source)
      .filter((imported) => {
        const target = partOf(imported);
        return target !== null && target !== part && !may.includes(target);
      })
      .map((imported) => `${source.path} imports ${imported}`);
  });
}

/** Each circle of files that import one another, types included: `a -> b -> a`. */
function circles(sources: readonly Source[]): string[] {
  const importsByPath = new Map(sources.map((source) => [source.path, importsOf(source)]));
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]) => {
    if (way.includes(path)) found.push([...way.slice(way.indexOf(path)), path].join(' -> '));
    if (way.includes(path) || done.has(path)) return;
    for (const imported of importsByPath.get(path) ?? []) visit(imported, [...way, path]);
    done.add(path);
  };
  for (const path of importsByPath.keys()) visit(path, []);
  return found;
}

/** Imports of what is neither in src, nor of Bun and Node, nor a runtime dependency. */
function unknownImports(sources: readonly Source[], dependencies: readonly string[]): string[] {
  return sources.flatMap((source) =>
    importsOf(source)
      .filter((imported) => !imported.startsWith('src/') && !/^(?:node:|bun$|bun:)/.test(imported))
      .filter(
        (imported) => imported !== 'package.json' && !dependencies.some((name) => isFrom(imported, name)),
      )
      .map((imported) => `${source.path} imports ${imported}`),
  );
}

function isFrom(imported: string, dependency: string): boolean {
  return imported === dependency || imported.startsWith(`${dependency}/`);
}

function processTouchers(sources: readonly Source[]): string[] {
  const touch =
    /\bprocess\s*(?:\?\.|\.|\[)|\bglobalThis\.process\b|(?:node:|['"])process['"]|\bBun\.(?:env|argv)\b|\bimport\.meta\.env\b/;
  return sources
    .filter(({ path, text }) => path !== 'src/main.ts' && touch.test(withoutComments(text)))
    .map(({ path }) => path);
}

function badNames(sources: readonly Source[]): string[] {
  const drawers = /(?:^|\/)(?:utils?|helpers?|lib|common|shared|misc|index)(?:\/|\.[a-z.]+$)/;
  return sources
    .map(({ path }) => path)
    .filter(
      (path) =>
        drawers.test(path) || !/^(?:[a-z0-9]+(?:-[a-z0-9]+)*(?:\.(?:test|d))?(?:\/|\.ts$))+$/.test(path),
    );
}

const sources = readSources('src');
const tests = readSources('test');
const packaging = readSources('etc/package');

describe('the sources keep the rules of the house', async () => {
  const { dependencies } = await Bun.file(new URL('../package.json', import.meta.url)).json();

  test('are found', () => {
    expect(sources.length).toBeGreaterThan(40);
    expect(sources.flatMap(importsOf).length).toBeGreaterThan(100);
  });

  test('a step of the journey never imports a later one, and nobody imports what is not his', () => {
    expect(forbiddenImports(sources)).toEqual([]);
  });

  test('nothing comes from outside but Bun, Node and the runtime dependencies', () => {
    expect(unknownImports(sources, Object.keys(dependencies))).toEqual([]);
  });

  test('main.ts alone touches the process', () => {
    expect(processTouchers(sources)).toEqual([]);
  });

  test('what makes packages imports nothing of the service: it asks the program', () => {
    expect(packaging.length).toBeGreaterThan(10);
    expect(packaging.flatMap(importsOf).filter((imported) => imported.startsWith('src/'))).toEqual([]);
  });

  test('there are no drawers and no barrels, and every name is in kebab-case', () => {
    expect(badNames([...sources, ...tests, ...packaging])).toEqual([]);
  });

  test('each folder of src, and each file right under it, has a row in src/README.md with a charter, and no row is left over', () => {
    const entries = readdirSync(new URL('../src', import.meta.url)).filter((name) => name !== 'README.md');
    expect([...map.keys()].sort()).toEqual(entries.sort());
    for (const [name, { charter, mayImport }] of map) {
      expect([name, /^.{10,}\.$/.test(charter)]).toEqual([name, true]);
      expect(mayImport.filter((target) => !map.has(target))).toEqual([]);
    }
  });

  test('no file imports itself by way of others, inside a folder either', () => {
    expect(circles(sources)).toEqual([]);
  });

  test('src/README.md lets no two folders import each other', () => {
    const mutual = [...map].flatMap(([name, { mayImport }]) =>
      mayImport
        .filter((target) => map.get(target)?.mayImport.includes(name))
        .map((target) => `${name} and ${target}`),
    );
    expect(mutual).toEqual([]);
  });
});

describe('a breach is noticed', () => {
  test.each([
    ['src/request/a.ts', "import { authenticate } from '../authenticate/authenticate.ts';"],
    ['src/request/a.ts', "import type { Caller } from '../authenticate/authenticate.ts';"],
    ['src/authenticate/a.ts', "export type { Grant } from '../authorize/authorize.ts';"],
    ['src/authorize/a.ts', "import { type Plan,\n  type Policy } from '../respond/problem.ts';"],
    ['src/issue/a.ts', "type T = import('../respond/problem.ts').Problem;"],
    ['src/respond/a.ts', "const x = await import('../service.ts');"],
    ['src/refusal.ts', "import './request/parameters.ts';"],
    ['src/authenticate/a.ts', "import { parseKeySet } from '../authority/key-set.ts';"],
    ['src/authenticate/a.ts', "import { MemoryReplayStore } from '../replay/memory-replay-store.ts';"],
    ['src/authenticate/a.ts', "import { ThreadLock } from '../replay/proof-table.ts';"],
    ['src/service.ts', "import { createMetrics } from './telemetry/metrics.ts';"],
    ['src/server/a.ts', 'import { loadConfiguration } from "../config/load.ts";'],
    ['src/keys/a.ts', "import type { Configuration } from '../config/schema.ts';"],
    ['src/telemetry/a.ts', "import { x } from '../config/schema.ts';"],
    ['src/client/a.ts', "import { Refusal } from '../refusal.ts';"],
    ['src/dev/a.ts', "import { openSigningKey } from '../keys/signing-key.ts';"],
    ['src/config/a.ts', "import { assemble } from '../assemble/assemble.ts';"],
    ['src/drawer/a.ts', ''],
  ])('in %s: %s', (path, text) => {
    expect(forbiddenImports([{ path, text }])).toHaveLength(1);
  });

  test.each<[string, Readonly<Record<string, string>>]>([
    [
      'src/a/x.ts -> src/a/y.ts -> src/a/x.ts',
      { 'src/a/x.ts': "import { y } from './y.ts';", 'src/a/y.ts': "import type { X } from './x.ts';" },
    ],
    [
      'src/a/x.ts -> src/b/y.ts -> src/b/z.ts -> src/a/x.ts',
      {
        'src/a/x.ts': "import '../b/y.ts';",
        'src/b/y.ts': "export { z } from './z.ts';",
        'src/b/z.ts': "const x = await import('../a/x.ts');",
      },
    ],
  ])('of files in a circle: %s', (circle, files) => {
    const written = Object.entries(files).map(([path, text]) => ({ path, text }));
    expect(circles(written)).toEqual([circle]);
  });

  test('but not where a comment or a string speaks of one', () => {
    const text =
      "// import x from '../service.ts'\n/* from '../service.ts' */\nconst x = 'process';\nconst process_ = 1;";
    expect(forbiddenImports([{ path: 'src/request/a.ts', text }])).toEqual([]);
    expect(processTouchers([{ path: 'src/request/a.ts', text: '// process.env\n' }])).toEqual([]);
  });

  test.each([
    'process.env.X',
    'process?.exit()',
    'globalThis.process',
    "import process from 'node:process'",
    "process['stdout']",
    'Bun.env.X',
    'import.meta.env.X',
  ])('of who touches the process: %s', (text) => {
    expect(processTouchers([{ path: 'src/cli/a.ts', text }])).toHaveLength(1);
    expect(processTouchers([{ path: 'src/main.ts', text }])).toHaveLength(0);
  });

  test.each([
    'src/utils/a.ts',
    'src/keys/helpers.ts',
    'src/lib/x.ts',
    'src/common.ts',
    'src/keys/index.ts',
    'src/keys/aB.ts',
    'src/keys/a_b.ts',
  ])('of a name: %s', (path) => {
    expect(badNames([{ path, text: '' }])).toEqual([path]);
  });

  test('of a stranger among the imports', () => {
    expect(unknownImports([{ path: 'src/a.ts', text: "import x from 'left-pad';" }], ['jose'])).toHaveLength(
      1,
    );
  });
});
