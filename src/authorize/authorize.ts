/** What a caller may have: licence, plan, patterns. Pure and synchronous; who the caller is was settled before. */
import type { Caller } from '../authenticate/authenticate.ts';
import type { JsonObject } from '../authenticate/compact-jws.ts';
import { Refusal } from '../refusal.ts';
import { formatScope, type ResourceActions } from '../request/resource-scope.ts';
import { matchesPattern } from './pattern.ts';
import type { Plan, Policy } from './policy.ts';

/** What is granted: what the registry token will say. */
export interface Grant {
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
 * `plan-denied`.
 */
export function authorize(
  caller: Caller,
  service: string,
  access: readonly ResourceActions[],
  policy: Policy,
): Grant {
  const license = checkLicense(caller.claims, policy);
  const plan = findPlan(caller.claims, policy);
  return {
    subject: caller.subject,
    service,
    plan: plan.name,
    license,
    access: grantAccess(plan, access, caller.claims, policy.grant),
    lifetime: plan.lifetime ?? policy.lifetime,
  };
}

/** The OpTok's licence, null where it names none. A licence that is no string cannot be looked up: refused. */
function checkLicense(claims: JsonObject, policy: Policy): string | null {
  const license = stringClaim(claims, policy.claims.license, 'license-revoked');
  if (license !== null && policy.revokedLicenses.has(license))
    throw new Refusal('license-revoked', 'The licence is revoked.');
  return license;
}

function findPlan(claims: JsonObject, policy: Policy): Plan {
  const name = stringClaim(claims, policy.claims.plan, 'plan-unknown') ?? policy.defaultPlan;
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

function grantAccess(
  plan: Plan,
  asked: readonly ResourceActions[],
  claims: JsonObject,
  grant: Policy['grant'],
): readonly ResourceActions[] {
  const granted: ResourceActions[] = [];
  const denied: ResourceActions[] = [];
  for (const resource of asked) {
    const actions = allowedActions(plan, resource, claims);
    const rest = resource.actions.filter((action) => !actions.includes(action));
    if (actions.length > 0) granted.push({ ...resource, actions });
    if (rest.length > 0) denied.push({ ...resource, actions: rest });
  }
  if (denied.length > 0 && (grant === 'strict' || granted.length === 0))
    throw new Refusal(
      'plan-denied',
      `The plan ${plan.name} does not allow ${denied.map(formatScope).join(' ')}.`,
    );
  return granted;
}

/** Those of the resource's actions that the plan allows. A rule that lists `*` allows every action, `*` included. */
export function allowedActions(plan: Plan, resource: ResourceActions, claims: JsonObject): readonly string[] {
  const { type, name, actions } = resource;
  if (type === 'registry')
    return plan.catalog && name === 'catalog' ? actions.filter((action) => action === '*') : [];
  if (type !== 'repository') return [];
  const matching = plan.rules.filter((rule) => matchesPattern(rule.pattern, name, claims));
  return actions.filter((action) =>
    matching.some((rule) => rule.actions.has(action) || rule.actions.has('*')),
  );
}
