/** etc/registry-token.schema.json: what editors complete and check the sample by. */
import { describe, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { descriptions } from '../../src/config/descriptions.ts';
import { configurationJsonSchema } from '../../src/config/json-schema.ts';
import { sampleText } from './configuration-text.ts';

const FILE = new URL('../../etc/registry-token.schema.json', import.meta.url);
const schema = JSON.parse(configurationJsonSchema());
const validator = z.fromJSONSchema(schema);

function isValid(value: unknown): boolean {
  return validator.safeParse(value).success;
}

describe('the schema', () => {
  test('in etc is that of the sources: bun run schema writes it', () => {
    expect(readFileSync(FILE, 'utf8')).toBe(configurationJsonSchema());
  });

  test('is what the first line of the sample names, beside it', () => {
    const [, name = ''] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(sampleText) ?? [];
    expect(existsSync(new URL(name, FILE))).toBe(true);
    expect(new URL(name, FILE).href).toBe(FILE.href);
  });

  test('describes every key in one line, and no key that there is not', () => {
    const written = [...configurationJsonSchema().matchAll(/"description": "((?:[^"\\]|\\.)*)"/g)].map(
      ([, text = '']) => JSON.parse(`"${text}"`).replace(/ Not supported yet\.$/, ''),
    );
    expect([...new Set(written)].sort()).toEqual([...new Set(Object.values(descriptions))].sort());
    for (const description of written) expect(description).toMatch(/^.{5,240}\.$/);
  });

  test('takes the sample', () => {
    expect(isValid(parse(sampleText))).toBe(true);
  });

  test.each<[string, (sample: Record<string, Record<string, unknown>>) => void]>([
    ['a misspelt section', (sample) => Object.assign(sample, { singing: {} })],
    ['a misspelt key', (sample) => Object.assign(sample.signing ?? {}, { keypath: 'x' })],
    ['a misspelt key of a plan', (sample) => Object.assign(sample.plans ?? {}, { x: { catalogue: true } })],
    ['a missing key', (sample) => delete sample.signing?.issuer],
    ['a missing section', (sample) => delete sample.signing],
    ['a wrong type', (sample) => Object.assign(sample.registry ?? {}, { realm: 7 })],
    ['a word that is none of the list', (sample) => Object.assign(sample.registry ?? {}, { grant: 'all' })],
    [
      'a rule without a pattern',
      (sample) => Object.assign(sample.plans ?? {}, { x: { repositories: [{}] } }),
    ],
  ])('marks %s', (_, change) => {
    const sample = parse(sampleText);
    change(sample);
    expect(isValid(sample)).toBe(false);
  });
});
