/** What `entitlements diff` says of two bundles is what `explain` says before and after. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import { createPolicy } from '../../src/assemble/options.ts';
import type { VerifiedCaller } from '../../src/authenticate/authenticate.ts';
import { explain } from '../../src/authorize/explain.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import type { Bundle } from '../../src/entitlements/bundle.ts';
import { type Comparable, compareBundles, isSame } from '../../src/entitlements/diff.ts';
import { ANY_TOKEN, EffectsOf, type PastRequest } from '../../src/entitlements/effects.ts';
import { withBundle } from '../../src/entitlements/in-force.ts';
import { parseScopes } from '../../src/request/resource-scope.ts';
import { createInstallation } from '../assemble/installation.ts';

setDefaultTimeout(120_000);

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());
site.configure({ registry: { grant: 'intersection' }, plans: {}, defaultPlan: undefined });
const loaded = loadConfiguration(site.folder.at('registry-token.yaml'), {});

const actions = fc.uniqueArray(fc.constantFrom('pull', 'push', '*'), { minLength: 1 });
const pattern = fc.constantFrom('a', '*', 'a/*', 'a/**', '{claim:tid}/*', 'b/{path:dir}');
const plan = fc.record({
  catalog: fc.boolean(),
  lifetime: fc.constantFrom(undefined, 60, 600),
  repositories: fc.array(fc.record({ pattern, actions }), { maxLength: 3 }),
});
const planNames = ['basic', 'pro', 'gold'];
const bundle: fc.Arbitrary<Comparable> = fc
  .tuple(
    fc.dictionary(fc.constantFrom(...planNames), plan, { minKeys: 1, maxKeys: 3 }),
    fc.uniqueArray(fc.constantFrom('L1', 'L2', 'L3')),
    fc.nat(),
  )
  .map(([plans, revoked, chosen]) => {
    const names = Object.keys(plans);
    return {
      plans: new Map(Object.entries(plans)),
      defaultPlan: names[chosen % names.length] ?? null,
      revokedLicenses: new Set(revoked),
    };
  });
/** Most changes are small: the new bundle is the old one with another plan, or other licences. */
const pair = fc
  .tuple(bundle, bundle, fc.constantFrom(...planNames), fc.integer({ min: 0, max: 3 }))
  .map(([before, other, name, kind]): readonly [Comparable, Comparable] => {
    if (kind === 0) return [before, other];
    if (kind === 1) return [before, { ...before, revokedLicenses: other.revokedLicenses }];
    if (kind === 2) return [before, { ...before, defaultPlan: [...before.plans.keys()].at(-1) ?? null }];
    const replaced = other.plans.get(name);
    return [
      before,
      replaced === undefined ? before : { ...before, plans: new Map([...before.plans, [name, replaced]]) },
    ];
  });
const scope = fc
  .tuple(
    fc.constantFrom('a', 'b', 'a/b', 'a/b/c', 'acme/x', 'b/x/y'),
    fc.constantFrom('pull', 'push', 'pull,push', '*'),
  )
  .map(([name, list]) => `repository:${name}:${list}`);
const request = fc.record({
  plan: fc.constantFrom(...planNames, null),
  license: fc.constantFrom(null, 'L1', 'L2', 'L2,L3', 'L9'),
  tid: fc.constantFrom('acme', 'a'),
  asked: fc.uniqueArray(fc.oneof(scope, fc.constant('registry:catalog:*')), {
    maxLength: 3,
    selector: (text) => text.slice(0, text.lastIndexOf(':')),
  }),
});
type Asked = typeof request extends fc.Arbitrary<infer Value> ? Value : never;

/** What `explain` grants by a bundle in force, as scopes of one action. */
function explained(inForce: Comparable, { plan, license, tid, asked }: Asked): ReadonlySet<string> {
  const { configuration } = withBundle(loaded, { ...inForce, file: 'bundle.jws' } as Bundle);
  const policy = createPolicy(configuration, inForce.revokedLicenses);
  const claims = {
    tid,
    dir: 'x/y',
    ...(plan === null ? {} : { 'stellaops:plan': plan }),
    ...(license === null ? {} : { 'stellaops:license': license.split(',') }),
  };
  const caller: VerifiedCaller = {
    kind: 'verified',
    authority: 'default',
    subject: 's',
    clientId: null,
    opTokJti: null,
    claims,
  };
  const isAdmitted = 'granted' in explain(caller, 'x', [], policy).outcome;
  const { resources } = explain(caller, 'x', parseScopes(asked), policy);
  const scopes = resources.flatMap(({ resource: { type, name }, verdicts }) =>
    verdicts.filter(({ allowed }) => allowed).map(({ action }) => `${type}:${name}:${action}`),
  );
  return new Set(isAdmitted ? [ANY_TOKEN, ...scopes] : []);
}

const without = (these: ReadonlySet<string>, those: ReadonlySet<string>) =>
  [...these].filter((one) => !those.has(one)).toSorted();

test('what a subject loses and gains is what explain grants it no longer, or only then', () => {
  fc.assert(
    fc.property(pair, request, ([before, after], asked) => {
      const [had, has] = [explained(before, asked), explained(after, asked)];
      const past: PastRequest = {
        subject: 's',
        authority: 'default',
        plan: asked.plan ?? before.defaultPlan,
        license: asked.license,
        claims: { tid: asked.tid, dir: 'x/y' },
        rule: asked.plan === null ? 'default' : 'claim',
        asked: asked.asked,
      };
      const effects = new EffectsOf(before, after);
      effects.add(past);
      const { changed, undecided } = effects.result();
      if (undecided > 0) {
        // A plan of neither bundle: nobody gets anything by it.
        expect([[...had], [...has]]).toEqual([[], []]);
        return;
      }
      expect([changed[0]?.loses ?? [], changed[0]?.gains ?? []]).toEqual([
        without(had, has),
        without(has, had),
      ]);
    }),
    { numRuns: 3000 },
  );
});

test('where diff names no change of the plan, the default and the licence, explain grants the same', () => {
  fc.assert(
    fc.property(pair, request, ([before, after], asked) => {
      const { plans, defaultPlan, newlyRevoked, noLongerRevoked } = compareBundles(before, after);
      const name = asked.plan ?? before.defaultPlan;
      const isTouched =
        plans.some((changed) => changed.name === name) ||
        (asked.plan === null && defaultPlan !== null) ||
        (asked.license ?? '').split(',').some((one) => [...newlyRevoked, ...noLongerRevoked].includes(one));
      if (isTouched) return;
      expect([...explained(after, asked)].toSorted()).toEqual([...explained(before, asked)].toSorted());
    }),
    { numRuns: 3000 },
  );
});

test('diff finds the same where nothing was changed, and a difference where one thing was', () => {
  fc.assert(
    fc.property(bundle, fc.constantFrom('L7', 'L8'), (before, license) => {
      expect(isSame(compareBundles(before, before))).toBe(true);
      const revoking = { ...before, revokedLicenses: new Set([...before.revokedLicenses, license]) };
      expect(compareBundles(before, revoking).newlyRevoked).toEqual([license]);
      expect(compareBundles(revoking, before).noLongerRevoked).toEqual([license]);
    }),
  );
});
