/** What another bundle changes: rules by plan, licences, defaults. Pure. */
import type { Plans } from '../config/schema.ts';
import { formatTime } from '../platform/time.ts';
import type { Bundle } from './bundle.ts';

type PlanSettings = Plans[string];

export interface Difference {
  /** In the order of the new bundle, then of those that it lacks. */
  readonly plans: readonly PlanDifference[];
  readonly defaultPlan: Change<string | null> | null;
  readonly newlyRevoked: readonly string[];
  readonly noLongerRevoked: readonly string[];
}

export interface PlanDifference {
  readonly name: string;
  readonly kind: 'added' | 'removed' | 'changed';
  readonly added: readonly RuleActions[];
  readonly removed: readonly RuleActions[];
  readonly catalog: Change<boolean> | null;
  /** Seconds; null where the plan has none of its own. */
  readonly lifetime: Change<number | null> | null;
}

/** Actions on what a pattern matches. */
export interface RuleActions {
  readonly pattern: string;
  readonly actions: readonly string[];
}

export interface Change<Value> {
  readonly from: Value;
  readonly to: Value;
}

export type Comparable = Pick<Bundle, 'plans' | 'defaultPlan' | 'revokedLicenses'>;

/** Rules are compared by what they allow: their order, and whether actions stand in one rule or several, changes nothing. */
export function compareBundles(before: Comparable, after: Comparable): Difference {
  const names = new Set([...after.plans.keys(), ...before.plans.keys()]);
  return {
    plans: [...names].flatMap((name) => comparePlan(name, before.plans.get(name), after.plans.get(name))),
    defaultPlan: change(before.defaultPlan, after.defaultPlan),
    newlyRevoked: without(after.revokedLicenses, before.revokedLicenses),
    noLongerRevoked: without(before.revokedLicenses, after.revokedLicenses),
  };
}

/** Whether two bundles allow the same to everybody. */
export function isSame({ plans, defaultPlan, newlyRevoked, noLongerRevoked }: Difference): boolean {
  return plans.length + newlyRevoked.length + noLongerRevoked.length === 0 && defaultPlan === null;
}

function without(these: ReadonlySet<string>, those: ReadonlySet<string>): string[] {
  return [...these].filter((license) => !those.has(license)).toSorted();
}

function change<Value>(from: Value, to: Value): Change<Value> | null {
  return from === to ? null : { from, to };
}

const NO_PLAN: PlanSettings = { catalog: false, repositories: [] };

function comparePlan(
  name: string,
  before: PlanSettings | undefined,
  after: PlanSettings | undefined,
): PlanDifference[] {
  const [from, to] = [before ?? NO_PLAN, after ?? NO_PLAN];
  const kind = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
  const added = lacking(actionsByPattern(to), actionsByPattern(from));
  const removed = lacking(actionsByPattern(from), actionsByPattern(to));
  const catalog = change(from.catalog, to.catalog);
  const lifetime = change(from.lifetime ?? null, to.lifetime ?? null);
  const isChanged = added.length + removed.length > 0 || catalog !== null || lifetime !== null;
  return kind === 'changed' && !isChanged ? [] : [{ name, kind, added, removed, catalog, lifetime }];
}

function actionsByPattern({ repositories }: PlanSettings): ReadonlyMap<string, ReadonlySet<string>> {
  const byPattern = new Map<string, Set<string>>();
  for (const { pattern, actions } of repositories) {
    const known = byPattern.get(pattern) ?? new Set();
    byPattern.set(pattern, known);
    for (const action of actions) known.add(action);
  }
  return byPattern;
}

/** What of `these` is not in `those`. */
function lacking(
  these: ReadonlyMap<string, ReadonlySet<string>>,
  those: ReadonlyMap<string, ReadonlySet<string>>,
): RuleActions[] {
  return [...these].flatMap(([pattern, actions]) => {
    const others = those.get(pattern);
    const missing = [...actions].filter((action) => !others?.has(action));
    return missing.length === 0 ? [] : [{ pattern, actions: missing.toSorted() }];
  });
}

/** Of licences in a text. */
const MOST_LICENSES = 20;

/** Lines for people. */
export function describeDifference(difference: Difference, before: Bundle, after: Bundle): string[] {
  const { plans, defaultPlan, newlyRevoked, noLongerRevoked } = difference;
  const lines = [
    `serial ${before.serial} of ${formatTime(before.issuedAt)} -> serial ${after.serial} of ${formatTime(after.issuedAt)}`,
  ];
  if (isSame(difference)) return [...lines, 'They allow the same.'];
  if (defaultPlan !== null) lines.push(`defaultPlan: ${describeChange(defaultPlan)}`);
  for (const { name, kind, added, removed, catalog, lifetime } of plans) {
    lines.push(`plan ${name}: ${kind}`);
    for (const { pattern, actions } of removed) lines.push(`  - ${pattern} [${actions.join(', ')}]`);
    for (const { pattern, actions } of added) lines.push(`  + ${pattern} [${actions.join(', ')}]`);
    if (catalog !== null) lines.push(`  catalog: ${describeChange(catalog)}`);
    if (lifetime !== null) lines.push(`  lifetime: ${describeChange(lifetime)} seconds`);
  }
  lines.push(...describeLicenses('newly revoked', newlyRevoked));
  lines.push(...describeLicenses('no longer revoked', noLongerRevoked));
  return lines;
}

function describeChange({ from, to }: Change<unknown>): string {
  return `${from ?? 'none'} -> ${to ?? 'none'}`;
}

function describeLicenses(what: string, licenses: readonly string[]): string[] {
  if (licenses.length === 0) return [];
  const more = licenses.length - MOST_LICENSES;
  const shown = licenses.slice(0, MOST_LICENSES).join(', ');
  return [`${what} (${licenses.length}): ${shown}${more > 0 ? ` and ${more} more; --json has all` : ''}`];
}
