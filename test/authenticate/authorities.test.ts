/** Several Authorities: the `iss` of an OpTok selects one, and only that one's keys and rules count. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { VerificationKeys } from '../../src/authenticate/authority-keys.ts';
import type { Authority } from '../../src/authenticate/op-tok.ts';
import type { ClaimRules } from '../../src/authorize/policy.ts';
import { createRateLimits } from '../../src/limit/rate-limits.ts';
import { RateTable } from '../../src/limit/rate-table.ts';
import { Refusal } from '../../src/refusal.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import { createKey, type TestKey } from '../support/keys.ts';
import { authorityKeysOf, authorityOf, claimRules, createHarness, createPlan } from '../support/service.ts';
import { ISSUER, type Members } from '../support/tokens.ts';

const [firstKey, secondKey, clientKey] = await Promise.all([
  createKey('ES256'),
  createKey('ES256'),
  createKey('ES256'),
]);
const SECOND = 'https://cluster.example.com';

/** Keys that share one kid, so that only the Authority tells them apart. */
function keysNamed(kid: string, key: TestKey): VerificationKeys {
  const keys = authorityKeysOf(key);
  return {
    ...keys,
    find: (algorithm, _, now) => keys.find(algorithm, kid === '' ? null : key.thumbprint, now),
  };
}

const plans = new Map(
  ['first-plan', 'second-plan'].map((name) => [name, createPlan(name, [[`${name}/**`, ['pull', 'push']]])]),
);

async function createTwo(
  second: Partial<Authority> = {},
  rules: { readonly first?: Partial<ClaimRules>; readonly second?: Partial<ClaimRules> } = {},
  more: Parameters<typeof createHarness>[0] = {},
) {
  const harness = await createHarness({
    authorityKey: firstKey,
    clientKey,
    authorityKeys: keysNamed('same', firstKey),
    moreAuthorities: [
      authorityOf(keysNamed('same', secondKey), {
        name: 'cluster',
        issuer: SECOND,
        audiences: ['images'],
        ...second,
      }),
    ],
    policy: {
      plans,
      defaultPlan: null,
      claimRules: new Map([
        ['default', claimRules({ plan: ['tier'], ...rules.first })],
        ['cluster', claimRules({ plan: ['role'], ...rules.second })],
      ]),
    },
    ...more,
  });
  const bySecond = (claims: Members = {}, key = secondKey) =>
    harness.opTok({
      header: { kid: 'same' },
      claims: { iss: SECOND, aud: 'images', role: 'second-plan', ...claims },
      key,
    });
  const byFirst = (claims: Members = {}, key = firstKey) =>
    harness.opTok({ header: { kid: 'same' }, claims: { tier: 'first-plan', ...claims }, key });
  return { harness, byFirst, bySecond };
}

describe('two Authorities', async () => {
  const { harness, byFirst, bySecond } = await createTwo();

  test("each have their tokens accepted, by each one's own rules", async () => {
    const first = await ask(harness, { opTok: byFirst(), scopes: ['repository:first-plan/a:pull'] });
    expectToken(first);
    expect(first.decision.caller).toMatchObject({ authority: 'default', clientId: 'alice-cli' });
    const second = await ask(harness, { opTok: bySecond(), scopes: ['repository:second-plan/a:pull'] });
    expectToken(second);
    expect(second.decision.caller).toMatchObject({ authority: 'cluster' });
  });

  test('do not verify tokens of each other, whatever kid these name', async () => {
    expectRefusal(await ask(harness, { opTok: byFirst({}, secondKey) }), 'token-signature');
    expectRefusal(await ask(harness, { opTok: bySecond({}, firstKey) }), 'token-signature');
  });

  test('do not lend each other audiences, claims or plans', async () => {
    expectRefusal(await ask(harness, { opTok: bySecond({ aud: 'registry' }) }), 'token-audience');
    expectRefusal(await ask(harness, { opTok: byFirst({ aud: 'images' }) }), 'token-audience');
    expectRefusal(
      await ask(harness, { opTok: byFirst({ tier: undefined, role: 'second-plan' }) }),
      'plan-missing',
    );
  });

  test.each<[unknown]>([
    [`${SECOND}/`],
    [SECOND.toUpperCase()],
    [`${SECOND}:443`],
    [''],
    [null],
    [7],
    [[SECOND]],
  ])('are selected by exact comparison: %j selects none', async (iss) => {
    expectRefusal(await ask(harness, { opTok: bySecond({ iss }) }), 'token-issuer');
  });

  test('are both named where no one is selected, and a slash too many is noticed', async () => {
    const { refusal } = (await ask(harness, { opTok: bySecond({ iss: `${SECOND}/` }) })).decision;
    expect(refusal?.detail).toBe(
      `The OpTok's iss is "${SECOND}/"; authority.issuer is ${ISSUER}, authorities.cluster.issuer is ${SECOND}. They differ in the slash at the end. Write the issuer exactly as the tokens have it; another Authority needs an entry in authorities.`,
    );
  });

  test('name the one whose rule was broken', async () => {
    const { refusal } = (await ask(harness, { opTok: bySecond({ aud: 'registry' }) })).decision;
    expect(refusal?.detail).toStartWith(
      `The OpTok's aud is "registry"; authorities.cluster.audiences is [images]. `,
    );
  });
});

test('a bearer-only Authority does not weaken another one', async () => {
  const { harness, byFirst, bySecond } = await createTwo({ accept: ['none'] });
  const bearer = (opTok: string) => ask(harness, { opTok, scheme: 'Bearer', proof: null });
  expectToken(await bearer(bySecond({ cnf: undefined })));
  expectRefusal(await bearer(byFirst({ cnf: undefined })), 'token-unbound');
  // And the other way round: a bound token is not taken as a bearer token.
  expectRefusal(await bearer(bySecond()), 'token-unbound');
  expectRefusal(await ask(harness, { opTok: bySecond() }), 'token-unbound');
});

test('an Authority whose keys cannot be fetched does not hold up the others', async () => {
  const find = () => Promise.reject(new Refusal('authority-unavailable', 'No keys yet.', { retryAfter: 5 }));
  const { harness, byFirst, bySecond } = await createTwo({ keys: { generation: 0, find } });
  expectRefusal(await ask(harness, { opTok: bySecond() }), 'authority-unavailable');
  expectToken(await ask(harness, { opTok: byFirst() }));
});

test('subjects of one name at two Authorities have a rate each', async () => {
  const rateLimits = createRateLimits(RateTable.create(), { count: 1, perSeconds: 3600 });
  const { harness, byFirst, bySecond } = await createTwo({}, {}, { rateLimits });
  expectToken(await ask(harness, { opTok: byFirst() }));
  expectToken(await ask(harness, { opTok: bySecond() }));
  expectRefusal(await ask(harness, { opTok: byFirst() }), 'rate-limited');
  expectRefusal(await ask(harness, { opTok: bySecond() }), 'rate-limited');
});

test('whatever a token claims, it gets nothing that only the rules of the other Authority allow', async () => {
  const planRules = (plan: string) => [{ conditions: [{ name: 'group', patterns: ['builders'] }], plan }];
  const { harness, byFirst, bySecond } = await createTwo(
    {},
    { first: { planRules: planRules('first-plan') }, second: { planRules: planRules('second-plan') } },
  );
  const text = fc.constantFrom(
    'first-plan',
    'second-plan',
    'builders',
    'registry',
    'images',
    ISSUER,
    SECOND,
    'x',
  );
  const claims = fc.record(
    {
      iss: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(ISSUER, SECOND) }, text),
      aud: fc.oneof(text, fc.array(text, { maxLength: 3 })),
      // Each may name any plan of the catalogue in its own claim: here the other one's is named where it does not count.
      tier: fc.constantFrom('first-plan', 'x'),
      role: fc.constantFrom<unknown>('second-plan', 'x', ['second-plan', 'x']),
      plan: text,
      'stellaops:plan': text,
      group: text,
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.boolean(), claims, async (isFirst, isSignedByFirst, overrides) => {
      const key = isSignedByFirst ? firstKey : secondKey;
      const opTok = (isFirst ? byFirst : bySecond)(overrides, key);
      const other = isSignedByFirst ? 'second-plan' : 'first-plan';
      const answer = await ask(harness, { opTok, scopes: [`repository:${other}/app:pull`] });
      expect(answer.status).not.toBe(200);
      expect(answer.decision.fault).toBeNull();
    }),
    { numRuns: 400 },
  );
}, 60_000);
