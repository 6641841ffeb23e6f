/** What a caller may have: licence, plan, patterns. Pure and synchronous; who the caller is was settled before. */
import type { Caller } from '../authenticate/authenticate.ts';
import type { JsonObject } from '../authenticate/compact-jws.ts';
import { Refusal } from '../refusal.ts';
import { formatScope, type ResourceActions } from '../request/resource-scope.ts';
import { type Judgement, judge } from './judge.ts';
import type { Plan, Policy } from './policy.ts';

/** What is granted: what the registry token will say. */
export interface Grant {
  /** Empty for an anonymous caller. */
  readonly subject: string;
  /** The registry that the token is for. */
  readonly service: string;
  readonly plan: string;
  readonly license: string | null;
  readonly access: readonly ResourceActions[];
  /** Seconds. */
  readonly lifetime: number;
}

/**
 * Decides what of `access` the caller gets. Throws `license-revoked`, `plan-missing`, `plan-unknown` or
 * `plan-denied`; for an anonymous caller who asks for more than the anonymous plan allows, `credentials-missing`.
 */
export function authorize(
  caller: Caller,
  service: string,
  access: readonly ResourceActions[],
  policy: Policy,
): Grant {
  const { plan, license } = entitlementOf(caller, policy);
  const judgements = judge(plan, access, caller);
  const granted = grantedOf(judgements);
  const denied = deniedOf(judgements);
  if (denied.length > 0 && (policy.grant === 'strict' || granted.length === 0))
    throw denial(caller, plan, denied);
  return {
    subject: caller.kind === 'verified' ? caller.subject : '',
    service,
    plan: plan.name,
    license,
    access: granted,
    lifetime: plan.lifetime ?? policy.lifetime,
  };
}

/** The plan and the licence that apply to a caller. Throws where there is no plan or the licence is revoked. */
export function entitlementOf(
  caller: Caller,
  policy: Policy,
): { readonly plan: Plan; readonly license: string | null } {
  if (caller.kind === 'anonymous') return { plan: findPlan(policy.anonymousPlan, policy), license: null };
  const license = stringClaim(caller.claims, policy.claims.license, 'license-revoked');
  if (license !== null && policy.revokedLicenses.has(license))
    throw new Refusal('license-revoked', 'The licence is revoked.');
  const named = stringClaim(caller.claims, policy.claims.plan, 'plan-unknown');
  return { plan: findPlan(named ?? policy.defaultPlan, policy), license };
}

function findPlan(name: string | null, policy: Policy): Plan {
  if (name === null)
    throw new Refusal(
      'plan-missing',
      `The access token names no plan (${policy.claims.plan}) and there is no default.`,
    );
  const plan = policy.plans.get(name);
  if (plan === undefined)
    throw new Refusal('plan-unknown', 'The plan of the access token is not in the catalogue.');
  return plan;
}

/** A claim that is there and is no string cannot be looked up: refused. */
function stringClaim(
  claims: JsonObject,
  name: string,
  reason: 'license-revoked' | 'plan-unknown',
): string | null {
  const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
  if (value === undefined || value === null) return null;
  if (typeof value !== 'string')
    throw new Refusal(reason, `The claim ${name} of the access token is not a string.`);
  return value;
}

function grantedOf(judgements: readonly Judgement[]): ResourceActions[] {
  return select(judgements, true);
}

function deniedOf(judgements: readonly Judgement[]): ResourceActions[] {
  return select(judgements, false);
}

function select(judgements: readonly Judgement[], allowed: boolean): ResourceActions[] {
  return judgements
    .map(({ resource, verdicts }) => ({
      ...resource,
      actions: verdicts.filter((verdict) => verdict.allowed === allowed).map(({ action }) => action),
    }))
    .filter(({ actions }) => actions.length > 0);
}

function denial(caller: Caller, plan: Plan, denied: readonly ResourceActions[]): Refusal {
  const scopes = denied.map(formatScope).join(' ');
  // Credentials might get more: a 401 is what makes a client ask its user for them.
  if (caller.kind === 'anonymous')
    return new Refusal(
      'credentials-missing',
      `Without credentials the plan ${plan.name} does not allow ${scopes}.`,
    );
  return new Refusal('plan-denied', `The plan ${plan.name} does not allow ${scopes}.`);
}
