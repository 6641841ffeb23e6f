/** Why a pattern does not match a name: for people who debug a plan. `matchesPattern` makes the decision itself. */
import { found } from '../platform/escape.ts';
import { type ClaimTexts, parseReference } from './claim-texts.ts';
import { matchesPattern } from './match.ts';
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
export function nearestRule(plan: Plan, name: string, action: string, claims: ClaimTexts): NearMiss | null {
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
  claims: ClaimTexts,
): { score: number; why: string } {
  if (matchesPattern(rule.pattern, name, claims))
    return {
      score: Number.POSITIVE_INFINITY,
      why: `matches, and its actions are ${rule.actions.join(', ')}, not ${action}`,
    };
  const unusable = referencesOf(rule.pattern).find((reference) => claims.textOf(reference) === null);
  const segments = name.split('/');
  const fitting = leadingFits(rule.pattern, segments, claims);
  if (unusable !== undefined) {
    const { kind, name: claim } = parseReference(unusable);
    const value = claims.valueOf(claim);
    const state =
      value === undefined
        ? 'is missing'
        : `is ${found(value)} and not a valid name component${kind === 'path' ? 's separated by slashes' : ''}`;
    return { score: fitting, why: `needs the claim ${claim}, which ${state}` };
  }
  return { score: fitting, why: describe(rule.pattern, segments, fitting, claims) };
}

function referencesOf(pattern: string): string[] {
  return splitPattern(pattern).flatMap((segment) =>
    segment === '**'
      ? []
      : segment.flatMap((piece) => (piece !== '*' && 'reference' in piece ? [piece.reference] : [])),
  );
}

/** How many segments fit from the left, up to the first `**`, which fits anything. */
function leadingFits(pattern: string, segments: readonly string[], claims: ClaimTexts): number {
  let count = 0;
  for (const part of writtenSegments(pattern)) {
    const segment = segments[count];
    if (part === '**' || segment === undefined) break;
    if (!matchesPattern(part, segment, claims)) break;
    count += 1;
  }
  return count;
}

function describe(pattern: string, segments: readonly string[], fitting: number, claims: ClaimTexts): string {
  const next = splitPattern(pattern)[fitting];
  const written = writtenSegments(pattern)[fitting] ?? pattern;
  const segment = segments[fitting];
  if (next === '**')
    return segment === undefined
      ? 'has a ** that needs one more segment'
      : 'has a ** after which nothing fits the end of the name';
  if (next === undefined) return `ends before "${segment}": * does not cross a slash, ** does`;
  if (segment === undefined) return `continues after the end of the name, with "${written}"`;
  const folded =
    segments.map((part) => part.toLowerCase()).join('/') !== segments.join('/')
      ? ' (matching is case-sensitive)'
      : '';
  const filled = fillIn(next, claims);
  const meaning = filled === written ? '' : ` (here "${filled}")`;
  return `has "${written}"${meaning} where the name has "${segment}"${folded}`;
}

/** A segment with its claims filled in; all of them can be used here. */
function fillIn(segment: Exclude<Segment, '**'>, claims: ClaimTexts): string {
  return segment
    .map((piece) =>
      piece === '*' ? piece : 'text' in piece ? piece.text : (claims.textOf(piece.reference) ?? ''),
    )
    .join('');
}
