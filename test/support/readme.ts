/** The commands of a page as a test runs them: its own text, with the test's hosts, ports and files in it. */
import { readFile } from 'node:fs/promises';

/** What the page has, wherever it does, and what the test has in its place. */
export type ReadmePlace = readonly [found: string, replacement: string];

export type Page = 'README.md' | 'etc/README.md' | 'etc/entitlements/README.md';

/** The one shell block of the page that has this text. Throws where there is not one, or where it lacks a place. */
export async function readCommands(
  page: Page,
  text: string,
  places: readonly ReadmePlace[],
): Promise<string> {
  return places.reduce(
    (commands, [found, replacement]) => {
      if (!commands.includes(found)) throw new Error(`${page} has no "${found}" beside "${text}" any more.`);
      return commands.replaceAll(found, replacement);
    },
    await readBlock(page, 'sh', text),
  );
}

/** The one YAML block of the page that has this text. */
export function readYaml(page: Page, text: string): Promise<string> {
  return readBlock(page, 'yaml', text);
}

async function readBlock(page: Page, language: 'sh' | 'yaml', text: string): Promise<string> {
  const content = await readFile(new URL(`../../${page}`, import.meta.url), 'utf8');
  const blocks = content.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'));
  const [block, ...others] = [...blocks].map(([, body = '']) => body).filter((body) => body.includes(text));
  if (block === undefined || others.length > 0)
    throw new Error(
      `${page} has ${others.length === 0 ? 'no' : 'several'} ${language} blocks with "${text}".`,
    );
  return block;
}
