/** The commands of the README as a test runs them: the very text, with the test's own hosts, ports and files in it. */
import { readFile } from 'node:fs/promises';

/** What stands in the README, wherever it does, and what is there in the test. */
export type ReadmePlace = readonly [found: string, replacement: string];

/** The one shell block that has this text. Throws where there is not one, or where it lacks a place. */
export async function readCommands(text: string, places: readonly ReadmePlace[]): Promise<string> {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const blocks = [...readme.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
  const [block, ...others] = blocks.filter((candidate) => candidate.includes(text));
  if (block === undefined || others.length > 0)
    throw new Error(`README.md has ${others.length === 0 ? 'no' : 'several'} shell blocks with "${text}".`);
  return places.reduce((commands, [found, replacement]) => {
    if (!commands.includes(found)) throw new Error(`README.md has no "${found}" beside "${text}" any more.`);
    return commands.replaceAll(found, replacement);
  }, block);
}
