/** Whatever a text holds, a shell and a reader of YAML take it for that one text. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { shellWords, yamlText } from '../../src/platform/quoting.ts';
import { run } from '../support/processes.ts';

const awkward = [
  ...[
    '',
    ' ',
    "it's",
    '"',
    '$HOME',
    '`id`',
    '~',
    '#',
    '&',
    '*a',
    '!b',
    '%c',
    '@d',
    '-',
    '--',
    'a: b',
    'a #b',
    'a:',
  ],
  ...[
    'yes',
    'No',
    'null',
    'true',
    'y',
    '1',
    '1.5',
    '0x1',
    '.inf',
    '12:30:45',
    '2026-01-01',
    '=',
    '<<',
    '|',
    '>',
  ],
  ...[
    'https://registry.example.com/token',
    '/etc/registry-token/a.pem',
    './a',
    '../b',
    'registry.example.com:5000',
  ],
  ...['a\nb', 'a\tb', '\u007f', '\u0085', '\u2028', '\u202e', '日本', '\u{1f600}', 'a, b', '[a]', '{a}'],
];

for (const version of ['1.1', '1.2'] as const)
  test(`a reader of YAML ${version} takes each for text, in block and in flow style`, () => {
    const check = (text: string) => {
      expect(parse(`key: ${yamlText(text)}\n`, { version })).toEqual({ key: text });
      expect(parse(`[${yamlText(text)}, ${yamlText(text)}]`, { version })).toEqual([text, text]);
    };
    awkward.forEach(check);
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), check));
  });

test('paths, names and URLs stay as they are', () => {
  for (const text of ['/etc/a.pem', '../a.pem', 'registry-signing.crt', 'https://registry.example.com/token'])
    expect(yamlText(text)).toBe(text);
});

test('a shell takes each for one word', async () => {
  const { stdout } = await run(['sh', '-c', `printf '%s\\n--\\n' ${shellWords(awkward)}`]);
  expect(stdout).toBe(awkward.map((word) => `${word}\n--\n`).join(''));
});
