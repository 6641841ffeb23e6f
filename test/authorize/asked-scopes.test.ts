/** What the scopes of real clients mean: `*`, the source of a layer mount, and zot's catalog. */
import { describe, expect, test } from 'bun:test';
import type { Plan } from '../../src/authorize/policy.ts';
import { formatScope, type ResourceActions } from '../../src/request/resource-scope.ts';
import { type Answer, ask, expectRefusal, expectToken, send } from '../support/ask.ts';
import { createHarness, createPlan, type Harness, withCertificate } from '../support/service.ts';
import { decodePart, REALM, sha256 } from '../support/tokens.ts';
import { loadVectors } from '../support/vectors.ts';

const rules = [
  ['team/*', ['pull', 'push', 'delete']],
  ['read/*', ['pull']],
  ['read/both', ['push']],
  ['any/*', ['*']],
  ['mixed/*', ['pull', '*']],
] as const;

async function harnessOf(
  more: Partial<Plan> = {},
  grant: 'strict' | 'intersection' = 'strict',
): Promise<Harness> {
  const plans = new Map([['community', createPlan('community', rules, more)]]);
  const policy = { plans, grant, anonymousPlan: 'community' };
  return createHarness({ policy, anonymous: 'accept', allowedServices: null });
}

const strict = await harnessOf();
const intersecting = await harnessOf({}, 'intersection');
const withCatalog = await harnessOf({ catalog: true });

function accessOf({ body }: Answer): string[] {
  return (decodePart(String(body.token), 1).access as ResourceActions[]).map(formatScope);
}

async function expectAccess(harness: Harness, scopes: readonly string[], expected: readonly string[]) {
  const answer = await ask(harness, { scopes });
  expectToken(answer);
  expect(accessOf(answer)).toEqual([...expected]);
}

describe('the action * asks for every action that the caller has', () => {
  test.each([
    ['repository:team/app:*', 'repository:team/app:delete,pull,push'],
    ['repository:team/app:*,pull', 'repository:team/app:delete,pull,push'],
    ['repository:team/app:pull,*', 'repository:team/app:delete,pull,push'],
    ['repository:read/a:*', 'repository:read/a:pull'],
    ['repository:read/both:*', 'repository:read/both:pull,push'],
    // The token has * only where the plan lists it.
    ['repository:any/a:*', 'repository:any/a:*'],
    ['repository:any/a:*,pull', 'repository:any/a:*,pull'],
    ['repository:any/a:anything', 'repository:any/a:anything'],
    ['repository:mixed/a:*', 'repository:mixed/a:*,pull'],
  ])('%s', async (scope, expected) => {
    await expectAccess(strict, [scope], [expected]);
    await expectAccess(intersecting, [scope], [expected]);
  });

  test('and is refused where there is none', async () => {
    for (const harness of [strict, intersecting]) {
      const answer = await ask(harness, { scopes: ['repository:other/app:*'] });
      expectRefusal(answer, 'plan-denied');
      expect(answer.body.detail).toBe('The plan community does not allow repository:other/app:*.');
    }
  });

  test('and softens nothing beside it', async () => {
    expectRefusal(await ask(strict, { scopes: ['repository:read/a:*,push'] }), 'plan-denied');
    expectRefusal(
      await ask(strict, { scopes: ['repository:team/app:*', 'repository:other/a:*'] }),
      'plan-denied',
    );
    await expectAccess(intersecting, ['repository:read/a:*,push'], ['repository:read/a:pull']);
    expectRefusal(await ask(strict, { scopes: ['artifact:team/app:*'] }), 'plan-denied');
  });

  test('and is pull alone without credentials', async () => {
    const anonymously = (scope: string) => ask(strict, { scheme: 'none', proof: null, scopes: [scope] });
    for (const name of ['team/app', 'any/a', 'read/a']) {
      const answer = await anonymously(`repository:${name}:*`);
      expectToken(answer);
      expect(accessOf(answer)).toEqual([`repository:${name}:pull`]);
    }
    expectRefusal(await anonymously('repository:other/a:*'), 'credentials-missing');
    expectRefusal(await anonymously('registry:catalog:*'), 'credentials-missing');
  });
});

describe('under strict the denied source of a layer mount is left out, and the push goes on', () => {
  test.each([
    [['repository:team/app:pull,push', 'repository:other/base:pull'], ['repository:team/app:pull,push']],
    [['repository:team/app:push', 'repository:other/base:pull'], ['repository:team/app:push']],
    [['repository:team/app:*', 'repository:other/base:pull'], ['repository:team/app:delete,pull,push']],
    [
      [
        'repository:other/a:pull',
        'repository:other/b:pull',
        'repository:read/c:pull',
        'repository:team/app:push',
      ],
      ['repository:read/c:pull', 'repository:team/app:push'],
    ],
  ])('%j', async (scopes, expected) => {
    await expectAccess(strict, scopes, expected);
  });

  test.each([
    ['a pull beside a pull', ['repository:team/app:pull', 'repository:other/base:pull']],
    ['a pull alone', ['repository:other/base:pull']],
    ['a source that is asked for more', ['repository:team/app:push', 'repository:other/base:pull,push']],
    ['a source that is asked for *', ['repository:team/app:push', 'repository:other/base:*']],
    ['a push that is denied itself', ['repository:read/app:push', 'repository:other/base:pull']],
    [
      'one action of the push that is denied',
      ['repository:read/both:push,delete', 'repository:other/base:pull'],
    ],
    ['a * that is denied', ['repository:none/app:*', 'repository:other/base:pull']],
    ['a delete', ['repository:team/app:delete', 'repository:other/base:pull']],
    ['a push of another type', ['artifact:team/app:push', 'repository:other/base:pull']],
    ['a pull of another type', ['repository:team/app:push', 'artifact:other/base:pull']],
    ['the catalog', ['registry:catalog:*', 'repository:other/base:pull']],
    ["zot's catalog", ['repository:team/app:push', 'repository::pull']],
  ])('not for %s', async (_, scopes) => {
    expectRefusal(await ask(strict, { scopes }), 'plan-denied');
    expectRefusal(await ask(strict, { scopes: scopes.toReversed() }), 'plan-denied');
  });

  test('and the refusal of the push does not name the source', async () => {
    const scopes = ['repository:read/app:push', 'repository:other/base:pull'];
    const answer = await ask(strict, { scopes });
    expect(answer.body.detail).toBe('The plan community does not allow repository:read/app:push.');
  });

  test('and not without credentials', async () => {
    const scopes = ['repository:team/app:push', 'repository:other/base:pull'];
    expectRefusal(await ask(strict, { scheme: 'none', proof: null, scopes }), 'credentials-missing');
  });
});

describe("repository::pull is zot's catalog", () => {
  test('and is granted by its own name where the plan has the catalog', async () => {
    const scopes = ['repository::pull'];
    await expectAccess(withCatalog, scopes, scopes);
    await expectAccess(withCatalog, ['repository::*'], scopes);
    await expectAccess(withCatalog, ['registry:catalog:*'], ['registry:catalog:*']);
  });

  test.each([
    ['where the plan does not have it, whatever its patterns', strict, ['repository::pull']],
    ['for another action', withCatalog, ['repository::push']],
    ['for another action beside it', withCatalog, ['repository::delete,pull']],
  ])('and is refused %s', async (_, harness, scopes) => {
    expectRefusal(await ask(harness, { scopes }), 'plan-denied');
  });

  test('and is refused without credentials', async () => {
    const answer = await ask(withCatalog, { scheme: 'none', proof: null, scopes: ['repository::pull'] });
    expectRefusal(answer, 'credentials-missing');
  });
});

interface ClientRequest {
  readonly client: string;
  readonly method: 'GET' | 'POST';
  readonly parameters: string;
  /** null where the plan denies it. */
  readonly access: readonly string[] | null;
}

test.each(loadVectors<ClientRequest>('client-requests').map((vector) => [vector.client, vector] as const))(
  'what %s asks for',
  async (_, { method, parameters, access }) => {
    const der = Buffer.from('a certificate');
    const opTok = withCatalog.opTok({ claims: { cnf: { 'x5t#S256': sha256(der) } } });
    const sent = parameters.replace('OPTOK', opTok);
    const authorization = { Authorization: `Basic ${Buffer.from(`any:${opTok}`).toString('base64')}` };
    const request =
      method === 'GET'
        ? new Request(`${REALM}?${sent}`, { headers: authorization })
        : new Request(REALM, { method, body: new URLSearchParams(sent) });
    const answer = await send(withCatalog, request, { opTok, proof: null }, withCertificate(der));
    if (access === null) expectRefusal(answer, 'plan-denied');
    else {
      expectToken(answer);
      expect(accessOf(answer)).toEqual([...access]);
    }
  },
);
