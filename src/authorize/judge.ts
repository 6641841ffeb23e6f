/** Each action that was asked for on each resource: allowed or not, and by which rule of the plan. */
import type { Caller } from '../authenticate/authenticate.ts';
import type { ResourceActions } from '../request/resource-scope.ts';
import { ClaimTexts } from './match.ts';
import type { Plan } from './policy.ts';
import { allows, matchingRules, type Rule } from './rules.ts';

export interface Judgement {
  readonly resource: ResourceActions;
  /** In the order of the resource's actions. */
  readonly verdicts: readonly Verdict[];
}

export interface Verdict {
  readonly action: string;
  readonly allowed: boolean;
  /** The plan's first rule that allows it; null where none does, and for the catalogue, which has no rules. */
  readonly rule: Rule | null;
}

/** Judges everything that was asked for. An anonymous caller may pull, whatever else the plan lists. */
export function judge(plan: Plan, access: readonly ResourceActions[], caller: Caller): Judgement[] {
  const claims = new ClaimTexts(caller.kind === 'verified' ? caller.claims : {});
  return access.map((resource) => {
    const matching = rulesFor(plan, resource, claims);
    const verdicts = resource.actions.map((action): Verdict => {
      if (caller.kind === 'anonymous' && (action !== 'pull' || resource.type !== 'repository'))
        return { action, allowed: false, rule: null };
      if (isCatalog(resource)) return { action, allowed: plan.catalog && action === '*', rule: null };
      const rule = matching.find((candidate) => allows(candidate, action)) ?? null;
      return { action, allowed: rule !== null, rule };
    });
    return { resource, verdicts };
  });
}

/** The rules of a plan that speak of a resource: a repository's, by their patterns. Other types have none. */
function rulesFor(plan: Plan, { type, name }: ResourceActions, claims: ClaimTexts): readonly Rule[] {
  return type === 'repository' ? matchingRules(plan.rules, name, claims) : [];
}

function isCatalog({ type, name }: ResourceActions): boolean {
  return type === 'registry' && name === 'catalog';
}
