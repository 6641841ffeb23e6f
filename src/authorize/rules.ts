/** The rules of a plan: everything that matches adds up, and their order means nothing. */
import type { ClaimTexts } from './claim-texts.ts';
import { matchesPattern } from './match.ts';

/** One entry of a plan's `repositories`. The pattern has no fault (`findPatternFault`). */
export interface Rule {
  /** Its number in the plan, from 0. */
  readonly index: number;
  readonly pattern: string;
  readonly actions: readonly string[];
}

/** The rules whose patterns match a repository's name. */
export function matchingRules(rules: readonly Rule[], name: string, claims: ClaimTexts): Rule[] {
  return rules.filter(({ pattern }) => matchesPattern(pattern, name, claims));
}

/** Whether the rule's actions include this one, or all. */
export function allows({ actions }: Rule, action: string): boolean {
  return actions.includes(action) || actions.includes('*');
}
