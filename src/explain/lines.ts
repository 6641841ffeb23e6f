/** An explanation as lines for people, with the places of the configuration that decided. Not escaped. */
import type { Caller } from '../authenticate/authenticate.ts';
import type { ExplainedChoice, ExplainedVerdict, Explanation } from '../authorize/explain.ts';
import type { Rule } from '../authorize/rules.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { authoritiesOf } from '../config/schema.ts';
import { formatScope } from '../request/resource-scope.ts';

export function explanationLines(
  explanation: Explanation,
  caller: Caller | null,
  loaded: LoadedConfiguration,
): string[] {
  const { plan, license, choice, resources, outcome } = explanation;
  const lines: string[] = [];
  if (plan !== null)
    lines.push(`plan ${plan.name} (${loaded.placeOf(['plans', plan.name])}), licence ${license ?? 'none'}`);
  if (choice !== null) lines.push(...choiceLines(choice, caller, loaded));
  for (const { resource, isLeftOut, verdicts } of resources) {
    const meaning = resource.type === 'repository' && resource.name === '' ? " (zot's catalog)" : '';
    lines.push('', `${resource.type}:${resource.name}${meaning}`);
    const width = Math.max(...verdicts.map(({ action }) => action.length));
    for (const verdict of verdicts) {
      const word = verdict.allowed ? 'allowed' : 'denied ';
      lines.push(`  ${verdict.action.padEnd(width)}  ${word}  ${reasonOf(verdict, explanation, loaded)}`);
    }
    if (isLeftOut)
      lines.push('  left out of the token: the source of a layer mount is not needed for the push');
  }
  lines.push('');
  if ('granted' in outcome) {
    const scopes = outcome.granted.access.map(formatScope).join(' ');
    lines.push(
      `A token of ${outcome.granted.lifetime} s would be issued for ${scopes === '' ? 'no resource' : scopes}.`,
    );
  } else
    lines.push(`Refused, ${outcome.refused.status} ${outcome.refused.reason}: ${outcome.refused.detail}`);
  return lines;
}

/** Where there are no rules, there is nothing to say: the plan is that of the claim, or the default. */
function choiceLines(
  { by, missed }: ExplainedChoice,
  caller: Caller | null,
  loaded: LoadedConfiguration,
): string[] {
  const name = caller?.kind === 'verified' ? caller.authority : '';
  const placeOf = (rule: number) => placeOfPlanRule(name, rule, loaded);
  const lines = missed.map(
    ({ rule, plan, why }) => `  not ${plan} by planRules[${rule}] (${placeOf(rule)}): ${why}`,
  );
  if (by === null) return lines;
  if (typeof by === 'object') return [...lines, `  chosen by planRules[${by.rule}] (${placeOf(by.rule)})`];
  if (missed.length === 0) return [];
  return [...lines, by === 'claim' ? '  chosen by the claim (claims.plan)' : '  chosen by defaultPlan'];
}

function reasonOf(verdict: ExplainedVerdict, explanation: Explanation, loaded: LoadedConfiguration): string {
  const { rule, nearest, because } = verdict;
  if (rule !== null) {
    const part = verdict.asked === verdict.action ? '' : `, as part of ${verdict.asked}`;
    return `by ${rule.pattern} (${placeOfRule(rule, explanation, loaded)})${part}`;
  }
  if (verdict.allowed)
    return `by catalog: true (${loaded.placeOf(['plans', explanation.plan?.name ?? '', 'catalog'])})`;
  if (nearest === null) return because ?? 'nothing allows it';
  const place = placeOfRule(nearest.rule, explanation, loaded);
  return `nearest is ${nearest.rule.pattern} (${place}), which ${nearest.why}`;
}

/** Where a rule of the explained plan stands. */
export function placeOfRule(rule: Rule, { plan }: Explanation, loaded: LoadedConfiguration): string {
  return loaded.placeOf(['plans', plan?.name ?? '', 'repositories', rule.index, 'pattern']);
}

/** Where a rule of an Authority's `planRules` stands. */
export function placeOfPlanRule(authority: string, rule: number, loaded: LoadedConfiguration): string {
  const path = authoritiesOf(loaded.configuration).find(({ name }) => name === authority)?.path ?? [];
  return loaded.placeOf([...path, 'planRules', rule]);
}
