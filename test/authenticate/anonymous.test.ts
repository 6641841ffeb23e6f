/** `anonymousPlan`: what a request without credentials gets, and what it never gets. */
import { describe, expect, test } from 'bun:test';
import { ask, basic, expectRefusal, expectToken, parseChallenges, send } from '../support/ask.ts';
import { createHarness, createPlan, type HarnessOptions } from '../support/service.ts';
import { decodePart, REALM, SERVICE } from '../support/tokens.ts';

const plan = createPlan(
  'visitors',
  [
    ['public/**', ['pull', 'push', 'delete']],
    ['all/*', ['*']],
    ['customers/{claim:tid}/*', ['pull']],
  ],
  { catalog: true, lifetime: 120 },
);

function open(grant: 'strict' | 'intersection' = 'strict', options: HarnessOptions = {}) {
  return createHarness({
    anonymous: 'accept',
    policy: {
      plans: new Map([['visitors', plan]]),
      anonymousPlan: 'visitors',
      defaultPlan: 'visitors',
      grant,
    },
    ...options,
  });
}

const nobody = { scheme: 'none', proof: null } as const;

describe('a request without credentials', () => {
  test.each(['GET', 'POST'] as const)(
    'by %s gets a token for nobody, by the anonymous plan',
    async (method) => {
      const answer = await ask(await open(), { ...nobody, method, scopes: ['repository:public/a:pull'] });
      expectToken(answer);
      expect(answer.body.expires_in).toBe(120);
      const claims = decodePart(String(answer.body.token), 1);
      expect(claims).toMatchObject({ sub: '', aud: SERVICE });
      expect(claims.access).toEqual([{ type: 'repository', name: 'public/a', actions: ['pull'] }]);
      expect(answer.decision).toMatchObject({
        caller: { kind: 'anonymous' },
        grant: { plan: 'visitors', license: null },
      });
    },
  );

  test('that asks for nothing gets a token for nothing', async () => {
    const answer = await ask(await open(), nobody);
    expectToken(answer);
    expect(decodePart(String(answer.body.token), 1)).toMatchObject({ sub: '', access: [] });
  });

  test.each([
    'repository:public/a:push',
    'repository:public/a:delete',
    'repository:public/a:pull,push',
    'repository:all/a:push',
    'repository:private/a:*',
    'registry:catalog:*',
    'repository::pull',
    'registry:catalog:pull',
    'plugin:public/a:pull',
    'repository:private/a:pull',
    'repository:customers/acme/a:pull',
  ])('for %s is asked for them, though the plan may list it', async (scope) => {
    for (const method of ['GET', 'POST'] as const) {
      const answer = await ask(await open(), { ...nobody, method, scopes: [scope] });
      expectRefusal(answer, 'credentials-missing');
      expect(parseChallenges(answer.headers).map(({ scheme }) => scheme)).toEqual([
        'DPoP',
        'Bearer',
        'Basic',
      ]);
    }
  });

  test('gets what is left where the grant is an intersection, and 401 where nothing is', async () => {
    const harness = await open('intersection');
    const scopes = ['repository:public/a:pull,push', 'registry:catalog:*', 'repository:all/a:push'];
    const answer = await ask(harness, { ...nobody, scopes });
    expectToken(answer);
    expect(decodePart(String(answer.body.token), 1).access).toEqual([
      { type: 'repository', name: 'public/a', actions: ['pull'] },
    ]);
    expectRefusal(await ask(harness, { ...nobody, scopes: scopes.slice(1) }), 'credentials-missing');
  });

  test('is refused where there is no anonymous plan', async () => {
    const harness = await open('strict', { anonymous: 'refuse' });
    expectRefusal(
      await ask(harness, { ...nobody, scopes: ['repository:public/a:pull'] }),
      'credentials-missing',
    );
  });

  test('and with a proof is no request without credentials', async () => {
    const harness = await open();
    const proof = harness.proof(harness.opTok());
    expectRefusal(await ask(harness, { scheme: 'none', proof }), 'credentials-missing');
  });
});

describe('credentials that are no good', () => {
  const scopes = ['repository:public/a:pull'];

  test('are refused although none at all would do', async () => {
    const harness = await open();
    const opTok = harness.opTok({ key: harness.clientKey });
    expectRefusal(await ask(harness, { opTok, scopes }), 'token-signature');
    expectRefusal(
      await ask(harness, { opTok: harness.opTok({ claims: { exp: 1 } }), scopes }),
      'token-expired',
    );
    expectRefusal(await ask(harness, { opTok: 'x', scopes }), 'token-malformed');
    expectRefusal(await ask(harness, { proof: null, scopes }), 'proof-missing');
  });

  test.each([
    ['an empty password', basic('')],
    ['a user alone', `Basic ${Buffer.from('user').toString('base64')}`],
    ['nothing after the scheme', 'Basic'],
    ['an empty Bearer', 'Bearer '],
    ['another scheme', 'Negotiate abc'],
    ['no scheme', 'abc'],
  ])('are not taken for none: %s', async (_, authorization) => {
    const url = `${REALM}?${new URLSearchParams({ service: SERVICE, scope: scopes[0] ?? '' })}`;
    const answer = await send(await open(), new Request(url, { headers: { Authorization: authorization } }));
    expect([400, 401]).toContain(answer.status);
    expect(answer.body.token).toBeUndefined();
  });

  test.each([
    'grant_type=password',
    'grant_type=password&password=',
    'grant_type=refresh_token&refresh_token=',
  ])('are not taken for none in a form: %s', async (form) => {
    const body = new URLSearchParams(`${form}&service=${SERVICE}&scope=${scopes[0]}`);
    const answer = await send(await open(), new Request(REALM, { method: 'POST', body }));
    expect([400, 401]).toContain(answer.status);
    expect(answer.body.token).toBeUndefined();
  });

  test('of a plan that allows less are not better than none', async () => {
    const narrow = createPlan('narrow', [['own/*', ['pull']]]);
    const plans = new Map([plan, narrow].map((one) => [one.name, one]));
    const harness = await open('strict', {
      policy: { plans, anonymousPlan: 'visitors', defaultPlan: 'narrow' },
    });
    expectRefusal(await ask(harness, { scopes }), 'plan-denied');
  });
});
