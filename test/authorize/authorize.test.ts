/** Licence, plan, and what of the request a plan grants. */
import { describe, expect, test } from 'bun:test';
import { type Answer, ask, expectRefusal, expectToken } from '../support/ask.ts';
import {
  claimRules,
  createHarness,
  createPlan,
  defaultPolicy,
  type HarnessOptions,
} from '../support/service.ts';
import { decodePart, type Members } from '../support/tokens.ts';

const harness = await createHarness();
const PLAN = 'stellaops:plan';
const LICENSE = 'stellaops:license';

const askWith = (claims: Members, scopes: readonly string[] = []) =>
  ask(harness, { opTok: harness.opTok({ claims }), scopes });

const accessOf = ({ body }: Answer) => decodePart(String(body.token), 1).access;

async function harnessWith(policy: HarnessOptions['policy'] = {}) {
  return createHarness({ policy });
}

describe('the plan', () => {
  test("is the OpTok's, else the default one", async () => {
    expectToken(await askWith({}, ['repository:public/a:pull']));
    expectRefusal(await askWith({}, ['repository:team-a/x:pull']), 'plan-denied');
    expectToken(await askWith({ [PLAN]: 'enterprise' }, ['repository:team-a/x:pull']));
    expectRefusal(await askWith({ [PLAN]: 'enterprise' }, ['repository:public/a:pull']), 'plan-denied');
  });

  test.each(['', 'Enterprise', 'unknown', '__proto__', 'constructor', 'toString'])(
    'that is not in the catalogue is refused: %j',
    async (plan) => {
      expectRefusal(await askWith({ [PLAN]: plan }), 'plan-unknown');
    },
  );

  test.each<[unknown]>([[7], [{}], [true]])(
    'that is neither text nor a list is refused: %j',
    async (plan) => {
      expectRefusal(await askWith({ [PLAN]: plan }), 'plan-unknown');
    },
  );

  test('that is missing is refused where there is no default', async () => {
    const strict = await harnessWith({ defaultPlan: null });
    expectRefusal(await ask(strict), 'plan-missing');
    expectToken(await ask(strict, { opTok: strict.opTok({ claims: { [PLAN]: 'community' } }) }));
  });

  test('that is null counts as none, and a licence that is null too', async () => {
    expectToken(await askWith({ [PLAN]: null, [LICENSE]: null }, ['repository:public/a:pull']));
  });

  test('gives its lifetime to the token, and the common one where it has none', async () => {
    expect((await askWith({})).body.expires_in).toBe(300);
    expect((await askWith({ [PLAN]: 'enterprise' })).body.expires_in).toBe(900);
  });

  test('is read from the claim that the configuration names', async () => {
    const named = await harnessWith({
      claimRules: new Map([['default', claimRules({ plan: ['tier'], license: ['lic'] })]]),
    });
    const withClaims = (claims: Members) => ask(named, { opTok: named.opTok({ claims }) });
    expect((await withClaims({ tier: 'enterprise' })).body.expires_in).toBe(900);
    expect((await withClaims({ [PLAN]: 'enterprise' })).body.expires_in).toBe(300);
    expectRefusal(await withClaims({ lic: 'LIC-REVOKED' }), 'license-revoked');
  });
});

describe('the licence', () => {
  test('that is revoked is refused, whatever was asked', async () => {
    for (const scopes of [[], ['repository:public/a:pull'], ['repository:secret/a:pull']])
      expectRefusal(await askWith({ [LICENSE]: 'LIC-REVOKED' }, scopes), 'license-revoked');
    expectRefusal(await askWith({ [LICENSE]: 'LIC-REVOKED', [PLAN]: 'unknown' }), 'license-revoked');
  });

  test.each(['LIC-1', 'lic-revoked', 'LIC-REVOKED ', ''])(
    'that is not on the list is accepted: %j',
    async (license) => {
      expectToken(await askWith({ [LICENSE]: license }));
    },
  );

  test.each<[unknown]>([[7], [12.5], [['LIC-1', 7]], [[]]])(
    'may be a number or a list: %j',
    async (license) => {
      expectToken(await askWith({ [LICENSE]: license }));
    },
  );

  test.each<[unknown]>([
    [['LIC-REVOKED']],
    [['LIC-1', 'LIC-REVOKED']],
    [['LIC-REVOKED', 'LIC-1']],
    [4711],
    [[1, 4711]],
    ['4711'],
  ])('is revoked where one of them is: %j', async (license) => {
    const revokedLicenses = new Set(['LIC-REVOKED', '4711']);
    const strict = await harnessWith({ revokedLicenses });
    const opTok = strict.opTok({ claims: { [LICENSE]: license } });
    expectRefusal(await ask(strict, { opTok }), 'license-revoked');
  });

  test.each<[unknown]>([[{}], [false], [['LIC-1', {}]], [[['LIC-1']]], [[null]], [2 ** 53]])(
    'that cannot be looked up is refused: %j',
    async (license) => {
      expectRefusal(await askWith({ [LICENSE]: license }), 'license-revoked');
    },
  );
});

describe('grant: strict', () => {
  const enterprise = { [PLAN]: 'enterprise', tid: 'acme' };

  test.each([
    ['repository:team-a/x:pull,push'],
    ['repository:customers/acme/app:delete,pull,push'],
    ['repository:admin/x:anything'],
    ['repository:admin/x:*'],
    ['registry:catalog:*'],
  ])('grants what the plan allows: %s', async (scope) => {
    const answer = await askWith(enterprise, [scope]);
    expectToken(answer);
    const [type, name, actions] = scope.split(':');
    expect(accessOf(answer)).toEqual([{ type, name, actions: actions?.split(',') }]);
  });

  test.each([
    ['another action', ['repository:team-a/x:delete']],
    ['one action of two', ['repository:team-a/x:pull,delete']],
    ['one resource of two', ['repository:team-a/x:pull', 'repository:other/x:pull']],
    ['another tenant', ['repository:customers/other/app:pull']],
    ['another type', ['artifact:team-a/x:pull']],
    ['the catalog with another action', ['registry:catalog:pull']],
    ['the catalog with another action besides', ['registry:catalog:*,pull']],
    ['another resource of the registry', ['registry:other:*']],
    ['a repository named catalog', ['repository:catalog:*']],
  ])('refuses the whole request for %s, and says what', async (_, scopes) => {
    const answer = await askWith(enterprise, scopes);
    expectRefusal(answer, 'plan-denied');
    expect(String(answer.body.detail)).toContain('enterprise');
  });

  test('refuses the catalog where the plan does not say catalog', async () => {
    expectRefusal(await askWith({}, ['registry:catalog:*']), 'plan-denied');
    const all = createPlan('community', [['**', ['*']]]);
    const withoutCatalog = await harnessWith({ plans: new Map([['community', all]]) });
    expectRefusal(await ask(withoutCatalog, { scopes: ['registry:catalog:*'] }), 'plan-denied');
  });

  test('adds up everything that matches, in any order', async () => {
    const rules = [
      ['a/**', ['pull']],
      ['a/b', ['push']],
      ['*/b', ['delete']],
    ] as const;
    for (const ordered of [rules, [...rules].reverse()]) {
      const plan = createPlan('community', ordered);
      const added = await harnessWith({ plans: new Map([['community', plan]]) });
      expectToken(await ask(added, { scopes: ['repository:a/b:pull,push,delete'] }));
      expectRefusal(await ask(added, { scopes: ['repository:a/c:pull,push'] }), 'plan-denied');
    }
  });

  test('an empty plan grants an authentication check and nothing else', async () => {
    const empty = await harnessWith({ plans: new Map([['community', createPlan('community', [])]]) });
    expectToken(await ask(empty));
    expectRefusal(await ask(empty, { scopes: ['repository:a:pull'] }), 'plan-denied');
  });
});

describe('grant: intersection', async () => {
  const intersecting = await createHarness({ policy: { ...defaultPolicy(), grant: 'intersection' } });
  const askEnterprise = (scopes: readonly string[]) =>
    ask(intersecting, { opTok: intersecting.opTok({ claims: { [PLAN]: 'enterprise' } }), scopes });

  test('grants what the plan allows and leaves out the rest, as a cross-repository mount needs it', async () => {
    const answer = await askEnterprise(['repository:team-a/x:pull,push,delete', 'repository:secret/x:pull']);
    expectToken(answer);
    expect(accessOf(answer)).toEqual([{ type: 'repository', name: 'team-a/x', actions: ['pull', 'push'] }]);
  });

  test('says in scope on POST what was granted', async () => {
    const opTok = intersecting.opTok({ claims: { [PLAN]: 'enterprise' } });
    const scopes = ['repository:team-a/x:pull,delete', 'repository:secret/x:pull'];
    const answer = await ask(intersecting, { method: 'POST', opTok, scopes });
    expect(answer.body.scope).toBe('repository:team-a/x:pull');
  });

  test('refuses where nothing is left', async () => {
    expectRefusal(await askEnterprise(['repository:secret/x:pull']), 'plan-denied');
    expectRefusal(await askEnterprise(['repository:team-a/x:delete', 'registry:other:*']), 'plan-denied');
  });

  test('grants an authentication check', async () => {
    expectToken(await askEnterprise([]));
  });

  test('does not soften licence or plan', async () => {
    const withClaims = (claims: Members) => ask(intersecting, { opTok: intersecting.opTok({ claims }) });
    expectRefusal(await withClaims({ [LICENSE]: 'LIC-REVOKED' }), 'license-revoked');
    expectRefusal(await withClaims({ [PLAN]: 'unknown' }), 'plan-unknown');
  });
});
