/** Whom another bundle gives or takes something: decisions of the past, decided again by the code that decides. Pure. */
import type { VerifiedCaller } from '../authenticate/authenticate.ts';
import { authorize } from '../authorize/authorize.ts';
import type { Policy } from '../authorize/policy.ts';
import { policyPlans } from '../config/policy-plans.ts';
import { Refusal } from '../refusal.ts';
import { formatScope, parseScopes, type ResourceActions } from '../request/resource-scope.ts';
import type { Comparable } from './diff.ts';

/** What the log has of a request. */
export interface PastRequest {
  readonly subject: string | null;
  readonly authority: string | null;
  readonly plan: string | null;
  /** Several are joined by commas. */
  readonly license: string | null;
  readonly claims: Readonly<Record<string, string>> | null;
  /** What chose the plan; `default` is `defaultPlan`. */
  readonly rule: string | null;
  readonly asked: readonly string[];
}

export interface Effect {
  readonly subject: string;
  readonly authority: string | null;
  readonly plan: string | null;
  readonly license: string | null;
  /** Scopes: `repository:team/app:pull`; and ANY_TOKEN. */
  readonly loses: readonly string[];
  readonly gains: readonly string[];
}

/** In place of a scope: that there is a token, be it an empty one. */
export const ANY_TOKEN = 'any token';

export interface Effects {
  /** Of subjects for whom something changes, in the order in which they were found. */
  readonly changed: readonly Effect[];
  readonly subjects: number;
  /** Requests that neither bundle decides: the plan is the site's own, or the line does not say enough. */
  readonly undecided: number;
}

/** Different requests that are decided: a subject asks for the same again and again. */
const MOST_REQUESTS = 200_000;

export class EffectsOf {
  readonly #before: Side;
  readonly #after: Side;
  readonly #seen = new Set<string>();
  readonly #subjects = new Set<string>();
  readonly #changed = new Map<string, { request: PastRequest; loses: Set<string>; gains: Set<string> }>();
  #undecided = 0;
  /** Whether there were more different requests than are decided. */
  isFull = false;

  constructor(before: Comparable, after: Comparable) {
    this.#before = sideOf(before);
    this.#after = sideOf(after);
  }

  add(request: PastRequest): void {
    const { subject, authority, plan, license, claims, rule, asked } = request;
    if (subject === null) return;
    const holder = JSON.stringify([authority, subject]);
    this.#subjects.add(holder);
    const identity = JSON.stringify([holder, plan, license, claims, rule === 'default', asked]);
    if (this.#seen.has(identity)) return;
    if (this.#seen.size >= MOST_REQUESTS) {
      this.isFull = true;
      return;
    }
    this.#seen.add(identity);
    const access = parseAsked(asked);
    const isKnown = plan !== null && [this.#before, this.#after].some(({ policy }) => policy.plans.has(plan));
    if (access === null || !(isKnown || rule === 'default')) {
      this.#undecided += 1;
      return;
    }
    const had = grantedBy(this.#before, request, access);
    const has = grantedBy(this.#after, request, access);
    const loses = [...had].filter((scope) => !has.has(scope));
    const gains = [...has].filter((scope) => !had.has(scope));
    if (loses.length + gains.length === 0) return;
    const known = this.#changed.get(holder) ?? { request, loses: new Set(), gains: new Set() };
    this.#changed.set(holder, known);
    for (const scope of loses) known.loses.add(scope);
    for (const scope of gains) known.gains.add(scope);
  }

  result(): Effects {
    const changed = [...this.#changed.values()].map(({ request, loses, gains }) => ({
      subject: request.subject ?? '',
      authority: request.authority,
      plan: request.plan,
      license: request.license,
      loses: [...loses].toSorted(),
      gains: [...gains].toSorted(),
    }));
    return { changed, subjects: this.#subjects.size, undecided: this.#undecided };
  }
}

interface Side {
  readonly policy: Policy;
  readonly namesDefault: boolean;
}

/** The plan and the licence are given under these names, which no claim of a pattern has. */
const PLAN = ' plan';
const LICENSE = ' license';
const AUTHORITY = '';

function sideOf({ plans, defaultPlan, revokedLicenses }: Comparable): Side {
  const policy: Policy = {
    plans: policyPlans(plans),
    defaultPlan,
    anonymousPlan: null,
    revokedLicenses,
    grant: 'intersection',
    claimRules: new Map([[AUTHORITY, { plan: [PLAN], license: [LICENSE], named: new Map(), planRules: [] }]]),
    lifetime: 300,
  };
  return { policy, namesDefault: defaultPlan !== null };
}

/** Each action on each resource by itself, as scopes. */
function grantedBy(
  { policy, namesDefault }: Side,
  { plan, license, claims, rule }: PastRequest,
  access: readonly ResourceActions[],
): ReadonlySet<string> {
  const isDefault = rule === 'default' && namesDefault;
  const caller: VerifiedCaller = {
    kind: 'verified',
    authority: AUTHORITY,
    subject: '',
    clientId: null,
    opTokJti: null,
    claims: {
      ...claims,
      ...(isDefault || plan === null ? {} : { [PLAN]: plan }),
      ...(license === null ? {} : { [LICENSE]: license.split(',') }),
    },
  };
  const granted = new Set<string>();
  // The first is a login: without a plan, or with a revoked licence, there is no token at all.
  for (const asked of [[], ...access.map((resource) => [resource])])
    try {
      const grant = authorize(caller, '', asked, policy);
      if (asked.length === 0) granted.add(ANY_TOKEN);
      for (const { type, name, actions } of grant.access)
        for (const action of actions) granted.add(formatScope({ type, name, actions: [action] }));
    } catch (cause) {
      if (!(cause instanceof Refusal)) throw cause;
    }
  return granted;
}

/** null where the line is one of an older version, or was cut short. */
function parseAsked(asked: readonly string[]): readonly ResourceActions[] | null {
  try {
    return parseScopes(asked);
  } catch (cause) {
    if (cause instanceof Refusal) return null;
    throw cause;
  }
}

/** Lines for people. */
export function describeEffects({ changed, subjects, undecided }: Effects, days: number): string[] {
  const lines = [
    `Of ${subjects} ${subjects === 1 ? 'subject' : 'subjects'} of the last ${days} days, ${changed.length === 0 ? 'none loses or gains anything' : `${changed.length} would lose or gain something`}:`,
  ];
  if (changed.length === 0) lines[0] = `${lines[0]?.slice(0, -1)}.`;
  for (const { subject, authority, plan, license, loses, gains } of changed) {
    const by = authority === null ? '' : ` of ${authority}`;
    lines.push(`  ${subject}${by} (plan ${plan ?? 'none'}, licence ${license ?? 'none'})`);
    for (const scope of loses) lines.push(`    - ${scope}`);
    for (const scope of gains) lines.push(`    + ${scope}`);
  }
  if (undecided > 0)
    lines.push(
      undecided === 1
        ? '1 different request is not judged: its plan is in neither bundle.'
        : `${undecided} different requests are not judged: their plans are in neither bundle.`,
    );
  return lines;
}
