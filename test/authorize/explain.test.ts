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
    clientId: fc.constant(null),
    opTokJti: fc.constant(null),
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

const anyScopes = fc.array(
  fc.oneof(
    fc.tuple(names, actionLists).map(([name, actions]) => `repository:${name}:${actions.join(',')}`),
    fc.constantFrom('registry:catalog:*', 'registry:catalog:pull', 'plugin:a:pull', 'repository::pull'),
  ),
  { maxLength: 4 },
);
/** As a client asks that mounts a layer of another repository. */
const mountScopes = fc
  .tuple(segments, segments, fc.constantFrom('pull,push', '*'))
  .map(([target, source, actions]) => [`repository:${target}:${actions}`, `repository:${source}/x1:pull`]);
const scopes = fc.oneof({ weight: 3, arbitrary: anyScopes }, { weight: 1, arbitrary: mountScopes });

/** What the service answers, without any explaining. */
function decide(caller: Caller, asked: readonly string[], policy: Policy): Grant | string {
  try {
    return authorize(caller, 'registry', parseScopes(asked), policy);
  } catch (cause) {
    if (cause instanceof Refusal) return cause.reason;
    throw cause;
  }
}

/**
 * What the reference says that it answers, written down a second time and as plainly as possible: the reason of a
 * refusal, or the scopes of the token.
 */
function expectedOf(caller: Caller, asked: readonly string[], policy: Policy): string | readonly string[] {
  const claims: Record<string, unknown> = caller.kind === 'anonymous' ? {} : caller.claims;
  const isRevoked = typeof claims.license === 'object' || policy.revokedLicenses.has(String(claims.license));
  if (caller.kind === 'verified' && isRevoked) return 'license-revoked';
  const name = caller.kind === 'anonymous' ? policy.anonymousPlan : planNameOf(claims, policy);
  if (name === null) return 'plan-missing';
  const plan = policy.plans.get(name);
  if (plan === undefined) return 'plan-unknown';
  const granted: string[] = [];
  let denied = 0;
  let refusing = 0;
  const resources = parseScopes(asked);
  const isPush = resources.some(
    ({ type, actions }) =>
      type === 'repository' && actions.some((action) => action === 'push' || action === '*'),
  );
  for (const { type, name: repository, actions } of resources) {
    const isNamed = type === 'repository' && repository !== '';
    const rules = isNamed
      ? plan.rules.filter(({ pattern }) => matchesSlowly(pattern, repository, claims))
      : [];
    const has = new Set(rules.flatMap((rule) => rule.actions));
    const all = caller.kind === 'anonymous' ? ['pull'] : [...has];
    const wanted = new Set(
      actions.flatMap((action) => (action === '*' && isNamed && all.length > 0 ? all : [action])),
    );
    const isAllowed = (action: string) => {
      if (caller.kind === 'anonymous' && (action !== 'pull' || !isNamed)) return false;
      if (isNamed) return has.has(action) || has.has('*');
      return (
        plan.catalog &&
        [`${type}:${repository}:${action}`].some(
          (it) => it === 'registry:catalog:*' || it === 'repository::pull',
        )
      );
    };
    const got = [...wanted].filter(isAllowed).sort();
    if (got.length > 0) granted.push(`${type}:${repository}:${got.join(',')}`);
    if (got.length === wanted.size) continue;
    denied += 1;
    const isMountSource = isNamed && isPush && actions.join() === 'pull';
    if (!isMountSource) refusing += 1;
  }
  const isRefused = (policy.grant === 'strict' && refusing > 0) || (denied > 0 && granted.length === 0);
  if (isRefused) return caller.kind === 'anonymous' ? 'credentials-missing' : 'plan-denied';
  return granted;
}

function planNameOf({ tid, plan }: Readonly<Record<string, unknown>>, policy: Policy): string | null {
  for (const rule of policy.claimRules.get('default')?.planRules ?? [])
    if (
      tid !== undefined &&
      rule.conditions.every(({ patterns }) => patterns.some((glob) => globOf(glob, '.*').test(String(tid))))
    )
      return rule.plan;
  if (Array.isArray(plan))
    return [...policy.plans.keys()].find((name) => plan.includes(name)) ?? policy.defaultPlan;
  return plan === undefined || plan === null ? policy.defaultPlan : String(plan);
}

const globOf = (glob: string, star: string) =>
  new RegExp(`^(?:${glob.replace(/[.+?^$()|[\]\\{}]/g, '\\$&').replaceAll('*', star)})$`);

/** A pattern as a regular expression. */
function matchesSlowly(pattern: string, name: string, claims: Readonly<Record<string, unknown>>): boolean {
  const tid = claims.tid;
  const usable = typeof tid === 'string' && /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/.test(tid);
  if (pattern.includes('{') && !usable) return false;
  const filled = pattern.replaceAll('{claim:tid}', String(tid));
  const segments = filled
    .split('/')
    .map((part) => (part === '**' ? '[^/]+(?:/[^/]+)*' : globOf(part, '[^/]*').source.slice(1, -1)));
  return new RegExp(`^${segments.join('/')}$`).test(name);
}

/** The scopes that an explanation calls allowed or denied. */
function scopesOf({ resources }: Explanation, allowed: boolean): string[] {
  return resources.flatMap(({ resource, verdicts }) => {
    const actions = verdicts.filter((verdict) => verdict.allowed === allowed).map(({ action }) => action);
    return actions.length === 0 ? [] : [formatScope({ ...resource, actions })];
  });
}

describe('explain and the service', () => {
  test('say what the reference says, whatever the catalogue, the claims and the scopes', () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(policies, callers, scopes, (policy, caller, asked) => {
        const expected = expectedOf(caller, asked, policy);
        const decision = decide(caller, asked, policy);
        const explanation = explain(caller, 'registry', parseScopes(asked), policy);
        const kind = typeof expected === 'string' ? expected : 'granted';
        seen.set(kind, (seen.get(kind) ?? 0) + 1);
        if (typeof expected === 'string') {
          expect(decision).toBe(expected);
          if (!('refused' in explanation.outcome)) throw new Error(`the service refuses: ${expected}`);
          expect(String(explanation.outcome.refused.reason)).toBe(expected);
          if (explanation.plan !== null) expect(scopesOf(explanation, false)).not.toEqual([]);
          return;
        }
        if (typeof decision === 'string') throw new Error(`the service refuses: ${decision}`);
        expect(decision.access.map(formatScope).sort()).toEqual([...expected].sort());
        if (!('granted' in explanation.outcome)) throw new Error('the service grants');
        expect(explanation.outcome.granted).toEqual(decision);
        expect(scopesOf(explanation, true).sort()).toEqual([...expected].sort());
        const refusing = explanation.resources.filter(({ isLeftOut }) => !isLeftOut);
        if (policy.grant === 'strict')
          expect(scopesOf({ ...explanation, resources: refusing }, false)).toEqual([]);
      }),
      { numRuns: 3000 },
    );
    const kinds = [
      'credentials-missing',
      'granted',
      'license-revoked',
      'plan-denied',
      'plan-missing',
      'plan-unknown',
    ];
    expect([...seen.keys()].sort()).toEqual(kinds);
    expect(seen.get('granted')).toBeGreaterThan(100);
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
    ['a/b/c', ['push'], 'a/b', {}, 'continues after the end of the name, with "c"'],
    ['a/**', ['push'], 'a', {}, 'has a ** that needs one more segment'],
    ['a/**/z', ['push'], 'a/b/c', {}, 'has a ** after which nothing fits the end of the name'],
    ['a/{claim:tid}', ['push'], 'a/b', {}, 'needs the claim tid, which is missing'],
    [
      'a/{claim:tid}',
      ['push'],
      'a/b',
      { tid: '../x' },
      'needs the claim tid, which is "../x" and not a valid name component',
    ],
    [
      'a/{path:tid}',
      ['push'],
      'a/b',
      { tid: 'x//y' },
      'needs the claim tid, which is "x//y" and not a valid name components separated by slashes',
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
    const caller: Caller = {
      kind: 'verified',
      authority: 'default',
      clientId: null,
      opTokJti: null,
      subject: '',
      claims,
    };
    const { resources } = explain(caller, 'registry', parseScopes([`repository:${name}:push`]), policy);
    expect(resources[0]?.verdicts[0]?.nearest?.why).toBe(why);
  });
});
