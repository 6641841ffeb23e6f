/** What `check` says of the rules of a plan holds for every name: nothing that matters is called superfluous. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import { ClaimTexts } from '../../src/authorize/claim-texts.ts';
import { matchesPattern } from '../../src/authorize/match.ts';
import type { Policy } from '../../src/authorize/policy.ts';
import { matchingRules, allows as ruleAllows } from '../../src/authorize/rules.ts';
import { findPolicyFaults } from '../../src/check/policy-findings.ts';
import { loadText, minimum } from '../config/configuration-text.ts';
import { createPlan, defaultPolicy } from '../support/service.ts';

setDefaultTimeout(60_000);

const loaded = loadText(JSON.stringify(minimum));

type RuleText = readonly [pattern: string, actions: readonly string[]];

/** The rules of a plan that are called so, by their number. */
function findRules(code: string, rules: readonly RuleText[]): number[] {
  const plan = createPlan('plan', rules);
  const policy: Policy = { ...defaultPolicy(), plans: new Map([['plan', plan]]) };
  const numbered = {
    ...loaded,
    placeOf: (path: readonly (string | number)[]) => String(path[path.length - 2]),
  };
  return findPolicyFaults(numbered, policy)
    .filter((finding) => finding.code === code)
    .map(({ place }) => Number(place));
}

const segment = fc.constantFrom('a', 'b', 'a-*', '*', '**', '*-b', 'a*b', '{claim:tid}', 'a-{claim:tid}');
const rule = fc.tuple(
  fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')),
  fc.uniqueArray(fc.constantFrom('pull', 'push', '*'), { minLength: 1 }),
);
const name = fc
  .array(fc.constantFrom('a', 'b', 'a-b', 'a-a', 'ab', 'aab', 'c', 'a-c'), { minLength: 1, maxLength: 5 })
  .map((parts) => parts.join('/'));
const claims = fc.constantFrom({}, { tid: 'a' }, { tid: 'b' }, { tid: 'c' });

function allows(
  texts: readonly RuleText[],
  asked: string,
  action: string,
  own: Record<string, string>,
): boolean {
  const { rules } = createPlan('plan', texts);
  return matchingRules(rules, asked, new ClaimTexts(own)).some((matching) => ruleAllows(matching, action));
}

describe('a rule that is called redundant', () => {
  test('can be taken out, and all such at once, without a change for any name, action and claim', () => {
    let found = 0;
    fc.assert(
      fc.property(
        fc.array(rule, { minLength: 2, maxLength: 6 }),
        fc.array(fc.tuple(name, fc.constantFrom('pull', 'push', 'delete', '*'), claims), { minLength: 20 }),
        (texts, questions) => {
          const redundant = findRules('rule-redundant', texts);
          found += redundant.length;
          const left = texts.filter((_, index) => !redundant.includes(index));
          for (const [asked, action, own] of questions)
            expect(allows(left, asked, action, own)).toBe(allows(texts, asked, action, own));
        },
      ),
      { numRuns: 1500 },
    );
    expect(found).toBeGreaterThan(500);
  });

  test.each<[string, readonly RuleText[], readonly number[]]>([
    [
      'one that is there twice: the second',
      [
        ['a/*', ['pull']],
        ['a/*', ['pull']],
      ],
      [1],
    ],
    [
      'one in a wider one',
      [
        ['a/b', ['pull']],
        ['a/**', ['pull', 'push']],
      ],
      [0],
    ],
    [
      'no rule with an action more',
      [
        ['a/b', ['pull', 'push']],
        ['a/**', ['pull']],
      ],
      [],
    ],
    [
      'one with any action beside *',
      [
        ['a/b', ['delete']],
        ['a/b', ['*']],
      ],
      [0],
    ],
    [
      'a claim in a wildcard',
      [
        ['a/{claim:tid}', ['pull']],
        ['a/*', ['pull']],
      ],
      [0],
    ],
    [
      'no wildcard in a claim',
      [
        ['a/*', ['pull']],
        ['a/{claim:tid}', ['pull']],
      ],
      [1],
    ],
    [
      'no * for a name of its own depth',
      [
        ['a/*', ['pull']],
        ['a/b/c', ['pull']],
      ],
      [],
    ],
    [
      'of two with * and others the second',
      [
        ['a/*', ['*', 'pull']],
        ['a/*', ['*']],
      ],
      [1],
    ],
  ])('is %s', (_, rules, expected) => {
    expect(findRules('rule-redundant', rules)).toEqual([...expected]);
  });
});

describe('a pattern that is called unmatchable', () => {
  test.each(['a/A*', 'a/_b', 'a/b-', 'a/b..c', 'a/b___c', 'a/-*', `a/${'b'.repeat(256)}`])(
    'matches no name: %s',
    (pattern) => {
      expect(findRules('pattern-unmatchable', [[pattern, ['pull']]])).toEqual([0]);
    },
  );

  test('is never one that matches a name', () => {
    fc.assert(
      fc.property(rule, name, claims, ([pattern, actions], asked, own) => {
        fc.pre(matchesPattern(pattern, asked, new ClaimTexts(own)));
        expect(findRules('pattern-unmatchable', [[pattern, actions]])).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test.each(['a', '*', '**', 'a/**', 'a-*/b', '{claim:tid}', 'a_*', '*__b', 'localhost:5000/a', 'x.y/a'])(
    'is not %s',
    (pattern) => {
      expect(findRules('pattern-unmatchable', [[pattern, ['pull']]])).toEqual([]);
    },
  );
});
