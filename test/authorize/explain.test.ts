import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Caller } from '../../src/authenticate/authenticate.ts';
import { authorize, type Grant } from '../../src/authorize/authorize.ts';
import { ClaimTexts } from '../../src/authorize/claim-texts.ts';
import { type Explanation, explain } from '../../src/authorize/explain.ts';
import { matchesPattern } from '../../src/authorize/match.ts';
import type { PlanRule, Policy } from '../../src/authorize/policy.ts';
import { Refusal } from '../../src/refusal.ts';
import { formatScope, parseScopes } from '../../src/request/resource-scope.ts';
import { claimRules } from '../support/service.ts';

const segments = fc.constantFrom('a', 'b', 'team-a', 'team-b', 'x1');
const patternSegments = fc.constantFrom(
  'a',
  'b',
  'team-*',
  '*',
  '**',
  '{claim:tid}',
  'team-{claim:tid}',
  '*-a',
);
const actionLists = fc.uniqueArray(fc.constantFrom('pull', 'push', 'delete', '*'), {
  minLength: 1,
  maxLength: 3,
});
const names = fc.array(segments, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));

const plans = fc.record({
  name: fc.constantFrom('free', 'pro'),
  catalog: fc.boolean(),
  lifetime: fc.constant(null),
  rules: fc
    .array(
      fc
        .tuple(fc.array(patternSegments, { minLength: 1, maxLength: 4 }), actionLists)
        .map(([parts, actions]) => ({ pattern: parts.join('/'), actions })),
      { maxLength: 5 },
    )
    .map((rules) => rules.map((rule, index) => ({ index, ...rule }))),
});

const claimNames = { plan: ['plan'], license: ['license'] } as const;

const policies: fc.Arbitrary<Policy> = fc.record({
  plans: fc.array(plans, { maxLength: 2 }).map((list) => new Map(list.map((plan) => [plan.name, plan]))),
  defaultPlan: fc.constantFrom(null, 'free'),
  anonymousPlan: fc.constantFrom(null, 'free', 'pro'),
  revokedLicenses: fc.constantFrom(new Set<string>(), new Set(['LIC-1'])),
  grant: fc.constantFrom('strict' as const, 'intersection' as const),
  claimRules: fc
    .constantFrom<readonly PlanRule[]>(
      [],
      [{ conditions: [{ name: 'tid', patterns: ['a', '*/b'] }], plan: 'pro' }],
      [{ conditions: [{ name: 'tid', patterns: ['A'] }], plan: 'gone' }],
    )
    .map((planRules) => new Map([['default', claimRules({ ...claimNames, planRules })]])),
  lifetime: fc.constant(300),
});

const callers: fc.Arbitrary<Caller> = fc.oneof(
  fc.constant<Caller>({ kind: 'anonymous' }),
  fc.record({
    kind: fc.constant('verified' as const),
    authority: fc.constant('default'),
    subject: fc.constant('alice'),
    claims: fc.record(
      {
        plan: fc.constantFrom<unknown>('free', 'pro', 'gone', 7, null, ['x', 'pro', 'free'], []),
        license: fc.constantFrom('LIC-1', 'LIC-2', {}),
        tid: fc.constantFrom('a', 'b', 'A', '../b', '*', 3),
      },
      { requiredKeys: [] },
    ),
  }),
);

const scopes = fc.array(
  fc.oneof(
    fc.tuple(names, actionLists).map(([name, actions]) => `repository:${name}:${actions.join(',')}`),
    fc.constantFrom('registry:catalog:*', 'registry:catalog:pull', 'plugin:a:pull', 'repository::pull'),
  ),
  { maxLength: 4 },
);

/** What the service would answer, without any explaining. */
function decide(caller: Caller, asked: readonly string[], policy: Policy): Grant | string {
  try {
    return authorize(caller, 'registry', parseScopes(asked), policy);
  } catch (cause) {
    if (cause instanceof Refusal) return cause.reason;
    throw cause;
  }
}

/** The scopes that an explanation calls allowed or denied. */
function scopesOf({ resources }: Explanation, allowed: boolean): string[] {
  return resources.flatMap(({ resource, verdicts }) => {
    const actions = verdicts.filter((verdict) => verdict.allowed === allowed).map(({ action }) => action);
    return actions.length === 0 ? [] : [formatScope({ ...resource, actions })];
  });
}

describe('explain and the service', () => {
  test('never disagree, whatever the catalogue, the claims and the scopes', () => {
    fc.assert(
      fc.property(policies, callers, scopes, (policy, caller, asked) => {
        const decision = decide(caller, asked, policy);
        const explanation = explain(caller, 'registry', parseScopes(asked), policy);
        if (typeof decision === 'string') {
          if (!('refused' in explanation.outcome)) throw new Error(`the service refuses: ${decision}`);
          expect(explanation.outcome.refused.reason).toBe(decision as Refusal['reason']);
          if (explanation.plan !== null) expect(scopesOf(explanation, false)).not.toEqual([]);
          return;
        }
        if (!('granted' in explanation.outcome)) throw new Error('the service grants');
        expect(explanation.outcome.granted).toEqual(decision);
        expect(scopesOf(explanation, true)).toEqual(decision.access.map(formatScope));
        const refusing = explanation.resources.filter(({ isLeftOut }) => !isLeftOut);
        if (policy.grant === 'strict')
          expect(scopesOf({ ...explanation, resources: refusing }, false)).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  });

  test('name a rule that does match for what is allowed, and a reason for what is not', () => {
    fc.assert(
      fc.property(policies, callers, scopes, (policy, caller, asked) => {
        const { resources, plan } = explain(caller, 'registry', parseScopes(asked), policy);
        const claims = caller.kind === 'verified' ? caller.claims : {};
        for (const { resource, verdicts } of resources) {
          for (const { action, allowed, rule, nearest, because } of verdicts) {
            if (rule !== null) {
              expect(allowed).toBe(true);
              expect(matchesPattern(rule.pattern, resource.name, new ClaimTexts(claims))).toBe(true);
              expect(rule.actions.includes(action) || rule.actions.includes('*')).toBe(true);
            }
            if (!allowed) expect(nearest !== null || because !== null).toBe(true);
            if (nearest !== null) expect(plan?.rules[nearest.rule.index]).toEqual(nearest.rule);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('the reason for a denial', () => {
  const table: [
    pattern: string,
    actions: string[],
    name: string,
    claims: Record<string, unknown>,
    why: string,
  ][] = [
    ['a/b', ['pull'], 'a/b', {}, 'matches, and its actions are pull, not push'],
    ['a/*', ['push'], 'a/b/c', {}, 'ends before "c": * does not cross a slash, ** does'],
    ['a/b/c', ['push'], 'a/b', {}, 'goes on where the name ends, with "c"'],
    ['a/**', ['push'], 'a', {}, 'has a ** that needs one segment more'],
    ['a/**/z', ['push'], 'a/b/c', {}, 'has a ** after which nothing fits the end of the name'],
    ['a/{claim:tid}', ['push'], 'a/b', {}, 'needs the claim tid, which is missing'],
    [
      'a/{claim:tid}',
      ['push'],
      'a/b',
      { tid: '../x' },
      'needs the claim tid, which is "../x": no name component',
    ],
    [
      'a/{path:tid}',
      ['push'],
      'a/b',
      { tid: 'x//y' },
      'needs the claim tid, which is "x//y": no name components divided by slashes',
    ],
    ['a/{claim:tid}', ['push'], 'a/b', { tid: 'c' }, 'has "{claim:tid}" (here "c") where the name has "b"'],
    ['team-*', ['push'], 'group-a', {}, 'has "team-*" where the name has "group-a"'],
  ];
  test.each(table)('of %s with %j on %s with %j is told', (pattern, actions, name, claims, why) => {
    const plan = { name: 'free', catalog: false, lifetime: null, rules: [{ index: 0, pattern, actions }] };
    const policy: Policy = {
      plans: new Map([['free', plan]]),
      defaultPlan: 'free',
      anonymousPlan: null,
      revokedLicenses: new Set(),
      grant: 'strict',
      claimRules: new Map([['default', claimRules(claimNames)]]),
      lifetime: 300,
    };
    const caller: Caller = { kind: 'verified', authority: 'default', subject: '', claims };
    const { resources } = explain(caller, 'registry', parseScopes([`repository:${name}:push`]), policy);
    expect(resources[0]?.verdicts[0]?.nearest?.why).toBe(why);
  });
});
