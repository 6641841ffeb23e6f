/** What reaches a terminal of a text from outside. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { escapeLines, escapeText, excerpt } from '../../src/platform/escape.ts';

test.each([
  [
    '\u001b[2J\u001b[1;31mA token of 900 s would be issued',
    '\\u001b[2J\\u001b[1;31mA token of 900 s would be issued',
  ],
  ['\u009b31m', '\\u009b31m'],
  ['a\r\nb\tc\u0000\u007f', 'a\\u000d\\u000ab\\u0009c\\u0000\\u007f'],
  ['\u202egnp.exe\u2066\u2069\u061c\u200f', '\\u202egnp.exe\\u2066\\u2069\\u061c\\u200f'],
  ['\u2028\u2029\u200b\ufeff', '\\u2028\\u2029\\u200b\\ufeff'],
  ['\u{e0041}', '\\udb40\\udc41'],
  ['\ud800x', '\\ud800x'],
  ['Grüße, 日本 \u{1f600} "quoted" \\', 'Grüße, 日本 \u{1f600} "quoted" \\'],
])('%j is shown as %j', (text, shown) => {
  expect(escapeText(text)).toBe(shown);
});

test('no text commands a terminal or ends a line', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(escapeText(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
    }),
  );
});

test('escaped JSON is JSON of the same value', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(JSON.parse(escapeLines(JSON.stringify({ text }, null, 2)))).toEqual({ text });
    }),
  );
});

test('a long text is cut before it is escaped', () => {
  expect(excerpt('\u001b'.repeat(9), 2)).toBe('\\u001b\\u001b...');
  expect(excerpt('ab', 2)).toBe('ab');
});
