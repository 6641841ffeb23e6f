/** The sources as text, and what each imports: types included, which a bundler no longer sees. */
import { readFileSync } from 'node:fs';
import { posix } from 'node:path';

export interface Source {
  /** From the repository's root: `src/request/credentials.ts`. */
  readonly path: string;
  readonly text: string;
}

export function readSources(folder: string): readonly Source[] {
  const root = new URL('../../', import.meta.url).pathname;
  const paths = [...new Bun.Glob(`${folder}/**/*.ts`).scanSync({ cwd: root })].sort();
  return paths.map((path) => ({ path, text: readFileSync(`${root}${path}`, 'utf8') }));
}

/** Without comments, and with the words of strings kept. */
export function withoutComments(text: string): string {
  return text.replace(
    /("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
    '$1',
  );
}

/** Every module that a source names: imports, exports from, import(), import types. Relative ones as paths. */
export function importsOf({ path, text }: Source): string[] {
  const named = withoutComments(text).matchAll(
    /(?:\bfrom\s*|\bimport\s*\(\s*|^\s*import\s+)(?:'([^']+)'|"([^"]+)")/gm,
  );
  return [...named].map(([, single, double]) => {
    const specifier = single ?? double ?? '';
    return specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : specifier;
  });
}
