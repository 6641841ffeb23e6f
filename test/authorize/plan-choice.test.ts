/** Which plan a caller has: planRules, then the claim, then the default. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { explain } from '../../src/authorize/explain.ts';
import { matchesRun } from '../../src/authorize/plan-choice.ts';
import type { ClaimRules, PlanRule } from '../../src/authorize/policy.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import {
  claimRules,
  createHarness,
  createPlan,
  defaultPolicy,
  type HarnessOptions,
} from '../support/service.ts';
import type { Members } from '../support/tokens.ts';

const plans = new Map(
  ['admin', 'ci', 'community'].map((name) => [name, createPlan(name, [[`${name}/**`, ['pull']]])]),
);

function rule(when: Readonly<Record<string, readonly string[]>>, plan: string): PlanRule {
  return { conditions: Object.entries(when).map(([name, patterns]) => ({ name, patterns })), plan };
}

async function harnessWith(rules: Partial<ClaimRules>, policy: HarnessOptions['policy'] = {}) {
  const harness = await createHarness({
    policy: { plans, claimRules: new Map([['default', claimRules(rules)]]), ...policy },
  });
  return {
    harness,
    askWith: (claims: Members) => ask(harness, { opTok: harness.opTok({ claims }) }),
    planOf: async (claims: Members) => {
      const answer = await ask(harness, { opTok: harness.opTok({ claims }) });
      return answer.decision.grant?.plan ?? answer.decision.refusal?.reason ?? null;
    },
  };
}

describe('planRules', async () => {
  const { planOf } = await harnessWith({
    named: new Map([['namespace', ['kubernetes.io', 'namespace']]]),
    planRules: [
      rule({ repository_owner: ['octo-org'], ref: ['refs/heads/*'] }, 'ci'),
      rule({ groups: ['registry-admins', 'platform'] }, 'admin'),
      rule({ namespace: ['team-*'] }, 'ci'),
      rule({ groups: ['registry-*'], project_id: ['42'], ref_protected: ['true'] }, 'admin'),
    ],
  });

  test.each<[string, Members, string]>([
    [
      'the first rule whose conditions all hold',
      { repository_owner: 'octo-org', ref: 'refs/heads/a/b' },
      'ci',
    ],
    [
      'the first of two rules that hold',
      { repository_owner: 'octo-org', ref: 'refs/heads/a', groups: ['platform'] },
      'ci',
    ],
    [
      'not a rule of which one condition fails',
      { repository_owner: 'octo-org', ref: 'refs/tags/v1' },
      'community',
    ],
    ['not a rule whose claim is missing', { repository_owner: 'octo-org' }, 'community'],
    ['one element of a list', { groups: ['a', 'platform'] }, 'admin'],
    ['text where the rule has a list', { groups: 'registry-admins' }, 'admin'],
    ['not in another letter case', { groups: ['Platform'] }, 'community'],
    ['not a part of the text', { groups: ['platform-x', 'x-platform'] }, 'community'],
    ['a claim by its name in claims.named', { 'kubernetes.io': { namespace: 'team-a' } }, 'ci'],
    ['not a top-level claim where the name is another one', { namespace: 'team-a' }, 'community'],
    [
      'numbers and booleans as text',
      { groups: ['registry-x'], project_id: 42, ref_protected: true },
      'admin',
    ],
    [
      'text that looks like them',
      { groups: ['registry-x'], project_id: '42', ref_protected: 'true' },
      'admin',
    ],
    [
      'no number that is another one',
      { groups: ['registry-x'], project_id: 42.5, ref_protected: true },
      'community',
    ],
    ['no object', { groups: { platform: true } }, 'community'],
    ['no list in a list', { groups: [['platform']] }, 'community'],
    ['no null', { groups: null }, 'community'],
    ['not __proto__', JSON.parse('{"__proto__":{"groups":"platform"}}'), 'community'],
  ])('choose by %s', async (_, claims, plan) => {
    expect(await planOf(claims)).toBe(plan);
  });

  test('come before the claim, and the claim before the default', async () => {
    expect(await planOf({ 'stellaops:plan': 'admin', groups: ['platform'] })).toBe('admin');
    const claim = { 'stellaops:plan': 'admin' };
    expect(await planOf({ ...claim, repository_owner: 'octo-org', ref: 'refs/heads/a' })).toBe('ci');
    expect(await planOf(claim)).toBe('admin');
    expect(await planOf({})).toBe('community');
  });

  test('do not take an integer that JavaScript cannot hold for its neighbour', async () => {
    const { planOf } = await harnessWith({ planRules: [rule({ id: ['9007199254740992'] }, 'admin')] });
    expect(await planOf({ id: 9007199254740991 })).toBe('community');
    expect(await planOf({ id: 2 ** 53 })).toBe('community');
    expect(await planOf({ id: '9007199254740992' })).toBe('admin');
  });

  test('without conditions hold always', async () => {
    const { planOf } = await harnessWith({ planRules: [rule({}, 'ci')] });
    expect(await planOf({ 'stellaops:plan': 'admin' })).toBe('ci');
  });

  test('that name no plan of the catalogue refuse; the other plans are named in the log alone', async () => {
    const { askWith } = await harnessWith({ planRules: [rule({}, 'gone')] });
    const answer = await askWith({ 'stellaops:plan': 'admin' });
    expectRefusal(answer, 'plan-unknown');
    expect(answer.decision.refusal?.detail).toBe(
      'There is no plan "gone". The plans are admin, ci, community. Add the plan, or correct the claim or the rule that names it.',
    );
    expect(answer.body).toMatchObject({ detail: 'There is no plan "gone".' });
    expect(JSON.stringify(answer.body)).not.toContain('community');
  });

  test('that all fail are told where there is no plan at all', async () => {
    const rules = { plan: ['realm_access', 'roles'], planRules: [rule({ groups: ['x'] }, 'ci')] } as const;
    const { askWith } = await harnessWith(rules, { defaultPlan: null });
    const answer = await askWith({ realm_access: { roles: ['offline_access'] } });
    expectRefusal(answer, 'plan-missing');
    expect(answer.decision.refusal?.clientDetail).toBe(
      'No plan: none of the 1 planRules holds, the claim [realm_access, roles] is ["offline_access"], and there is no defaultPlan.',
    );
  });
});

describe('a claim that is a list', async () => {
  const { planOf, askWith } = await harnessWith({ plan: ['realm_access', 'roles'] });
  const roles = (...list: readonly unknown[]) => ({ realm_access: { roles: list } });

  test('names the first plan of the catalogue that is in it, whatever its own order', async () => {
    expect(await planOf(roles('offline_access', 'ci'))).toBe('ci');
    expect(await planOf(roles('community', 'ci', 'admin'))).toBe('admin');
    expect(await planOf(roles(7, null, {}, 'ci'))).toBe('ci');
  });

  test('counts as no claim where it names none', async () => {
    expect(await planOf(roles('offline_access'))).toBe('community');
    expect(await planOf(roles())).toBe('community');
    expect(await planOf({})).toBe('community');
    expect(await planOf({ realm_access: 'ci' })).toBe('community');
  });

  test('may be text at the same path, and must not be anything else', async () => {
    expect(await planOf({ realm_access: { roles: 'ci' } })).toBe('ci');
    expectRefusal(await askWith({ realm_access: { roles: 7 } }), 'plan-unknown');
    expectRefusal(await askWith({ realm_access: { roles: {} } }), 'plan-unknown');
  });
});

describe('claims.named', () => {
  test('names claims for patterns too, in place of a top-level claim of the same name', async () => {
    const own = createPlan('own', [
      ['{claim:namespace}/*', ['pull', 'push']],
      ['by-id/{claim:project_id}', ['pull']],
    ]);
    const harness = await createHarness({
      policy: {
        ...defaultPolicy(),
        plans: new Map([['own', own]]),
        defaultPlan: 'own',
        claimRules: new Map([
          ['default', claimRules({ named: new Map([['namespace', ['kubernetes.io', 'namespace']]]) })],
        ]),
      },
    });
    const claims = { 'kubernetes.io': { namespace: 'team' }, namespace: 'evil', project_id: 'p1' };
    const askFor = (scope: string) => ask(harness, { opTok: harness.opTok({ claims }), scopes: [scope] });
    expectToken(await askFor('repository:team/app:pull,push'));
    expectToken(await askFor('repository:by-id/p1:pull'));
    expectRefusal(await askFor('repository:evil/app:pull'), 'plan-denied');
  });
});

describe('explain', () => {
  test('shows which rule chose the plan, and why each earlier one did not', () => {
    const planRules = [
      rule({ groups: ['admins', 'platform'] }, 'admin'),
      rule({ ref: ['refs/heads/*'] }, 'ci'),
      rule({}, 'community'),
    ];
    const policy = {
      ...defaultPolicy(),
      plans,
      claimRules: new Map([['default', claimRules({ planRules })]]),
    };
    const claims = { groups: ['dev'], ref: 'refs/heads/main' };
    const caller = {
      kind: 'verified',
      authority: 'default',
      clientId: null,
      opTokJti: null,
      subject: 'a',
      claims,
    } as const;
    const { plan, choice } = explain(caller, 'registry', [], policy);
    expect(plan?.name).toBe('ci');
    expect(choice).toEqual({
      by: { rule: 1 },
      missed: [{ rule: 0, plan: 'admin', why: 'groups is ["dev"], not one of [admins, platform]' }],
    });
  });
});

describe('a condition with *', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*', '.'), maxLength: 8 });

  test('matches as the regular expression does that it stands for', () => {
    fc.assert(
      fc.property(letters, letters, (pattern, text) => {
        const escaped = pattern.replace(/[./]/g, '\\$&').replaceAll('*', '[^]*');
        expect(matchesRun(pattern, text)).toBe(new RegExp(`^${escaped}$`).test(text));
      }),
      { numRuns: 3000 },
    );
  });

  test('takes steps in proportion to the length, however often * stands in it', () => {
    const text = 'a'.repeat(16_000);
    const started = performance.now();
    expect(matchesRun(`${'*a'.repeat(100)}b`, text)).toBe(false);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
