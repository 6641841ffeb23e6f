/** Why a pattern does not match a name: for people who debug a plan. `matchesPattern` makes the decision itself. */
import type { JsonObject } from '../authenticate/compact-jws.ts';
import { ClaimTexts, claimComponent, matchesPattern } from './match.ts';
import { type Segment, splitPattern, writtenSegments } from './pattern.ts';
import type { Plan } from './policy.ts';
import type { Rule } from './rules.ts';

export interface NearMiss {
  readonly rule: Rule;
  /** A clause whose subject is the pattern. */
  readonly why: string;
}

/**
 * The rule that came nearest to allowing an action on a repository: one that matches and lacks the action, else
 * the one whose first segments fit longest. Null for a plan without rules.
 */
export function nearestRule(plan: Plan, name: string, action: string, claims: JsonObject): NearMiss | null {
  let best: NearMiss | null = null;
  let bestScore = -1;
  for (const rule of plan.rules) {
    const { score, why } = measure(rule, name, action, claims);
    if (score > bestScore) [best, bestScore] = [{ rule, why }, score];
  }
  return best;
}

function measure(
  rule: Rule,
  name: string,
  action: string,
  claims: JsonObject,
): { score: number; why: string } {
  if (matchesPattern(rule.pattern, name, new ClaimTexts(claims)))
    return {
      score: Number.POSITIVE_INFINITY,
      why: `matches, and its actions are ${rule.actions.join(', ')}, not ${action}`,
    };
  const unusable = claimNames(rule.pattern).find((claim) => claimComponent(claims, claim) === null);
  const segments = name.split('/');
  const fitting = leadingFits(rule.pattern, segments, claims);
  if (unusable !== undefined) {
    const state = Object.hasOwn(claims, unusable) ? 'is no name component' : 'is missing';
    return { score: fitting, why: `needs the claim ${unusable}, which ${state}` };
  }
  return { score: fitting, why: describe(rule.pattern, segments, fitting, claims) };
}

function claimNames(pattern: string): string[] {
  return splitPattern(pattern).flatMap((segment) =>
    segment === '**'
      ? []
      : segment.flatMap((piece) => (piece !== '*' && 'claim' in piece ? [piece.claim] : [])),
  );
}

/** How many segments fit from the left, up to the first `**`, which fits anything. */
function leadingFits(pattern: string, segments: readonly string[], claims: JsonObject): number {
  let count = 0;
  for (const part of writtenSegments(pattern)) {
    const segment = segments[count];
    if (part === '**' || segment === undefined) break;
    if (!matchesPattern(part, segment, new ClaimTexts(claims))) break;
    count += 1;
  }
  return count;
}

function describe(pattern: string, segments: readonly string[], fitting: number, claims: JsonObject): string {
  const next = splitPattern(pattern)[fitting];
  const written = writtenSegments(pattern)[fitting] ?? pattern;
  const segment = segments[fitting];
  if (next === '**')
    return segment === undefined
      ? 'has a ** that needs one segment more'
      : 'has a ** after which nothing fits the end of the name';
  if (next === undefined) return `ends before "${segment}": * does not cross a slash, ** does`;
  if (segment === undefined) return `goes on where the name ends, with "${written}"`;
  const folded =
    segments.map((part) => part.toLowerCase()).join('/') !== segments.join('/')
      ? ' (letter case counts)'
      : '';
  const filled = fillIn(next, claims);
  const meaning = filled === written ? '' : ` (here "${filled}")`;
  return `has "${written}"${meaning} where the name has "${segment}"${folded}`;
}

/** A segment with its claims filled in; all of them can be used here. */
function fillIn(segment: Exclude<Segment, '**'>, claims: JsonObject): string {
  return segment
    .map((piece) =>
      piece === '*' ? piece : 'text' in piece ? piece.text : (claimComponent(claims, piece.claim) ?? ''),
    )
    .join('');
}
