/** Decides what a caller may have, by licence, plan and patterns. Pure and synchronous. */
import type { Caller, VerifiedCaller } from '../authenticate/authenticate.ts';
import { type ClaimPath, formatClaimPath } from '../authenticate/claim-path.ts';
import { excerpt, found } from '../platform/escape.ts';
import { Refusal } from '../refusal.ts';
import { type ResourceActions, summarizeScopes } from '../request/resource-scope.ts';
import { ClaimTexts } from './claim-texts.ts';
import { isMountSource, type Judgement, judge } from './judge.ts';
import { type ChoiceReason, choosePlan, namePlan, planOf } from './plan-choice.ts';
import type { ClaimRules, Plan, Policy } from './policy.ts';

/** What the registry token will contain. */
export interface Grant {
  /** Empty for an anonymous caller. */
  readonly subject: string;
  /** The registry that the token is for. */
  readonly service: string;
  readonly plan: string;
  readonly license: string | null;
  readonly access: readonly ResourceActions[];
  /** Those that allowed it, each once. */
  readonly patterns: readonly string[];
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
  return grantAccess(caller, entitlementOf(caller, policy), service, access, policy);
}

/** The same for a caller whose plan and licence are known. Throws `plan-denied` or `credentials-missing`. */
export function grantAccess(
  caller: Caller,
  { plan, license, claims }: Entitlement,
  service: string,
  access: readonly ResourceActions[],
  policy: Policy,
): Grant {
  const judgements = judge(plan, access, caller, claims);
  const granted = grantedOf(judgements);
  const denied = deniedOf(judgements);
  if (denied.length > 0) {
    const refusing =
      policy.grant === 'strict' ? deniedOf(judgements.filter((one) => !isLeftOut(one, access))) : [];
    if (refusing.length > 0) throw denial(caller, plan, refusing);
    if (granted.length === 0) throw denial(caller, plan, denied);
  }
  return {
    subject: caller.kind === 'verified' ? caller.subject : '',
    service,
    plan: plan.name,
    license,
    access: granted,
    patterns: patternsOf(judgements),
    lifetime: plan.lifetime ?? policy.lifetime,
  };
}

export interface Entitlement {
  readonly plan: Plan;
  /** What chose the plan; null for an anonymous caller. */
  readonly chosenBy: ChoiceReason | null;
  readonly license: string | null;
  /** The caller's claims, as patterns ask for them. */
  readonly claims: ClaimTexts;
}

/** The plan and the licence that apply to a caller. Throws where there is no plan or the licence is revoked. */
export function entitlementOf(caller: Caller, policy: Policy): Entitlement {
  if (caller.kind === 'anonymous') {
    if (policy.anonymousPlan === null) throw new Refusal('plan-missing', 'There is no anonymousPlan.');
    const plan = planOf(policy.anonymousPlan, policy);
    return { plan, chosenBy: null, license: null, claims: new ClaimTexts({}) };
  }
  const rules = claimRulesOf(caller, policy);
  const claims = new ClaimTexts(caller.claims, rules.named);
  const licenses = licensesOf(claims, rules.license);
  const revoked = licenses.find((license) => policy.revokedLicenses.has(license));
  if (revoked !== undefined)
    throw new Refusal('license-revoked', `The licence ${excerpt(revoked, 100)} is revoked.`);
  const license = licenses.length === 0 ? null : licenses.join(',');
  const { plan, by: chosenBy } = choosePlan(claims, rules, policy);
  return { plan, chosenBy, license, claims };
}

/** What the claims of a caller mean: by the rules of the Authority that vouches for it, and no other. */
export function claimRulesOf({ authority }: VerifiedCaller, policy: Policy): ClaimRules {
  const rules = policy.claimRules.get(authority);
  if (rules === undefined) throw new Error('A caller of an Authority that has no rules.');
  return rules;
}

/** All licences of the caller. What cannot be looked up might be a revoked one: refused. */
function licensesOf(claims: ClaimTexts, path: ClaimPath): readonly string[] {
  const value = claims.at(path);
  if (value === undefined || value === null) return [];
  return (Array.isArray(value) ? value : [value]).map((license: unknown) => {
    if (typeof license === 'string') return license;
    // Beyond 2^53 another number than the Authority's may have been read.
    if (typeof license === 'number' && (!Number.isInteger(license) || Number.isSafeInteger(license)))
      return String(license);
    throw new Refusal(
      'license-revoked',
      `The claim ${formatClaimPath(path)} of the access token is ${found(value)}: neither text, nor an exact number, nor a list of these.`,
    );
  });
}

/** Whether `strict` leaves a denied resource out of the token instead of refusing the request. */
export function isLeftOut({ resource, verdicts }: Judgement, access: readonly ResourceActions[]): boolean {
  return isMountSource(resource, access) && verdicts.every(({ allowed }) => !allowed);
}

/** What is known of a caller who gets no entitlement, for the log: nothing is decided by it. Never throws. */
export interface Claimed {
  /** As the OpTok or a rule names it; it may not be in the catalogue. */
  readonly plan: string | null;
  readonly chosenBy: ChoiceReason | null;
  readonly license: string | null;
  readonly claims: ClaimTexts;
}

export function claimedBy(caller: Caller, policy: Policy): Claimed | null {
  const rules = caller.kind === 'anonymous' ? undefined : policy.claimRules.get(caller.authority);
  if (caller.kind === 'anonymous' || rules === undefined) return null;
  const claims = new ClaimTexts(caller.claims, rules.named);
  const { name: plan, by: chosenBy } = attempt(() => namePlan(claims, rules, policy)) ?? {
    name: null,
    by: null,
  };
  const licenses = attempt(() => licensesOf(claims, rules.license)) ?? [];
  return { plan, chosenBy, license: licenses.length === 0 ? null : licenses.join(','), claims };
}

/** Null where it is refused. */
function attempt<Value>(find: () => Value): Value | null {
  try {
    return find();
  } catch (cause) {
    if (cause instanceof Refusal) return null;
    throw cause;
  }
}

function patternsOf(judgements: readonly Judgement[]): readonly string[] {
  const patterns = new Set<string>();
  for (const { verdicts } of judgements)
    for (const { rule } of verdicts) if (rule !== null) patterns.add(rule.pattern);
  return [...patterns];
}

function grantedOf(judgements: readonly Judgement[]): ResourceActions[] {
  return select(judgements, true);
}

function deniedOf(judgements: readonly Judgement[]): ResourceActions[] {
  return select(judgements, false);
}

function select(judgements: readonly Judgement[], allowed: boolean): ResourceActions[] {
  const selected: ResourceActions[] = [];
  for (const { resource, verdicts } of judgements) {
    const actions = verdicts.filter((verdict) => verdict.allowed === allowed).map(({ action }) => action);
    if (actions.length > 0) selected.push({ type: resource.type, name: resource.name, actions });
  }
  return selected;
}

/** What a message shows of the scopes that were denied, in characters. */
const MAX_SCOPES_LENGTH = 500;

function denial(caller: Caller, plan: Plan, denied: readonly ResourceActions[]): Refusal {
  const scopes = summarizeScopes(denied, MAX_SCOPES_LENGTH).join(' ');
  // With credentials the client might get more. A 401 makes it ask for them.
  if (caller.kind === 'anonymous')
    return new Refusal(
      'credentials-missing',
      `Without credentials the plan ${plan.name} does not allow ${scopes}.`,
    );
  return new Refusal('plan-denied', `The plan ${plan.name} does not allow ${scopes}.`);
}
