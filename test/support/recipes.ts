/** What the recipes in etc/authorities print: blocks of settings, profiles and commands. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { OAuthServer } from './oauth-servers.ts';
import type { Section } from './running-service.ts';

type Heading = 'There' | 'Here' | 'The client' | 'People';
type Kind = 'json' | 'properties' | 'sh' | 'yaml';

/** The block of this kind below a heading that has this text. Throws where there is none. */
export function recipeBlock(name: string, heading: Heading, kind: Kind, text: string): string {
  const recipe = readFileSync(new URL(`../../etc/authorities/${name}.md`, import.meta.url), 'utf8');
  const [section = ''] = recipe.split(`\n## ${heading}\n`)[1]?.split('\n## ') ?? [];
  const blocks = section.matchAll(new RegExp(`\`\`\`${kind}\n(.*?)\`\`\``, 'gs'));
  const found = [...blocks].map(([, block = '']) => block).find((block) => block.includes(text));
  if (found === undefined) throw new Error(`The recipe of ${name} has no ${kind} block with ${text}.`);
  return found;
}

export interface RecipeConfiguration extends Section {
  readonly authority: Section;
}

/** The recipe's part of the configuration, for a server that is here. */
export function recipeConfiguration(name: string, { issuer, caPath }: OAuthServer): RecipeConfiguration {
  const { authority, ...plans } = parse(recipeBlock(name, 'Here', 'yaml', 'authority:'));
  return { authority: { ...authority, issuer, ...(caPath === null ? {} : { caPath }) }, ...plans };
}

export interface RecipeProfile extends Section {
  readonly bind: 'dpop' | 'certificate';
  readonly hosts?: readonly string[];
}

/** The profiles that the recipe prints. */
export function recipeProfiles(name: string): Readonly<Record<string, RecipeProfile>> {
  return parse(recipeBlock(name, 'The client', 'yaml', 'profiles:')).profiles;
}
