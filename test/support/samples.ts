/** The samples of etc/ as they are run: the very text, with the test's own ports, names and files in it. */
import { readFile } from 'node:fs/promises';

/** A place that a sample tells its reader to change, and what is there in the test. */
export type SamplePlace = readonly [found: string, replacement: string];

/** Reads a sample, `nginx/registry-token.conf`. Throws where it does not have each place once. */
export async function readSample(path: string, places: readonly SamplePlace[]): Promise<string> {
  const sample = await readFile(new URL(`../../etc/${path}`, import.meta.url), 'utf8');
  return places.reduce((text, [found, replacement]) => {
    if (text.split(found).length !== 2)
      throw new Error(`etc/${path} has "${found}" not once; the test must replace what it has now.`);
    return text.replace(found, () => replacement);
  }, sample);
}
