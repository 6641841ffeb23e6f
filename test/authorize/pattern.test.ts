/** CONTRACT §3: what a repository pattern matches. */
import { describe, expect, test } from 'bun:test';
import { matchesPattern } from '../../src/authorize/match.ts';
import { type Pattern, parsePattern } from '../../src/authorize/pattern.ts';
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
