/**
 * The licences of what others wrote and every executable holds: the npm packages of the bundle, and the parts of the
 * Bun around it. `licences/runtime.json` lists these parts, as Bun's own licence page does and their packages say.
 */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import manifest from '../../package.json' with { type: 'json' };
import runtime from './licences/runtime.json' with { type: 'json' };

export const LICENCES = 'THIRD-PARTY-LICENSES';

/** Parts of Bun under one licence and one notice. */
export interface RuntimePart {
  readonly names: readonly string[];
  /** The part that brings them, where it is not Bun itself. */
  readonly within?: string;
  /** An SPDX expression. */
  readonly license: string;
  readonly copyright: string;
}

/** An npm package of which a file is in the bundle. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** Where it is installed. */
  readonly folder: string;
}

/** Throws where `licences/runtime.json` was written for another Bun than the one that package.json pins. */
export function runtimeParts(): readonly RuntimePart[] {
  const pinned = manifest.devDependencies.bun;
  if (runtime.bun !== pinned)
    throw new Error(
      `etc/package/licences/runtime.json lists the parts of Bun ${runtime.bun}, and package.json pins Bun ${pinned}: compare it with Bun's LICENSE.md.`,
    );
  return runtime.parts;
}

/** The packages that these files of a bundle are from, each once, sorted. */
export async function bundledPackages(files: readonly string[]): Promise<readonly BundledPackage[]> {
  const folders = files.flatMap((file) => {
    const [folder] = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? [];
    return folder === undefined ? [] : [folder];
  });
  return Promise.all(
    [...new Set(folders)].sort().map(async (folder) => {
      const { name, version, license } = await Bun.file(join(folder, 'package.json')).json();
      return { name, version, license, folder };
    }),
  );
}

/** The text of `THIRD-PARTY-LICENSES`. Throws where a licence has no text. */
export async function renderLicences(packages: readonly BundledPackage[]): Promise<string> {
  const parts = runtimeParts();
  const used = new Set(parts.flatMap(({ license }) => licenceIds(license)));
  const texts = await Promise.all([...used].sort().map(readLicence));
  const notices = await Promise.all(packages.map(renderPackage));
  return [
    'The executable registry-token holds the following software of others. registry-token itself is under Apache-2.0.',
    heading(`Part 1: npm packages (${packages.length})`),
    ...notices,
    heading(`Part 2: Bun ${manifest.devDependencies.bun}, the runtime, and what it is made of`),
    RELINKING,
    ...parts.map(renderPart),
    heading('Part 3: the licences named in part 2'),
    ...texts,
  ].join('\n\n');
}

/** LGPL-2.1 §6 and LGPL-2.0 §6: what a recipient needs to put a changed library in place of the one inside. */
const RELINKING = `Bun links JavaScriptCore (WebKit) and TinyCC, which are under the LGPL, statically. You may change them and link Bun anew: its
sources are at https://github.com/oven-sh/bun, those of its WebKit at https://github.com/oven-sh/WebKit, and its build instructions tell how. The
sources of registry-token are complete: \`bun run build\` with a changed Bun makes the executable with it.`;

function heading(title: string): string {
  return `${'='.repeat(100)}\n${title}\n${'='.repeat(100)}`;
}

async function renderPackage({ name, version, license, folder }: BundledPackage): Promise<string> {
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).sort();
  if (files.length === 0) throw new Error(`${folder} has no file with its licence.`);
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  return [`--- ${name} ${version} (${license})`, ...texts.map(tidy)].join('\n\n');
}

function renderPart({ names, within, license, copyright }: RuntimePart): string {
  const title = `--- ${names.join(', ')} (${license})${within === undefined ? '' : `, within ${within}`}`;
  return `${title}\n${copyright}`;
}

/** `Apache-2.0 WITH LLVM-exception AND MIT` names three texts. */
export function licenceIds(expression: string): readonly string[] {
  return expression.split(/ (?:AND|OR|WITH) /);
}

async function readLicence(id: string): Promise<string> {
  const path = join(dirname(import.meta.path), 'licences', `${id}.txt`);
  return `--- ${id}\n\n${tidy(await readFile(path, 'utf8'))}`;
}

function tidy(text: string): string {
  return text.replaceAll('\r\n', '\n').trim();
}
