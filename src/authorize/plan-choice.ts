/** Which plan a caller has: the first rule whose conditions all hold, else the claim, else the default. */
import { formatClaimPath } from '../authenticate/claim-path.ts';
import { excerpt, found } from '../platform/escape.ts';
import { Refusal } from '../refusal.ts';
import type { ClaimTexts } from './claim-texts.ts';
import type { ClaimRules, Condition, Plan, Policy } from './policy.ts';

export interface PlanChoice {
  readonly plan: Plan;
  readonly by: ChoiceReason;
}

/** A rule by its number, from 0. */
export type ChoiceReason = { readonly rule: number } | 'claim' | 'default';

/** Chooses the plan of a verified caller. Throws `plan-missing` or `plan-unknown`. */
export function choosePlan(claims: ClaimTexts, rules: ClaimRules, policy: Policy): PlanChoice {
  const { name, by } = namePlan(claims, rules, policy);
  return { plan: planOf(name, policy), by };
}

/** The name of that plan, whether or not it is in the catalogue. Throws `plan-missing` or `plan-unknown`. */
export function namePlan(
  claims: ClaimTexts,
  rules: ClaimRules,
  policy: Policy,
): { readonly name: string; readonly by: ChoiceReason } {
  const rule = rules.planRules.findIndex(({ conditions }) => conditions.every((one) => holds(one, claims)));
  const chosen = rules.planRules[rule];
  if (chosen !== undefined) return { name: chosen.plan, by: { rule } };
  const named = namedPlan(claims, rules, policy);
  if (named !== null) return { name: named, by: 'claim' };
  if (policy.defaultPlan !== null) return { name: policy.defaultPlan, by: 'default' };
  const missed =
    rules.planRules.length === 0 ? '' : `none of the ${rules.planRules.length} planRules holds, `;
  const value = claims.at(rules.plan);
  throw new Refusal(
    'plan-missing',
    `No plan: ${missed}the claim ${formatClaimPath(rules.plan)} is ${found(value)}, and there is no defaultPlan.`,
    {
      forLog: `${value === undefined ? 'Name the claim that has the plan in claims.plan (a path such as [realm_access, roles])' : 'Let the Authority put the name of a plan into it'}, add a rule to planRules, or set defaultPlan.`,
    },
  );
}

/** Throws `plan-unknown`. */
export function planOf(name: string, { plans }: Policy): Plan {
  const plan = plans.get(name);
  if (plan !== undefined) return plan;
  const names = [...plans.keys()];
  const shown =
    names.length > 10 ? `${names.slice(0, 10).join(', ')} and ${names.length - 10} more` : names.join(', ');
  // The names may be those of other customers.
  throw new Refusal('plan-unknown', `There is no plan "${excerpt(name, 100)}".`, {
    forLog: `The plans are ${shown}. Add the plan, or correct the claim or the rule that names it.`,
  });
}

/** The plan that the claim names. Of a list, the first plan of the catalogue that is in it: it may hold other roles too. */
function namedPlan(claims: ClaimTexts, { plan: path }: ClaimRules, { plans }: Policy): string | null {
  const value = claims.at(path);
  if (value === undefined || value === null) return null;
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) {
    const listed = new Set<unknown>(value);
    for (const name of plans.keys()) if (listed.has(name)) return name;
    return null;
  }
  throw new Refusal(
    'plan-unknown',
    `The claim ${formatClaimPath(path)} is ${found(value)}, neither the name of a plan nor a list of names.`,
  );
}

/** A rule that does not hold, and its first condition that does not. */
export interface MissedRule {
  readonly rule: number;
  readonly plan: string;
  readonly why: string;
}

/** Why none of the rules before `end` holds. */
export function missedRules(
  claims: ClaimTexts,
  { planRules }: ClaimRules,
  end: number,
): readonly MissedRule[] {
  return planRules.slice(0, end).flatMap(({ conditions, plan }, rule) => {
    const unmet = conditions.find((one) => !holds(one, claims));
    if (unmet === undefined) return [];
    const wanted = unmet.patterns.length === 1 ? unmet.patterns[0] : `one of [${unmet.patterns.join(', ')}]`;
    return [{ rule, plan, why: `${unmet.name} is ${found(claims.valueOf(unmet.name))}, not ${wanted}` }];
  });
}

function holds({ name, patterns }: Condition, claims: ClaimTexts): boolean {
  const value = claims.valueOf(name);
  return (Array.isArray(value) ? value : [value]).some((element: unknown) => {
    const text = textOf(element);
    return text !== null && patterns.some((pattern) => matchesRun(pattern, text));
  });
}

/** Text, numbers and booleans; an integer that JavaScript cannot hold may have been another number. */
function textOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return String(value);
  if (typeof value !== 'number') return null;
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? null : String(value);
}

/**
 * True where the whole text matches: `*` is any run of characters, everything else is itself. After a mismatch only the
 * last `*` needs to take one character more, so that the time grows with the product of the two lengths at worst.
 */
export function matchesRun(pattern: string, text: string): boolean {
  let at = 0;
  let position = 0;
  let afterStar = -1;
  let taken = 0;
  while (position < text.length) {
    if (pattern[at] === '*') {
      at += 1;
      afterStar = at;
      taken = position;
    } else if (at < pattern.length && pattern[at] === text[position]) {
      at += 1;
      position += 1;
    } else if (afterStar !== -1) {
      taken += 1;
      at = afterStar;
      position = taken;
    } else return false;
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}
