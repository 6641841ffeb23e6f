/**
 * What a plan grants, against a second reading of the same rules that shares no code with the service: patterns as regular
 * expressions, actions as sets.
 */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Caller } from '../../src/authenticate/authenticate.ts';
import { authorize } from '../../src/authorize/authorize.ts';
import { explain } from '../../src/authorize/explain.ts';
import type { Policy } from '../../src/authorize/policy.ts';
import { Refusal } from '../../src/refusal.ts';
import { formatScope, parseScopes } from '../../src/request/resource-scope.ts';
import { createPlan, defaultPolicy } from '../support/service.ts';

const patterns = fc.constantFrom(
  'a',
  'b',
  '*',
  '**',
  'a/*',
  '*/b',
  'a/**',
  '{claim:tid}',
  '{claim:tid}/*',
  'a-*/b',
);
const actionLists = fc.uniqueArray(fc.constantFrom('pull', 'push', 'delete', '*'), {
  minLength: 1,
  maxLength: 3,
});
const rulesOfPlan = fc.array(fc.tuple(patterns, actionLists), { maxLength: 4 });
const names = fc.constantFrom('a', 'b', 'a/b', 'b/b', 'a/a/b', 'acme', 'acme/b', 'a-1/b');
const scopes = fc.uniqueArray(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.tuple(names, actionLists).map(([name, list]) => `repository:${name}:${list.join(',')}`),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'registry:catalog:*',
        'registry:catalog:pull',
        'plugin:a:pull',
        'repository::pull',
      ),
    },
  ),
  { maxLength: 4, selector: (scope) => scope.slice(0, scope.lastIndexOf(':')) },
);
const claims = fc.constantFrom<Record<string, unknown>>(
  {},
  { tid: 'acme' },
  { tid: 'a' },
  { tid: '*' },
  { tid: 7 },
);

interface Situation {
  readonly rules: readonly (readonly [pattern: string, actions: readonly string[]])[];
  readonly catalog: boolean;
  readonly grant: 'strict' | 'intersection';
  readonly caller: Caller;
}

const situations: fc.Arbitrary<Situation> = fc.record({
  rules: rulesOfPlan,
  catalog: fc.boolean(),
  grant: fc.constantFrom('strict' as const, 'intersection' as const),
  caller: fc.oneof(
    fc.constant<Caller>({ kind: 'anonymous' }),
    claims.map(
      (known): Caller => ({
        kind: 'verified',
        authority: 'default',
        clientId: null,
        opTokJti: null,
        subject: 'alice',
        claims: known,
      }),
    ),
  ),
});

/** The actions that the plan lists for a repository. */
function listedActions({ rules, caller }: Situation, name: string): Set<string> {
  const tid = caller.kind === 'verified' ? caller.claims.tid : undefined;
  const isComponent = typeof tid === 'string' && /^[a-z0-9]+$/.test(tid);
  const matching = rules.filter(([pattern]) => {
    if (pattern.includes('{claim:tid}') && !isComponent) return false;
    const segments = pattern
      .replaceAll('{claim:tid}', String(tid))
      .split('/')
      .map((segment) => (segment === '**' ? '[^/]+(?:/[^/]+)*' : segment.replaceAll('*', '[^/]*')));
    return new RegExp(`^${segments.join('/')}$`).test(name);
  });
  return new Set(matching.flatMap(([, actions]) => actions));
}

/** The actions granted of a scope, and whether any is denied. */
function readScope(situation: Situation, scope: string): { granted: string[]; isDenied: boolean } {
  const [type = '', name = '', list = ''] = scope.split(':');
  const isVerified = situation.caller.kind === 'verified';
  const granted = new Set<string>();
  let isDenied = false;
  for (const asked of list.split(',')) {
    let given: string[] = [];
    if (scope === 'registry:catalog:*' || scope === 'repository::pull')
      given = situation.catalog && isVerified ? [asked] : [];
    else if (type === 'repository' && name !== '') {
      const listed = listedActions(situation, name);
      const mayPull = listed.has('pull') || listed.has('*');
      if (!isVerified) given = (asked === 'pull' || asked === '*') && mayPull ? ['pull'] : [];
      else if (asked === '*') given = [...listed];
      else given = listed.has(asked) || listed.has('*') ? [asked] : [];
    }
    if (given.length === 0) isDenied = true;
    for (const action of given) granted.add(action);
  }
  return { granted: [...granted].sort(), isDenied };
}

/** The access of the token as scopes; null for a refusal. */
function secondReading(situation: Situation, asked: readonly string[]): string[] | null {
  const isPush = (scope: string) => scope.startsWith('repository:') && /[:,](?:push|\*)(?:,|$)/.test(scope);
  const access: string[] = [];
  let denials = 0;
  for (const scope of asked) {
    const { granted, isDenied } = readScope(situation, scope);
    const resource = scope.slice(0, scope.lastIndexOf(':'));
    if (granted.length > 0) access.push(`${resource}:${granted.join(',')}`);
    if (!isDenied) continue;
    denials += 1;
    const isSource = /^repository:[^:]+:pull$/.test(scope) && asked.some(isPush);
    if (situation.grant === 'strict' && !isSource) return null;
  }
  return denials > 0 && access.length === 0 ? null : access.sort();
}

test('authorize and explain grant what a second reading of the plan grants', () => {
  let granted = 0;
  let refused = 0;
  fc.assert(
    fc.property(situations, scopes, (situation, asked) => {
      const plan = createPlan('p', situation.rules, { catalog: situation.catalog });
      const policy: Policy = {
        ...defaultPolicy(),
        plans: new Map([['p', plan]]),
        defaultPlan: 'p',
        anonymousPlan: 'p',
        grant: situation.grant,
      };
      const expected = secondReading(situation, asked);
      if (expected === null) refused += 1;
      else granted += 1;
      let access: string[] | null = null;
      try {
        access = authorize(situation.caller, 'registry', parseScopes(asked), policy)
          .access.map(formatScope)
          .sort();
      } catch (cause) {
        if (!(cause instanceof Refusal)) throw cause;
      }
      expect(access).toEqual(expected);
      const { outcome } = explain(situation.caller, 'registry', parseScopes(asked), policy);
      expect('granted' in outcome ? outcome.granted.access.map(formatScope).sort() : null).toEqual(expected);
    }),
    { numRuns: 2000 },
  );
  expect(Math.min(granted, refused)).toBeGreaterThan(200);
});
