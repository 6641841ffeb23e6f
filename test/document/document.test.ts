/** YAML as it comes: syntax errors, keys that stand twice, aliases, depth, and the places of it all. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import { parseDocument } from 'yaml';
import { parseConfigurationDocument } from '../../src/document/document.ts';
import { judge, loadText, minimum, sampleText } from '../config/configuration-text.ts';

// Many documents, on a machine that may be busy.
setDefaultTimeout(60_000);

describe('a syntax error', () => {
  test.each([
    ['an open bracket', 'server:\n  trustedProxies: [a\nplans: {}\n', 3],
    ['an open quote', 'server:\n  listen: "127\n', 3],
    ['a tab as indentation', 'server:\n\tlisten: x\n', 2],
    ['a wrong indentation', 'server:\n  listen: x\n workers: 1\n', 3],
    ['a value after a value', 'server: "a" b\n', 1],
    ['two documents', 'server: {}\n---\nserver: {}\n', 2],
    ['a tag', 'server: {}\nplans: !python/object {}\n', 2],
    ['an unknown alias', 'server: {}\nplans: *p\n', 2],
    ['an unknown escape', 'server: "a\\q"\n', 1],
    ['a reserved character', 'server: @a\n', 1],
  ])('of %s is told with its line', (_, text, line) => {
    const { mistakes, message } = judge(text);
    expect(mistakes.map((mistake) => mistake.line)).toEqual([line]);
    expect(message).toMatch(
      new RegExp(`^test\\.yaml:${line}:\\d+: (?:is not valid YAML: .+|starts a second YAML.+)$`),
    );
  });

  test.each([
    ['a: *', 4, 'a value that begins with * must be quoted: "*"'],
    ['a: */x', 4, 'alias without an anchor; a value that begins with * must be quoted: "*"'],
    ['a: [*, b]', 5, 'a value that begins with * must be quoted: "*"'],
    ['a: *x y', 4, 'a value that begins with * must be quoted: "*"'],
    ['a: *x: y', 4, 'a value that begins with * must be quoted: "*"'],
    ['a: {claim:tid}/*', 4, 'a value that begins with { must be quoted'],
    ['a: { b: {claim:tid}/*, c: [d] }', 9, 'a value that begins with { must be quoted'],
    ['a: [x]/y', 4, 'a value that begins with [ must be quoted'],
    ['a: @x', 4, 'a value that begins with @ must be quoted'],
    ['a: `x', 4, 'a value that begins with ` must be quoted'],
    ['a: %x', 4, 'a value that begins with % must be quoted'],
    ['a: ,x', 4, 'a value that begins with , must be quoted'],
    ['a: !x', 4, 'unknown tag; a value that begins with ! must be quoted'],
    ['a: |x', 5, 'a value that begins with | or > must be quoted'],
    ['%x: 1', 1, 'unknown directive; a value that begins with % must be quoted'],
    ["a: 'it's'", 8, "text follows a closing quote; a ' in single quotes is written ''"],
    [
      'a: b: c',
      4,
      'a key inside a value; put a value with ": " in quotes, and give all keys of a mapping the same indentation',
    ],
    ['a: - b', 4, 'a list begins on the line after its key'],
    ['a: "x', 6, 'a quote is not closed'],
    ['a: {b: c', 9, 'a { is not closed by a }'],
    ['a: [b', 6, 'a [ is not closed by a ]'],
    ['a: }', 4, 'a } without a { before it'],
    ['a: ]', 4, 'a ] without a [ before it'],
    ['a: "x"#y', 7, 'a comment needs a space before its #'],
    ['a: "C:\\keys"', 7, 'unknown escape after \\ in double quotes; use single quotes to take \\ literally'],
  ])('in %j is told at column %d with what to write', (text, column, fault) => {
    expect(judge(text).mistakes).toMatchObject([{ line: 1, column, message: `is not valid YAML: ${fault}` }]);
  });

  test.each([
    ['a:\n\tb: c', 2, 'indentation is by spaces, not by tabs'],
    ['a:\n  b: c\n d: e', 3, 'this key is not indented as the other keys of its mapping'],
    ['a:b\nc: d', 1, 'expected `key: value`, with a space after the colon'],
    ['- a\nb: c', 2, 'unexpected text; check the indentation of this line'],
  ])('in %j is told at line %d', (text, line, fault) => {
    expect(judge(text).mistakes).toMatchObject([{ line, message: `is not valid YAML: ${fault}` }]);
  });

  test('of many brackets is told once a place', () => {
    expect(judge('['.repeat(1000)).mistakes.length).toBeLessThan(5);
  });

  test('hides no other syntax error', () => {
    expect(judge('server: @a\nplans: "x\\q"\nregistry: !x 1\n').mistakes.map(({ line }) => line)).toEqual([
      1, 2, 3,
    ]);
  });
});

describe('a key that stands twice', () => {
  test.each([
    [
      'at the top',
      `${sampleText}\ndefaultPlan: enterprise\n`,
      'defaultPlan',
      sampleText.split('\n').length + 1,
    ],
    ['in a block', 'server:\n  listen: a\n  listen: a\n', 'listen', 3],
    ['in flow', 'server: { listen: a,\n  listen: b }\n', 'listen', 2],
    ['in a list', 'plans:\n  - pattern: a\n    pattern: b\n', 'pattern', 3],
    ['once quoted', 'plans: 1\n"plans": 2\n', '', 2],
    ['as a plan', 'plans:\n  pro: {}\n  pro: {}\n', 'pro', 3],
  ])('%s is told at the second', (_, text, key, line) => {
    expect(judge(text).mistakes).toEqual([
      expect.objectContaining({ key, line, message: 'is set twice in the same mapping' }),
    ]);
  });
});

test('a key that would get lost is told: a rule without its condition would hold for everybody', () => {
  const { mistakes } = judge('authority:\n  planRules:\n    - { when: { __proto__: admins }, plan: pro }\n');
  expect(mistakes).toEqual([
    expect.objectContaining({ key: '__proto__', line: 3, message: 'is a name that cannot be used here' }),
  ]);
});

describe('keys that stand twice', () => {
  const yamlOf = (text: string) =>
    parseDocument(text, { prettyErrors: false, uniqueKeys: true, logLevel: 'error' });
  const key = fc.constantFrom(
    'a',
    '"a"',
    'b',
    '1',
    '0x1',
    "'1'",
    '~',
    'null',
    '"a b"',
    '&x a',
    '!!str a',
    '? a',
  );
  const value = fc.letrec((tie) => ({
    block: fc
      .array(fc.tuple(key, tie('flow')), { maxLength: 5 })
      .map((pairs) =>
        pairs.map(([name, flow]) => `${name}${name === '? a' ? '\n' : ''}: ${flow}\n`).join(''),
      ),
    flow: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom('1', 'x', '[]', '{}', '*x'),
      fc
        .array(fc.tuple(key, tie('flow')), { maxLength: 4 })
        .map((pairs) => `{ ${pairs.map(([name, flow]) => `${name}: ${flow}`).join(', ')} }`),
      fc.array(tie('flow'), { maxLength: 3 }).map((items) => `[${items.join(', ')}]`),
    ),
  })).block as fc.Arbitrary<string>;

  test('are those that yaml finds, where it finds them', () => {
    let found = 0;
    fc.assert(
      fc.property(value, (text) => {
        const expected = yamlOf(text)
          .errors.filter(({ code }) => code === 'DUPLICATE_KEY')
          .map(({ pos }) => pos[0]);
        const told = judge(text).mistakes.filter(
          ({ message }) => message === 'is set twice in the same mapping',
        );
        const lines = text.split('\n');
        const offset = (line: number, column: number) =>
          lines.slice(0, line - 1).join('\n').length + (line > 1 ? 1 : 0) + column - 1;
        expect(told.map(({ line, column }) => offset(line ?? 0, column ?? 0))).toEqual(
          expected.sort((a, b) => a - b),
        );
        found += expected.length;
      }),
      { numRuns: 1000 },
    );
    expect(found).toBeGreaterThan(300);
  });
});

describe('an alias', () => {
  test('repeats what its anchor has', () => {
    const text = JSON.stringify(minimum).replace('"community":', '"pro": *c, "community": &c ');
    expect(judge(text).message).toInclude('alias without an anchor');
    const later = JSON.stringify(minimum)
      .replace('"community":', '"community": &c ')
      .replace(']}}}', ']}, "pro": *c}}');
    const { configuration } = loadText(later);
    expect(configuration.plans.get('pro')?.repositories).toEqual(
      configuration.plans.get('community')?.repositories,
    );
    expect(configuration.plans.get('pro')?.repositories).toHaveLength(1);
  });

  test('is no merge key: YAML 1.2 has none', () => {
    expect(judge('base: &b {}\nserver:\n  <<: *b\n').message).toInclude('server."<<": unknown key');
  });

  test.each([9, 100])('that explodes is a mistake at once: lists of %i', (width) => {
    const lines = [`a0: &a0 [${Array(width).fill('x').join(', ')}]`];
    for (let level = 1; level < 12; level += 1)
      lines.push(
        `a${level}: &a${level} [${Array(width)
          .fill(`*a${level - 1}`)
          .join(', ')}]`,
      );
    const started = performance.now();
    expect(judge(lines.join('\n')).message).toMatch(
      /^test\.yaml:1:1: uses YAML aliases that expand to more than/,
    );
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test('that explodes as a key is one too', () => {
    const lines = ['a0: &a0 {x: 1, y: 1}'];
    for (let level = 1; level < 30; level += 1)
      lines.push(`a${level}: &a${level} {? *a${level - 1} : 1, z: *a${level - 1}}`);
    const started = performance.now();
    expect(judge(lines.join('\n')).loaded).toBeNull();
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test('of what it is inside of ends', () => {
    expect(judge('server: &a\n  listen: *a\n').message).toInclude(
      'server.listen: must be text, not a mapping',
    );
    expect(judge('plans: &a\n  pro: *a\n').message).toInclude('plans.pro.pro: unknown key');
  });
});

describe('nesting', () => {
  test.each(['[', '{a: ', '- ', '? ', '{? '])('of twenty thousand times %j is a mistake, soon', (opening) => {
    const started = performance.now();
    expect(judge(opening.repeat(20_000)).mistakes.length).toBeGreaterThan(0);
    expect(performance.now() - started).toBeLessThan(4000);
  });
});

describe('a place', () => {
  const document = parseConfigurationDocument('a:\n  b: [1,\n   {c: 2}]\n"d e": 3\n7: x\n', 'x.yaml');

  test.each([
    [['a'], { line: 1, column: 1 }],
    [['a', 'b'], { line: 2, column: 3 }],
    [['a', 'b', 0], { line: 2, column: 7 }],
    [['a', 'b', 1, 'c'], { line: 3, column: 5 }],
    [['d e'], { line: 4, column: 1 }],
    [['7'], { line: 5, column: 1 }],
    [[], { line: 1, column: 1 }],
  ])('of %j is that of the key', (path, place) => {
    expect(document.placeOfKey(path)).toEqual(place);
  });

  test.each([
    [['a', 'x'], { line: 2, column: 3 }],
    [['a', 'b', 7], { line: 2, column: 6 }],
    [['x', 'y', 'z'], { line: 1, column: 1 }],
  ])('of %j, which is not there, is that of what would hold it', (path, place) => {
    expect(document.placeOfKey(path)).toEqual(place);
  });
});
