/** What a repository pattern matches. */
import { describe, expect, test } from 'bun:test';
import { ClaimTexts } from '../../src/authorize/claim-texts.ts';
import { matchesPattern } from '../../src/authorize/match.ts';
import { findPatternFault } from '../../src/authorize/pattern.ts';
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

/** Whether a pattern without a fault matches. */
function matches(pattern: string, name: string, claims: Readonly<Record<string, unknown>>): boolean {
  expect(findPatternFault(pattern)).toBeNull();
  return matchesPattern(pattern, name, new ClaimTexts(claims));
}

describe('a pattern', () => {
  const good = vectors.filter(({ fault }) => fault === undefined);

  test.each(good.map((vector) => [vector.pattern, vector.claims ?? {}, vector.why ?? '', vector] as const))(
    '%s with %j matches what its vector says (%s)',
    (pattern, claims, _why, { matches: hits = [], misses = [] }) => {
      expect(hits.filter((name) => !matches(pattern, name, claims))).toEqual([]);
      expect(misses.filter((name) => matches(pattern, name, claims))).toEqual([]);
      expect(hits.length + misses.length).toBeGreaterThan(0);
    },
  );

  test.each(vectors.filter(({ fault }) => fault).map(({ pattern }) => [pattern]))(
    '%j is refused',
    (source) => {
      expect(findPatternFault(source)).toBeString();
    },
  );

  test('takes no claim from a __proto__ that JSON made an own member', () => {
    const claims = JSON.parse('{"__proto__":{"tid":"acme"}}');
    expect(matches('c/{claim:tid}', 'c/acme', claims)).toBe(false);
    const named = JSON.parse('{"__proto__":"acme"}');
    expect(matches('c/{claim:__proto__}', 'c/acme', named)).toBe(true);
  });

  test('takes no claim longer than a name can be', () => {
    const claims = { tid: 'a'.repeat(256) };
    expect(matches('{claim:tid}', claims.tid, claims)).toBe(false);
    const path = { project: 'a/'.repeat(150).slice(0, -1) };
    expect(matches('{path:project}', path.project, path)).toBe(false);
  });
});
