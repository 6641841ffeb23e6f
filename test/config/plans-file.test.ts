/** `plansPath`: plans in a JSON file that a program writes, with the place of every mistake. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LoadedConfiguration, loadConfiguration } from '../../src/config/load.ts';
import { ConfigurationFault } from '../../src/document/mistakes.ts';
import { minimum } from './configuration-text.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'registry-token-plans-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function load(
  plans: string | Uint8Array | object,
  changes: object = {},
  env: Record<string, string> = {},
): LoadedConfiguration {
  const isContent = typeof plans === 'string' || plans instanceof Uint8Array;
  writeFileSync(join(folder, 'plans.json'), isContent ? plans : JSON.stringify(plans));
  const file = join(folder, 'test.yaml');
  writeFileSync(file, JSON.stringify({ ...minimum, plansPath: 'plans.json', ...changes }));
  return loadConfiguration(file, env);
}

/** What is said, without the folder. */
function mistakesOf(...args: Parameters<typeof load>): string[] {
  try {
    load(...args);
    return [];
  } catch (cause) {
    if (!(cause instanceof ConfigurationFault)) throw cause;
    return cause.message.replaceAll(`${folder}/`, '').split('\n');
  }
}

describe('a file of plans', () => {
  test('adds its plans to those of the configuration, with the same defaults', () => {
    const { configuration } = load({ pro: { catalog: true, repositories: [{ pattern: 'pro/*' }] } });
    expect([...configuration.plans.keys()]).toEqual(['community', 'pro']);
    expect(configuration.plans.get('pro')).toEqual({
      catalog: true,
      repositories: [{ pattern: 'pro/*', actions: ['pull'] }],
    });
  });

  test('keeps the order of its plans, names that are numbers included, after those of the configuration', () => {
    const plans = { b: {}, a: {} };
    const { configuration } = load('{"z":{},"7":{},"y":{},"10":{}}', { plans });
    expect([...configuration.plans.keys()]).toEqual(['b', 'a', 'z', '7', 'y', '10']);
  });

  test('can hold all plans, and the default plan is one of them', () => {
    const { configuration } = load({ pro: {} }, { plans: undefined, defaultPlan: 'pro' });
    expect([...configuration.plans.keys()]).toEqual(['pro']);
    expect(mistakesOf({ pro: {} }, { defaultPlan: 'gone' })).toEqual([
      expect.stringContaining('defaultPlan: must be the name of a plan (community, pro), not "gone"'),
    ]);
  });

  test('may be named by the environment', () => {
    const env = { REGISTRY_TOKEN_PLANS_PATH: 'plans.json' };
    expect([...load({ pro: {} }, { plansPath: undefined }, env).configuration.plans.keys()]).toContain('pro');
  });

  test('may begin with a byte order mark and have any line ends', () => {
    const { configuration, placeOf } = load('\ufeff{\r\n"pro": {}}\r\n');
    expect([...configuration.plans.keys()]).toContain('pro');
    expect(placeOf(['plans', 'pro'])).toEndWith('plans.json:2:1');
  });

  test('is where the rules of its plans stand, for explain and check', () => {
    const { placeOf } = load(
      '{\n  "pro": {\n    "repositories": [\n      { "pattern": "a/*" },\n      { "pattern": "b/*" }\n]}}',
    );
    expect(placeOf(['plans', 'pro', 'repositories', 1, 'pattern'])).toBe(`${folder}/plans.json:5:9`);
    expect(placeOf(['plans', 'pro', 'catalog'])).toBe(`${folder}/plans.json:2:3`);
    expect(placeOf(['plans', 'community'])).toStartWith(`${folder}/test.yaml:1:`);
  });
});

describe('a mistake in a file of plans has its place:', () => {
  test.each<[string, string | Uint8Array, string]>([
    [
      'a fault of a pattern',
      '{\n"pro": { "repositories": [\n{ "pattern": "a//b" }] } }',
      'plans.json:3:3: plans.pro.repositories[0].pattern: has an empty path segment, not "a//b"',
    ],
    [
      'a key that is not known',
      '{"pro":\n{"catalogue":true}}',
      'plans.json:2:2: plans.pro.catalogue: unknown key; did you mean `catalog`?',
    ],
    [
      'a value of another kind',
      '{"pro":{"catalog":1}}',
      'plans.json:1:9: plans.pro.catalog: must be true or false, not 1',
    ],
    ['a list in place of plans', '[]', 'plans.json:1:1: plans: must be a mapping, not an empty list'],
    [
      'a plan that is there twice',
      '{"pro":{},\n"pro":{}}',
      'plans.json:2:1: plans.pro: is set twice in the same object',
    ],
    [
      'one that is written with an escape',
      '{"pro":{},"pr\\u006f":{}}',
      'plans.json:1:11: plans.pro: is set twice in the same object',
    ],
    [
      'a member that is there twice',
      '{"pro":{"repositories":[{"pattern":"a",\n"pattern":"b"}]}}',
      'plans.json:2:1: plans.pro.repositories[0].pattern: is set twice in the same object',
    ],
    [
      'half a file',
      '{"pro":{"repositories":[{"pattern":"a"}',
      'plans.json:1:40: is not valid JSON: a comma or ] is missing; is the file whole?',
    ],
    [
      'half a text',
      '{"pro":{"repositories":[{"pattern":"a',
      'plans.json:1:36: is not valid JSON: a text without an end; is the file whole?',
    ],
    ['nothing', '', 'plans.json:1:1: is not valid JSON: a value is missing; is the file whole?'],
    ['two documents', '{}\n{}', 'plans.json:2:1: is not valid JSON: text after the end of the document'],
    [
      'a comma too many',
      '{"pro":{},}',
      'plans.json:1:11: is not valid JSON: a name in double quotes is missing',
    ],
    ['YAML', 'pro: {}\n', 'plans.json:1:1: is not valid JSON: a value is missing'],
    ['nesting without an end', '['.repeat(100_000), 'plans.json:1:34: is nested deeper than 32 levels'],
    [
      'another encoding',
      Buffer.from('{"pro":\n{"x": "Ä"}}', 'latin1'),
      'plans.json:2:8: is not UTF-8; save it as UTF-8 (from Latin-1: iconv -f LATIN1 -t UTF-8)',
    ],
  ])('%s', (_, content, message) => {
    expect(mistakesOf(content)).toEqual([message]);
  });

  test('a plan that is in the configuration too', () => {
    expect(mistakesOf('{"pro":{},\n"community":{}}')).toEqual([
      expect.stringMatching(
        /^plans\.json:2:1: plans\.community: is also a plan of the configuration \(test\.yaml:1:\d+\); remove one of them$/,
      ),
    ]);
  });

  test('a file that is not there, at the key that names it', () => {
    expect(mistakesOf('{}', { plansPath: 'gone.json' })).toEqual([
      expect.stringMatching(
        /^test\.yaml:1:\d+: plansPath: gone\.json cannot be read: no such file \(ENOENT\)$/,
      ),
    ]);
  });

  test('all at once, beside those of the configuration', () => {
    expect(mistakesOf({ pro: { lifetime: '2d' }, free: { catalog: 1 } }, { defaultPlan: 7 })).toHaveLength(3);
  });

  test('a file of faults: the first fifty and their number', () => {
    const plans = Object.fromEntries(
      Array.from({ length: 80 }, (_, index) => [`p${index}`, { lifetime: 0 }]),
    );
    const mistakes = mistakesOf(plans);
    expect(mistakes).toHaveLength(51);
    expect(mistakes).toContain('plans.json:1:1: plans: has 30 more mistakes');
  });
});

test('two megabytes of YAML are refused, and the message names plansPath', () => {
  const file = join(folder, 'long.yaml');
  writeFileSync(file, `# ${'x'.repeat(2_000_000)}\n`);
  expect(() => loadConfiguration(file, {})).toThrow(
    /has 2000003 bytes; at most 1048576 are read as YAML\. Write long lists of plans to a JSON file and name it in plansPath/,
  );
});
