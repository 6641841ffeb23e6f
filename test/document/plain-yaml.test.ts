/** What is read as plain YAML is exactly what the yaml package reads: values, places, and what is a mistake. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { parseConfigurationDocument, parseWithYaml } from '../../src/document/document.ts';
import { readPlainYaml } from '../../src/document/plain-yaml.ts';
import type { KeyPath } from '../../src/document/text.ts';

setDefaultTimeout(120_000);

const read = (name: string) => readFileSync(new URL(`../../etc/${name}`, import.meta.url), 'utf8');
const rules = `plans:
  community:
    repositories:
    - pattern: public/*   # for everybody
    -   pattern: 'team-{claim:tid}/**'
        actions:
          - pull
          - push
    - { pattern: "a/b", actions: [pull, '*'] }
  pro: { catalog: true, lifetime: 15m, repositories: [ ] }
  "7": {}
# the end
defaultPlan: community
limits: { perSubject: 50/s, inFlight: 2000 }
`;
const samples = [
  read('registry-token.yaml'),
  read('registry-token.minimal.yaml'),
  read('client.yaml'),
  rules,
  'a: 1\nb:\n  c: x\n  d:\n  - 1\n  - y: z\n    q: [1, {a: b}]\ne: "t"\n',
];

/** Every path of a value, and beside each one that is not there. */
function pathsOf(value: unknown, path: KeyPath = []): KeyPath[] {
  const below = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return [
    path,
    [...path, 'nothing'],
    [...path, 99],
    ...below.flatMap(([key, member]) => pathsOf(member, [...path, Array.isArray(value) ? Number(key) : key])),
  ];
}

/** Whether a text was read as plain; then the package must agree in everything. */
function compare(text: string): boolean {
  if (readPlainYaml(text) === null) return false;
  const plain = parseConfigurationDocument(text, 'f');
  const yaml = parseWithYaml(text, 'f');
  expect(plain.value).toEqual(yaml.value);
  for (const path of pathsOf(yaml.value)) {
    expect([text, path, plain.placeOf(path)]).toEqual([text, path, yaml.placeOf(path)]);
    expect([text, path, plain.placeOfKey(path)]).toEqual([text, path, yaml.placeOfKey(path)]);
    const keys = yaml.keysOf(path);
    if (keys.length > 0) expect(plain.keysOf(path)).toEqual(keys);
  }
  return true;
}

describe('plain YAML', () => {
  test.each(samples.map((text, index) => [index, text] as const))(
    'is what the samples are: %i',
    (_, text) => {
      expect(compare(text)).toBe(true);
    },
  );

  const piece = fc.constantFrom(
    ...[
      '\n',
      ' ',
      '  ',
      '\n  ',
      '\n    ',
      '- ',
      '-',
      ': ',
      ':',
      '# ',
      '#',
      '"',
      "'",
      '{',
      '}',
      '[',
      ']',
      ', ',
      ',',
    ],
    ...[
      'a',
      'b',
      'key: ',
      'x: 1\n',
      '1',
      '-1',
      '1.5',
      '0x1',
      '0o7',
      '1e3',
      '.5',
      '.inf',
      '~',
      'null',
      'Null',
      'true',
      'True',
    ],
    ...[
      'no',
      'off',
      '|',
      '>',
      '&a ',
      '*a',
      '!t ',
      '<<: ',
      '? ',
      '---\n',
      '...\n',
      '%',
      '@',
      '`',
      '\t',
      '\r',
      '\\',
      'é',
      '证',
    ],
    ...[
      '__proto__: ',
      'constructor: ',
      '5m',
      '50/s',
      '00:05:00',
      '127.0.0.1:80',
      'a:b',
      '{claim:t}/*',
      '\u2028',
      '\ufeff',
    ],
  );
  const change = fc.tuple(fc.nat(), fc.nat({ max: 3 }), piece);

  test('is read as the package reads it, whatever is changed in it', () => {
    let accepted = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...samples),
        fc.array(change, { minLength: 1, maxLength: 4 }),
        (sample, changes) => {
          let text = sample;
          for (const [at, length, inserted] of changes) {
            const start = at % (text.length + 1);
            text = text.slice(0, start) + inserted + text.slice(start + length);
          }
          if (compare(text)) accepted += 1;
        },
      ),
      { numRuns: 1500 },
    );
    expect(accepted).toBeGreaterThan(100);
  });

  test('is read as the package reads it, where lines are moved, repeated and indented otherwise', () => {
    let accepted = 0;
    const move = fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: -3, max: 3 }), fc.boolean());
    fc.assert(
      fc.property(
        fc.constantFrom(...samples),
        fc.array(move, { minLength: 1, maxLength: 3 }),
        (sample, moves) => {
          const lines = sample.split('\n');
          for (const [from, to, indent, isCopy] of moves) {
            const [line = ''] = isCopy ? [lines[from % lines.length]] : lines.splice(from % lines.length, 1);
            lines.splice(
              to % (lines.length + 1),
              0,
              indent < 0 ? line.slice(Math.min(-indent, line.search(/\S|$/))) : ' '.repeat(indent) + line,
            );
          }
          if (compare(lines.join('\n'))) accepted += 1;
        },
      ),
      { numRuns: 1500 },
    );
    expect(accepted).toBeGreaterThan(100);
  });

  test('is read as the package reads it, however short', () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        if (compare(`k: v\n${pieces.join('')}`)) accepted += 1;
      }),
      { numRuns: 5000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});
