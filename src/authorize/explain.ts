/** A decision with its reasons, by the code that decides; for a denial the rule that came nearest. */
import type { Caller } from '../authenticate/authenticate.ts';
import { Refusal } from '../refusal.ts';
import type { ResourceActions } from '../request/resource-scope.ts';
import {
  authorize,
  claimRulesOf,
  type Entitlement,
  entitlementOf,
  type Grant,
  isLeftOut,
} from './authorize.ts';
import { ClaimTexts } from './claim-texts.ts';
import { catalogAction, isCatalog, judge, type Verdict } from './judge.ts';
import { type NearMiss, nearestRule } from './mismatch.ts';
import { type ChoiceReason, type MissedRule, missedRules } from './plan-choice.ts';
import type { Plan, Policy } from './policy.ts';

export interface Explanation {
  /** null where the refusal came before a plan was found. */
  readonly plan: Plan | null;
  readonly license: string | null;
  /** null for an anonymous caller, and where the licence is revoked. */
  readonly choice: ExplainedChoice | null;
  readonly resources: readonly ExplainedResource[];
  readonly outcome: { readonly granted: Grant } | { readonly refused: Refusal };
}

/** How the plan of a verified caller was chosen. */
export interface ExplainedChoice {
  /** null where none was. */
  readonly by: ChoiceReason | null;
  /** The rules before the one that holds, or all of them. */
  readonly missed: readonly MissedRule[];
}

export interface ExplainedResource {
  readonly resource: ResourceActions;
  /** Denied, and left out of the token instead of refusing the request: the source of a layer mount. */
  readonly isLeftOut: boolean;
  readonly verdicts: readonly ExplainedVerdict[];
}

export interface ExplainedVerdict extends Verdict {
  /** For a denied action on a repository: the rule that came nearest. */
  readonly nearest: NearMiss | null;
  /** For a denial that no rule could mend: why. */
  readonly because: string | null;
}

/** Explains what `authorize` decides for this caller. `service` is what the registry is called. */
export function explain(
  caller: Caller,
  service: string,
  access: readonly ResourceActions[],
  policy: Policy,
): Explanation {
  let entitlement: Entitlement;
  try {
    entitlement = entitlementOf(caller, policy);
  } catch (cause) {
    if (!(cause instanceof Refusal)) throw cause;
    const choice = cause.reason === 'license-revoked' ? null : explainChoice(caller, policy, null);
    return { plan: null, license: null, choice, resources: [], outcome: { refused: cause } };
  }
  const { plan, license, claims, chosenBy } = entitlement;
  const outcome = decide(caller, service, access, policy);
  const resources = judge(plan, access, caller, claims).map((judgement) => ({
    resource: judgement.resource,
    isLeftOut: 'granted' in outcome && policy.grant === 'strict' && isLeftOut(judgement, access),
    verdicts: judgement.verdicts.map((verdict) =>
      explainVerdict(verdict, judgement.resource, plan, caller, claims),
    ),
  }));
  return { plan, license, choice: explainChoice(caller, policy, chosenBy), resources, outcome };
}

function explainChoice(caller: Caller, policy: Policy, by: ChoiceReason | null): ExplainedChoice | null {
  if (caller.kind === 'anonymous') return null;
  const rules = claimRulesOf(caller, policy);
  const end = by !== null && typeof by === 'object' ? by.rule : rules.planRules.length;
  return { by, missed: missedRules(new ClaimTexts(caller.claims, rules.named), rules, end) };
}

function explainVerdict(
  verdict: Verdict,
  resource: ResourceActions,
  plan: Plan,
  caller: Caller,
  claims: ClaimTexts,
): ExplainedVerdict {
  const { action, asked, allowed, rule } = verdict;
  if (allowed) return { action, asked, allowed, rule, nearest: null, because: null };
  const because = withoutRules(action, resource, plan, caller);
  if (because !== null) return { action, asked, allowed, rule, nearest: null, because };
  const nearest = nearestRule(plan, resource.name, action, claims);
  return {
    action,
    asked,
    allowed,
    rule,
    nearest,
    because: nearest === null ? `the plan ${plan.name} has no repositories` : null,
  };
}

/** A denial that has nothing to do with patterns; null where patterns decide. */
function withoutRules(action: string, resource: ResourceActions, plan: Plan, caller: Caller): string | null {
  const { type } = resource;
  if (isCatalog(resource)) {
    if (caller.kind === 'anonymous') return 'the catalogue is not available without credentials';
    return plan.catalog
      ? `the only action on the catalogue is ${catalogAction(resource)}`
      : `the plan ${plan.name} does not have catalog: true`;
  }
  if (type !== 'repository') return `no plan allows anything on the type ${type}`;
  if (caller.kind === 'anonymous' && action !== 'pull') return 'without credentials only pull is allowed';
  return null;
}

function decide(
  caller: Caller,
  service: string,
  access: readonly ResourceActions[],
  policy: Policy,
): Explanation['outcome'] {
  try {
    return { granted: authorize(caller, service, access, policy) };
  } catch (cause) {
    if (cause instanceof Refusal) return { refused: cause };
    throw cause;
  }
}
