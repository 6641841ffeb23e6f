/** Matching is linear in the name's length for any pattern. Counted in steps, which no machine changes. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { ClaimTexts } from '../../src/authorize/claim-texts.ts';
import { matchesPattern } from '../../src/authorize/match.ts';
import { findPatternFault } from '../../src/authorize/pattern.ts';

/** A text whose readers are counted: every character that is looked at is a step. */
function counted(text: string, count: () => void) {
  return {
    length: text.length,
    charCodeAt: (at: number) => {
      count();
      return text.charCodeAt(at);
    },
    slice: (from: number, to: number) => text.slice(from, to),
    isWellFormed: () => text.isWellFormed(),
  };
}

function countSteps(pattern: string, name: string, claims: Record<string, string> = {}): number {
  let steps = 0;
  const count = () => {
    steps += 1;
  };
  if (findPatternFault(pattern) !== null) throw new Error(`${pattern} is no pattern`);
  matchesPattern(counted(pattern, count), counted(name, count), new ClaimTexts(claims));
  return steps;
}

const repeat = (text: string, length: number) => text.repeat(Math.ceil(length / text.length));
const path = (text: string, length: number) => repeat(text, length).replace(/\/$/, '');

const hostile: [why: string, pattern: string, nameOf: (length: number) => string][] = [
  ['stars in one segment', `${'a*'.repeat(20)}b`, (length) => repeat('a', length)],
  ['stars alone', `${'*a'.repeat(20)}*b*`, (length) => repeat('a', length)],
  ['a literal that nearly fits everywhere', `*${'a'.repeat(60)}b`, (length) => repeat('a', length)],
  ['double stars', `${'**/a/'.repeat(20)}b`, (length) => path('a/', length)],
  ['double stars alone', `${'**/'.repeat(30)}b`, (length) => path('a/', length)],
  ['a tail that nearly fits everywhere', `**/${'a/'.repeat(30)}b`, (length) => path('a/', length)],
  ['double stars and stars', `${'**/*a*a/'.repeat(10)}b`, (length) => path('aa/', length)],
  ['stars after each double star', `${'**/*a*a*b/'.repeat(8)}c`, (length) => path('aaaa/', length)],
  ['claims behind stars', `${'**/*{claim:t}*/'.repeat(6)}b`, (length) => path('aaaa/', length)],
  ['a pattern that matches', '**', (length) => path('a/', length)],
];

describe('the steps of matching', () => {
  test.each(hostile)('grow with the length of the name at most, with %s', (_, source, nameOf) => {
    const steps = [256, 1024, 4096, 16_384].map((length) => {
      const name = nameOf(length);
      return countSteps(source, name, { t: 'aaa' }) / name.length;
    });
    // What a character costs is the same in a short name and a long one.
    expect(Math.max(...steps)).toBeLessThan((steps[0] ?? 0) * 1.3);
    expect(Math.max(...steps)).toBeGreaterThan(0);
  });

  const literal = fc.stringMatching(/^[ab]{1,3}$/);
  const segment = fc.oneof(
    fc.constant('**'),
    fc
      .array(fc.oneof(literal, fc.constant('*'), fc.constant('{claim:t}')), { minLength: 1, maxLength: 8 })
      .map((pieces) => pieces.join('').replace(/\*+/g, '*')),
  );
  const patterns = fc.array(segment, { minLength: 1, maxLength: 20 }).map((parts) => parts.join('/'));
  const names = fc
    .array(fc.stringMatching(/^[ab]{1,12}$/), { minLength: 1, maxLength: 40 })
    .map((parts) => parts.join('/'));

  test('are no more than the two lengths multiplied, a few times over', () => {
    let most = 0;
    fc.assert(
      fc.property(patterns, names, fc.constantFrom('a', 'b', 'aba'), (source, name, t) => {
        const share = countSteps(source, name, { t }) / ((name.length + 1) * (source.length + 1));
        most = Math.max(most, share);
        expect(share).toBeLessThan(4);
      }),
      { numRuns: 3000 },
    );
    expect(most).toBeGreaterThan(0.1);
  });
});

describe('the steps of checking a pattern', () => {
  test.each([
    ['braces that open', '{'],
    ['braces that open and close', '{}'],
    ['claims', '{claim:a}'],
    ['stars', '*'],
    ['stars with letters', '*a'],
    ['slashes', 'a/'],
    ['claims that do not end', '{claim:a'],
  ])('grow with its length: %s', (_, piece) => {
    const steps = [100, 10_000].map((length) => {
      let count = 0;
      const text = repeat(piece, length);
      findPatternFault(
        counted(text, () => {
          count += 1;
        }),
      );
      return count / text.length;
    });
    expect(Math.max(...steps)).toBeLessThan(4);
  });
});
