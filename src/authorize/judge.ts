/** Decides for each requested action on each resource whether the plan allows it, and by which rule. */
import type { Caller } from '../authenticate/authenticate.ts';
import type { ResourceActions } from '../request/resource-scope.ts';
import type { ClaimTexts } from './claim-texts.ts';
import type { Plan } from './policy.ts';
import { allows, matchingRules, type Rule } from './rules.ts';

export interface Judgement {
  readonly resource: ResourceActions;
  /** One for each requested action, and for `*` one for each action that the caller has. Sorted and unique. */
  readonly verdicts: readonly Verdict[];
}

export interface Verdict {
  readonly action: string;
  /** The action as requested: `*` if the caller asked for every action that it has. */
  readonly asked: string;
  readonly allowed: boolean;
  /** The first rule of the plan that allows it; null if none does, and for the catalogue, which has no rules. */
  readonly rule: Rule | null;
}

/** Judges all requested actions; `claims` are the caller's. An anonymous caller may only pull, whatever the plan lists. */
export function judge(
  plan: Plan,
  access: readonly ResourceActions[],
  caller: Caller,
  claims: ClaimTexts,
): Judgement[] {
  return access.map((resource) => {
    const matching = rulesFor(plan, resource, claims);
    const verdicts = new Map<string, Verdict>();
    for (const asked of resource.actions)
      for (const action of actionsFor(asked, resource, matching, caller)) {
        if (verdicts.has(action)) continue;
        const rule = ruleFor(action, resource, matching, caller);
        const allowed = rule !== null || isCatalogAllowed(action, resource, plan, caller);
        verdicts.set(action, { action, asked, allowed, rule });
      }
    return { resource, verdicts: [...verdicts.values()].sort(byAction) };
  });
}

/** The actions that a requested one means: `*` means all that the rules list, or only itself if they list none. */
function actionsFor(
  asked: string,
  resource: ResourceActions,
  matching: readonly Rule[],
  caller: Caller,
): readonly string[] {
  if (asked !== '*') return [asked];
  if (isCatalog(resource)) return [catalogAction(resource)];
  if (caller.kind === 'anonymous') return ['pull'];
  const given = new Set(matching.flatMap(({ actions }) => actions));
  return given.size === 0 ? [asked] : [...given];
}

/** The first rule that allows it. An anonymous caller may only pull; the catalogue has no rules. */
function ruleFor(
  action: string,
  resource: ResourceActions,
  matching: readonly Rule[],
  caller: Caller,
): Rule | null {
  if (isCatalog(resource) || (caller.kind === 'anonymous' && action !== 'pull')) return null;
  return matching.find((candidate) => allows(candidate, action)) ?? null;
}

function isCatalogAllowed(action: string, resource: ResourceActions, plan: Plan, caller: Caller): boolean {
  return (
    isCatalog(resource) && caller.kind !== 'anonymous' && plan.catalog && action === catalogAction(resource)
  );
}

function byAction(a: Verdict, b: Verdict): number {
  return a.action < b.action ? -1 : 1;
}

/** The rules of a plan that match a resource. Only repositories have rules. */
function rulesFor(plan: Plan, resource: ResourceActions, claims: ClaimTexts): readonly Rule[] {
  const { type, name } = resource;
  return type === 'repository' && !isCatalog(resource) ? matchingRules(plan.rules, name, claims) : [];
}

/** The list of repositories: `registry:catalog:*`, and zot's `repository::pull` (a repository without a name). */
export function isCatalog({ type, name }: ResourceActions): boolean {
  return (type === 'registry' && name === 'catalog') || (type === 'repository' && name === '');
}

/** The only action on the catalogue, which depends on the name that was used for it. */
export function catalogAction({ type }: ResourceActions): string {
  return type === 'registry' ? '*' : 'pull';
}

/**
 * True for a repository with the single action `pull` next to another one with `push` or `*`: the source of a layer mount. The
 * push works without it, because the client then uploads the layer.
 */
export function isMountSource(resource: ResourceActions, access: readonly ResourceActions[]): boolean {
  const isPullAlone = resource.actions.length === 1 && resource.actions[0] === 'pull';
  if (resource.type !== 'repository' || isCatalog(resource) || !isPullAlone) return false;
  return access.some(
    ({ type, actions }) => type === 'repository' && (actions.includes('push') || actions.includes('*')),
  );
}
