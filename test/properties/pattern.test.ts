/** The matcher against a naive one, and the scope grammar against the specification's. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { ClaimTexts } from '../../src/authorize/claim-texts.ts';
import { matchesPattern } from '../../src/authorize/match.ts';
import { findPatternFault } from '../../src/authorize/pattern.ts';
import { formatScope, parseScopes } from '../../src/request/resource-scope.ts';

/** Tries everything: exponential, and as plain as can be. */
function matchesNaively(pattern: string, name: string, claims: Readonly<Record<string, string>>): boolean {
  let usable = true;
  const filled = pattern.replace(/\{claim:([^}]+)\}/g, (_, claim: string) => {
    const value = claims[claim];
    if (value === undefined || !/^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/.test(value)) usable = false;
    return value ?? '';
  });
  return usable && segmentsMatch(filled.split('/'), name.split('/'));
}

function segmentsMatch(patterns: readonly string[], segments: readonly string[]): boolean {
  const [pattern, ...patternsLeft] = patterns;
  if (pattern === undefined) return segments.length === 0;
  const [segment, ...segmentsLeft] = segments;
  if (segment === undefined) return false;
  if (pattern !== '**') return runsMatch(pattern, segment) && segmentsMatch(patternsLeft, segmentsLeft);
  return segmentsMatch(patternsLeft, segmentsLeft) || segmentsMatch(patterns, segmentsLeft);
}

function runsMatch(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  if (pattern[0] === '*')
    return runsMatch(pattern.slice(1), text) || (text !== '' && runsMatch(pattern, text.slice(1)));
  return pattern[0] === text[0] && runsMatch(pattern.slice(1), text.slice(1));
}

const segment = fc.stringMatching(/^[ab]{1,4}$/);
const globSegment = fc.oneof(
  { weight: 3, arbitrary: fc.constant('**') },
  { weight: 2, arbitrary: fc.constant('*') },
  { weight: 2, arbitrary: fc.stringMatching(/^[ab]{0,2}\*[ab]{0,2}(?:\*[ab]{1,2})?$/) },
  { weight: 2, arbitrary: segment },
  { weight: 1, arbitrary: fc.constantFrom('{claim:t}', 'a{claim:t}', '{claim:t}*', '{claim:u}') },
);
const isAllowed = (text: string) => !/\*\*/.test(text) || text === '**';
const path = (part: fc.Arbitrary<string>, maxLength: number) =>
  fc.array(part.filter(isAllowed), { minLength: 1, maxLength }).map((parts) => parts.join('/'));
const claim = fc.oneof(segment, fc.constantFrom('', '*', '**', 'a/b', '..', 'A', 'a*', '{claim:u}', 'a-b'));

test('a pattern matches exactly what a naive matcher says', () => {
  let matched = 0;
  fc.assert(
    fc.property(path(globSegment, 5), path(segment, 6), claim, (source, name, t) => {
      expect(findPatternFault(source)).toBeNull();
      const expected = matchesNaively(source, name, { t });
      expect(matchesPattern(source, name, new ClaimTexts({ t }))).toBe(expected);
      if (expected) matched += 1;
    }),
    { numRuns: 5000 },
  );
  expect(matched).toBeGreaterThan(100);
});

test('any text is a pattern or is refused, and never a fault', () => {
  const text = fc.oneof(fc.string({ maxLength: 60 }), fc.stringMatching(/^[a{}:*/.claim]{0,30}$/));
  fc.assert(
    fc.property(text, path(segment, 4), fc.jsonValue(), (source, name, value) => {
      if (findPatternFault(source) === null)
        matchesPattern(source, name, new ClaimTexts({ claim: value, a: value }));
    }),
    { numRuns: 2000 },
  );
});

test.each([['{claim:t}'], ['{path:t}']])(
  '%s matches at most the claim itself, whatever it is',
  (reference) => {
    const value = fc.oneof(fc.jsonValue(), fc.string(), claim, path(segment, 3));
    fc.assert(
      fc.property(value, path(segment, 3), (t, middle) => {
        const claims = new ClaimTexts({ t });
        if (matchesPattern(`c/${reference}/x`, `c/${middle}/x`, claims)) expect(t).toBe(middle);
      }),
      { numRuns: 2000 },
    );
  },
);

/** The grammar as the distribution specification writes it (reference/regexp, token/scope), in one expression. */
const component = '[a-z0-9]+(?:(?:[_.]|__|-*)[a-z0-9]+)*';
const domain = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const name = `(?:${domain}(?:\\.${domain})*(?::[0-9]+)?/)?${component}(?:/${component})*`;
const grammar = new RegExp(
  `^([a-z0-9]+)(?:\\([a-z0-9]+\\))?:(${name}):((?:[a-z]+|\\*)(?:,(?:[a-z]+|\\*))*)$`,
);

test('a scope is accepted exactly where the grammar of the specification has it', () => {
  const near = fc
    .tuple(
      fc.oneof(fc.constant('repository'), fc.stringMatching(/^[a-z]{1,3}(\([a-z]?\))?$/)),
      fc.oneof(
        path(segment, 3),
        path(segment, 2).map((rest) => `A.a-b:50/${rest}`),
        fc.stringMatching(/^([aA][aA.-]{0,3}(:[05]{1,2})?\/)?[ab][ab._-]{0,4}(\/[ab._-]{1,3}){0,2}$/),
      ),
      fc.oneof(
        fc.constantFrom('pull', 'push,pull', '*'),
        fc.stringMatching(/^([a-z]|\*|P)(,([a-z]|\*)?){0,2}$/),
      ),
    )
    .map((parts) => parts.join(':'));
  const text = fc.oneof(near, fc.stringMatching(/^[a-zA0:/.,()*_-]{0,20}$/), fc.string({ maxLength: 20 }));
  let accepted = 0;
  fc.assert(
    fc.property(
      text.filter((scope) => !scope.includes(' ') && scope !== ''),
      (scope) => {
        const [, type, resource, actions] = grammar.exec(scope) ?? [];
        let parsed: string[] | null = null;
        try {
          parsed = parseScopes([scope]).map(formatScope);
        } catch (thrown) {
          expect(String(thrown)).toContain('malformed-scope');
        }
        const sorted = [...new Set(actions?.split(','))].sort().join(',');
        expect(parsed).toEqual(type === undefined ? null : [`${type}:${resource}:${sorted}`]);
        if (parsed !== null) accepted += 1;
      },
    ),
    { numRuns: 5000 },
  );
  expect(accepted).toBeGreaterThan(100);
});

test('repeating, splitting and reordering scopes changes nothing', () => {
  const scope = fc
    .tuple(
      fc.constantFrom('repository', 'registry'),
      path(segment, 2),
      fc.subarray(['pull', 'push', '*'], { minLength: 1 }),
    )
    .map(([type, resource, actions]) => `${type}:${resource}:${actions.join(',')}`);
  fc.assert(
    fc.property(fc.array(scope, { maxLength: 8 }), fc.array(scope, { maxLength: 4 }), (one, more) => {
      const all = [...one, ...more];
      const parsed = parseScopes(all);
      expect(parseScopes([all.join(' '), one.join('  ')])).toEqual(parsed);
      expect(parseScopes([...all].reverse())).toEqual(parsed);
      expect(parseScopes(parsed.map(formatScope))).toEqual(parsed);
    }),
    { numRuns: 500 },
  );
});
