/** CONTRACT §3: what a repository pattern matches. */
import { describe, expect, test } from 'bun:test';
import { matchesPattern, type Pattern, parsePattern } from '../../src/authorize/pattern.ts';
import { loadVectors } from '../support/vectors.ts';

interface PatternVector {
  readonly pattern: string;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly matches?: readonly string[];
  readonly misses?: readonly string[];
  /** No pattern at all. */
  readonly fault?: true;
  readonly why?: string;
}

const vectors = loadVectors<PatternVector>('patterns');

function parse(source: string): Pattern {
  const pattern = parsePattern(source);
  if ('fault' in pattern) throw new Error(`${source} ${pattern.fault}`);
  return pattern;
}

describe('a pattern', () => {
  const good = vectors.filter(({ fault }) => fault === undefined);

  test.each(good.map((vector) => [vector.pattern, vector.claims ?? {}, vector.why ?? '', vector] as const))(
    '%s with %j matches what its vector says (%s)',
    (source, claims, _why, { matches = [], misses = [] }) => {
      const pattern = parse(source);
      expect(matches.filter((name) => !matchesPattern(pattern, name, claims))).toEqual([]);
      expect(misses.filter((name) => matchesPattern(pattern, name, claims))).toEqual([]);
      expect(matches.length + misses.length).toBeGreaterThan(0);
    },
  );

  test.each(vectors.filter(({ fault }) => fault).map(({ pattern }) => [pattern]))(
    '%j is refused',
    (source) => {
      expect(parsePattern(source)).toEqual({ fault: expect.any(String) });
    },
  );

  test('takes no claim from a __proto__ that JSON made an own member', () => {
    const claims = JSON.parse('{"__proto__":{"tid":"acme"}}');
    expect(matchesPattern(parse('c/{claim:tid}'), 'c/acme', claims)).toBe(false);
    const named = JSON.parse('{"__proto__":"acme"}');
    expect(matchesPattern(parse('c/{claim:__proto__}'), 'c/acme', named)).toBe(true);
  });

  test('takes no claim longer than a name can be', () => {
    const claims = { tid: 'a'.repeat(256) };
    expect(matchesPattern(parse('{claim:tid}'), claims.tid, claims)).toBe(false);
  });
});

/** The least of several measurements, in nanoseconds: what the work costs when nothing else runs. */
function cost(pattern: Pattern, name: string): number {
  const times = Array.from({ length: 60 }, () => {
    const start = Bun.nanoseconds();
    for (let round = 0; round < 20; round += 1) matchesPattern(pattern, name, {});
    return Bun.nanoseconds() - start;
  });
  return Math.min(...times);
}

describe('matching takes a time that is linear in the length of the name', () => {
  test.each([
    ['stars in one segment', `${'a*'.repeat(20)}b*`, (length: number) => 'a'.repeat(length)],
    ['stars alone', `${'*a'.repeat(20)}*b*`, (length: number) => 'a'.repeat(length)],
    ['double stars', `${'**/a/'.repeat(20)}b`, (length: number) => `${'a/'.repeat((length - 1) / 2)}a`],
    [
      'double stars and stars',
      `${'**/*a*a/'.repeat(10)}b`,
      (length: number) => `${'aa/'.repeat((length - 2) / 3)}aa`,
    ],
  ])('%s against a name made for backtracking', (_, source, nameOf) => {
    const pattern = parse(source);
    cost(pattern, nameOf(62));
    const ratio = cost(pattern, nameOf(254)) / cost(pattern, nameOf(62));
    // Four times the length: 4 if linear, 16 if quadratic, and beyond any number if exponential.
    expect(ratio).toBeLessThan(10);
  });
});
