/** A long configuration is read in a shorter way, and means to the letter what YAML says: values, mistakes and places. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { Rules } from '../../src/authorize/rules.ts';
import { type AbridgedDocument, readAbridgedDocument } from '../../src/config/abridged-document.ts';
import type { KeyPath, Place } from '../../src/document/document.ts';
import { parseConfigurationDocument } from '../../src/document/document.ts';
import { ConfigurationFault, type Mistake } from '../../src/document/mistakes.ts';
import { damagedTexts, plainTexts } from './plans-texts.ts';

type Outcome =
  | { readonly value: unknown; readonly placeOfKey: (path: KeyPath) => Place; readonly lists: number }
  | { readonly mistakes: readonly Mistake[] };

function outcomeOf(read: () => Outcome): Outcome {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof ConfigurationFault) return { mistakes: cause.mistakes };
    throw cause;
  }
}

const byYaml = (text: string) =>
  outcomeOf(() => ({ ...parseConfigurationDocument(text, 'x.yaml'), lists: 0 }));

function abridged(text: string, isKept: (name: string | null) => boolean = () => false): Outcome {
  return outcomeOf(() => {
    const document = readAbridgedDocument(Buffer.from(text), 'x.yaml', isKept, 0);
    return { ...document, value: withLists(document), lists: document.lists.size };
  });
}

/** The value with the rules of each list in their place; those with a mistake as they were told. */
function withLists({ value, lists, rules, faulty }: AbridgedDocument): unknown {
  if (lists.size === 0) return value;
  const table = rules.finish();
  const copy = structuredClone(value) as { plans: Record<string, { repositories: unknown[] }> };
  for (const [name, range] of lists) {
    expect(copy.plans[name]?.repositories).toEqual([]);
    const plan = { ...copy.plans[name], repositories: [...new Rules(table, range).each()].map(written) };
    Object.defineProperty(copy.plans, name, { value: plan, enumerable: true });
  }
  for (const { path, value: rule } of faulty) {
    const [, name, , index] = path as [string, string, string, number];
    const list = copy.plans[name]?.repositories ?? [];
    expect(index in list).toBe(true);
    list[index] = rule;
  }
  return copy;
}

const written = ({ pattern, actions }: ReturnType<Rules['at']>) => ({
  pattern: pattern.source,
  actions: [...actions],
});

/** A rule as it is written says nothing of the actions that it does not name, nor whether one is there twice. */
function withDefaults(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withDefaults);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).map(([key, member]): [string, unknown] => [
    key,
    withDefaults(member),
  ]);
  const copy: Record<string, unknown> = Object.fromEntries(members);
  if (typeof copy.pattern !== 'string') return copy;
  const actions = copy.actions ?? ['pull'];
  return { ...copy, actions: Array.isArray(actions) ? [...new Set(actions)] : actions };
}

function pathsOf(value: unknown, path: KeyPath = []): KeyPath[] {
  if (typeof value !== 'object' || value === null) return [path];
  const below = Object.entries(value).flatMap(([key, member]) =>
    pathsOf(member, [...path, Array.isArray(value) ? Number(key) : key]),
  );
  return [path, ...below, [...path, 'nowhere']];
}

/** Returns how many lists were cut out. */
function expectSame(text: string): number {
  const [expected, found] = [byYaml(text), abridged(text)];
  if ('mistakes' in expected || 'mistakes' in found) {
    expect('mistakes' in found ? found.mistakes : found.value).toEqual(
      'mistakes' in expected ? expected.mistakes : expected.value,
    );
    return 0;
  }
  expect(withDefaults(found.value)).toEqual(withDefaults(expected.value));
  for (const path of pathsOf(expected.value))
    expect({ path, place: found.placeOfKey(path) }).toEqual({ path, place: expected.placeOfKey(path) });
  return found.lists;
}

test.each(['\t', ' \t ', '\t# x', '---', '...', '\u00a0'])(
  'a line of %j among the plans ends nothing that YAML does not end',
  (line) => {
    const plan = (name: string) => `  ${name}:\n    repositories:\n      - pattern: team-${name}/app\n`;
    const text = `plans:\n${plan('a')}${line}\n${plan('b')}${plan('c')}`;
    expectSame(text);
  },
);

describe('a text of plans means what YAML says', () => {
  test('where all of it is written plainly, and is then read in the shorter way', () => {
    let [lists, runs] = [0, 0];
    fc.assert(
      fc.property(plainTexts, ({ text, plans }) => {
        const found = expectSame(text);
        expect(found).toBe(plans);
        lists += found;
        runs += 1;
      }),
      { numRuns: 300 },
    );
    expect(lists).toBeGreaterThan(runs);
  }, 60_000);

  test('where anything is wrong with it or unusual', () => {
    let [shortened, refused] = [0, 0];
    fc.assert(
      fc.property(damagedTexts, (text) => {
        shortened += expectSame(text) > 0 ? 1 : 0;
        refused += 'mistakes' in byYaml(text) ? 1 : 0;
      }),
      { numRuns: 1500 },
    );
    // Neither is rare, or else this shows nothing.
    expect(shortened).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(100);
  }, 60_000);

  test('where something of it stands for what is written elsewhere', () => {
    const plans = 'plans:\n  a: &a\n    repositories:\n      - pattern: a/b\n  b: *a\n';
    expect(expectSame(plans)).toBe(0);
    expect(expectSame(plans.replace('*a', '&b').replace('&a', ''))).toBe(1);
  });

  const rule = '    repositories:\n      - pattern: a/b\n';
  const rules = (...written: readonly string[]) => `plans:\n  a:\n    repositories:\n${written.join('')}`;

  test.each<[why: string, text: string, lists: number]>([
    ['words of YAML as actions', rules('      - { pattern: a/b, actions: [no] }\n'), 0],
    [
      'null among actions',
      rules('      - pattern: a/b\n        actions:\n        - pull\n        - null\n'),
      0,
    ],
    ['such words in quotes', rules('      - { pattern: a/b, actions: ["no", \'on\'] }\n'), 1],
    ['words of YAML as patterns', rules('      - pattern: true\n', '      - pattern: no\n'), 0],
    ['numbers as patterns', rules('      - pattern: 0o17\n', '      - pattern: 1:20\n'), 0],
    ['a quote that stands twice', rules("      - pattern: 'a''b'\n", "      - { pattern: 'a''b' }\n"), 0],
    ['a pattern of two lines', rules('      - pattern: a/b\n          c\n'), 0],
    ['a list within a text', `x: |\n  plans:\nplans:\n  a: |\n${rule}`, 0],
    ['a list below another key', `plans:\n  a:\n    lifetime:\n  ${rule}`, 0],
    ['nothing but a text', `--- |\nplans:\n  a:\n    catalog: true\n  b:\n    catalog: true\n`, 0],
    ['a blank line with a tab in a list', rules('      - pattern: a/b\n\t\n      - pattern: c/d\n'), 0],
    ['such a line in a plan', `plans:\n  a:\n${rule}  b:\n${rule}\t\n    catalog: true\n`, 1],
    ['two sections', `plans:\n  a:\n${rule}plans:\n  b:\n${rule}`, 0],
    ['a section within a text', `x: "\nplans:\n  a:\n${rule}"\nplans:\n  b:\n${rule}`, 0],
    ['YAML 1.1', `%YAML 1.1\n---\nplans:\n  a:\n${rule}  y:\n${rule}`, 0],
    ['a plan that is null', `plans:\n  a:\n${rule}  null:\n${rule}`, 0],
    ['an odd indentation', `plans:\n   a:\n ${rule}   b:\n ${rule}  c:\n${rule}`, 0],
    [
      'plans that look like the text of one',
      `plans:\n  a:\n    lifetime: "1\n  b:\n    lifetime: 1\n    # "\n`,
      0,
    ],
    ['plans that are alike', `plans:\n  a:\n${rule}  b:\n${rule}    catalog: true\n  c:\n${rule}`, 3],
    ['plans that are numbers', `plans:\n  1:\n${rule}  0x2:\n${rule}`, 0],
    ['a list that is empty beside one that is not', `plans:\n  a:\n    repositories: []\n  b:\n${rule}`, 1],
  ])('with %s', (_, text, lists) => {
    expect(expectSame(text)).toBe(lists);
  });

  test('where plans of one name are there twice, and where one is called __proto__', () => {
    for (const [one, other] of [
      ['a', 'a'],
      ['a', '"a"'],
      ["'a'", '"\\x61"'],
      ['__proto__', '"__proto__"'],
      ['a', '__proto__'],
      ['a', '"__proto__"'],
    ])
      expectSame(`plans:\n  ${one}:\n${rule}  x:\n${rule}  ${other}:\n${rule}`);
  });

  test('where the rules of a plan are to be left to YAML', () => {
    const found = abridged(`plans:\n  a:\n${rule}  b:\n${rule}  c:\n${rule}`, (name) => name === 'b');
    expect(found).toMatchObject({
      lists: 2,
      value: { plans: { b: { repositories: [{ pattern: 'a/b' }] } } },
    });
  });
});
