/** `explain`: what a caller would be granted, and by which line of the configuration. */
import { FileReader } from '../assemble/files.ts';
import { openRevokedLicenses } from '../assemble/material.ts';
import { readOpTokCaller, verifyOpTokCaller } from '../assemble/op-tok-caller.ts';
import { createPolicy } from '../assemble/options.ts';
import type { Caller } from '../authenticate/authenticate.ts';
import type { ClaimPath } from '../authenticate/claim-path.ts';
import { isJsonObject, type JsonObject } from '../authenticate/compact-jws.ts';
import {
  type ExplainedChoice,
  type ExplainedVerdict,
  type Explanation,
  explain as explainDecision,
} from '../authorize/explain.ts';
import type { Policy } from '../authorize/policy.ts';
import type { Rule } from '../authorize/rules.ts';
import { findConfigurationFile, type LoadedConfiguration, loadConfiguration } from '../config/load.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { escapeLines, escapeText } from '../platform/escape.ts';
import { Refusal } from '../refusal.ts';
import { formatScope, parseScopes } from '../request/resource-scope.ts';
import { type Command, type CommandContext, readWords, UsageError } from './command.ts';

const options = {
  config: { type: 'string' },
  token: { type: 'string' },
  verify: { type: 'boolean' },
  plan: { type: 'string' },
  license: { type: 'string' },
  claim: { type: 'string', multiple: true },
  anonymous: { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

export const explain: Command = {
  name: 'explain',
  summary: 'says what a token or a plan would be granted, and why',
  help: `Usage: registry-token explain [--config FILE] (--token OPTOK [--verify] | --plan P | --anonymous) [options] SCOPE…

For each resource and action: allowed or not, by which pattern, on which line of the configuration; where not,
the pattern that came nearest and why it did not match. The decision is that of the service itself.

  --token OPTOK      take plan, licence and claims from this OpTok; - reads it from standard input.
                     It is not verified, unless --verify asks for its signature, issuer, audience and time too
                     (never its sender)
  --plan P           take this plan; without it and without --token, the default plan
  --license L        take this licence
  --claim NAME=VALUE a further claim, for {claim:NAME}, {path:NAME} and planRules; may be repeated, also
                     with the same name: a list
  --anonymous        a request without credentials (anonymousPlan)
  --json             the same for programs

Exit codes: 0 a token would be issued, 1 it would be refused, 2 usage, 78 the configuration has mistakes.

Example:
  registry-token explain --plan enterprise --claim tid=acme repository:customers/acme/app:pull,push
`,
  run: async (context) => {
    const { values, positionals } = readWords(context.args, options);
    const loaded = loadConfiguration(findConfigurationFile(values.config, context.env), context.env);
    const files = new FileReader(loaded);
    const policy = createPolicy(loaded.configuration, await openRevokedLicenses(loaded, files));
    if (files.mistakes.length > 0) throw new ConfigurationFault(files.mistakes);
    let explanation: Explanation;
    try {
      const caller = await callerOf(values, loaded, policy, context);
      const asked = values.plan === undefined ? policy : withoutPlanRules(policy);
      explanation = explainDecision(caller, 'registry', parseScopes(positionals), asked);
    } catch (cause) {
      if (!(cause instanceof Refusal)) throw cause;
      explanation = {
        plan: null,
        license: null,
        choice: null,
        resources: [],
        outcome: { refused: cause },
      };
    }
    const unverified = values.token !== undefined && !values.verify;
    context.print(
      values.json
        ? renderJson(explanation, loaded, !unverified)
        : renderText(explanation, loaded, unverified),
    );
    return 'granted' in explanation.outcome ? 0 : 1;
  },
};

type Values = ReturnType<typeof readWords<typeof options>>['values'];

async function callerOf(
  values: Values,
  loaded: LoadedConfiguration,
  policy: Policy,
  { readInput }: CommandContext,
): Promise<Caller> {
  const { token, plan, license, claim = [], anonymous = false, verify = false } = values;
  const described = plan !== undefined || license !== undefined || claim.length > 0;
  if (Number(token !== undefined) + Number(described) + Number(anonymous) > 1)
    throw new UsageError(
      '--token, --anonymous, and --plan with --license and --claim are three ways: take one',
    );
  if (verify && token === undefined) throw new UsageError('--verify goes with --token');
  if (anonymous) return { kind: 'anonymous' };
  if (token !== undefined) {
    const text = token === '-' ? (await readInput()).trim() : token;
    return verify ? verifyOpTokCaller(loaded, text, Date.now() / 1000) : readOpTokCaller(text);
  }
  const authority = 'default';
  const rules = policy.claimRules.get(authority);
  const given: [path: ClaimPath, value: string][] = claim.map((pair) => {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new UsageError(`--claim takes NAME=VALUE, not ${pair}`);
    const name = pair.slice(0, equals);
    return [rules?.named.get(name) ?? [name], pair.slice(equals + 1)];
  });
  if (plan !== undefined && rules !== undefined) given.push([rules.plan, plan]);
  if (license !== undefined && rules !== undefined) given.push([rules.license, license]);
  return { kind: 'verified', authority, subject: '', claims: claimsOf(given) };
}

/** An object with these values at their paths; several at one path are a list. */
function claimsOf(given: readonly (readonly [path: ClaimPath, value: string])[]): JsonObject {
  const claims: Record<string, unknown> = Object.create(null);
  for (const [path, value] of given) {
    let container = claims;
    for (const name of path.slice(0, -1)) {
      if (!isJsonObject(container[name])) container[name] = Object.create(null);
      container = container[name] as Record<string, unknown>;
    }
    const name = path.at(-1) ?? '';
    const before = container[name];
    container[name] = before === undefined ? value : [before, value].flat();
  }
  return claims;
}

/** The plan that was asked for is explained, whatever the claims would lead to. */
function withoutPlanRules(policy: Policy): Policy {
  const claimRules = [...policy.claimRules].map(
    ([name, rules]) => [name, { ...rules, planRules: [] }] as const,
  );
  return { ...policy, claimRules: new Map(claimRules) };
}

function renderText(explanation: Explanation, loaded: LoadedConfiguration, unverified: boolean): string {
  const { plan, license, choice, resources, outcome } = explanation;
  const lines: string[] = [];
  if (unverified)
    lines.push(
      'The token is NOT verified: whether the service would believe it is another question (--verify).',
    );
  if (plan !== null)
    lines.push(`plan ${plan.name} (${loaded.placeOf(['plans', plan.name])}), licence ${license ?? 'none'}`);
  if (choice !== null) lines.push(...choiceLines(choice, loaded));
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
  return `${lines.map(escapeText).join('\n').trimStart()}\n`;
}

/** Where there are no rules, there is nothing to say: the plan is that of the claim, or the default. */
function choiceLines({ by, missed }: ExplainedChoice, loaded: LoadedConfiguration): string[] {
  const placeOf = (rule: number) => loaded.placeOf(['authority', 'planRules', rule]);
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

function placeOfRule(rule: Rule, { plan }: Explanation, loaded: LoadedConfiguration): string {
  return loaded.placeOf(['plans', plan?.name ?? '', 'repositories', rule.index, 'pattern']);
}

function renderJson(explanation: Explanation, loaded: LoadedConfiguration, verified: boolean): string {
  const { plan, license, choice, resources, outcome } = explanation;
  const ruleOf = (rule: Rule) => ({
    pattern: rule.pattern,
    place: placeOfRule(rule, explanation, loaded),
  });
  const document = {
    outcome: 'granted' in outcome ? 'granted' : 'refused',
    verified,
    plan: plan?.name ?? null,
    planRule: choice?.by !== null && typeof choice?.by === 'object' ? choice.by.rule : null,
    missedPlanRules: choice?.missed ?? [],
    license,
    ...('granted' in outcome
      ? { access: outcome.granted.access, lifetime: outcome.granted.lifetime }
      : { reason: outcome.refused.reason, detail: outcome.refused.detail }),
    resources: resources.map(({ resource: { type, name }, isLeftOut, verdicts }) => ({
      type,
      name,
      ...(isLeftOut ? { leftOut: true } : {}),
      actions: verdicts.map(({ action, asked, allowed, rule, nearest, because }) => ({
        action,
        ...(asked === action ? {} : { asked }),
        allowed,
        ...(rule === null ? {} : { rule: ruleOf(rule) }),
        ...(nearest === null ? {} : { nearest: { ...ruleOf(nearest.rule), why: nearest.why } }),
        ...(because === null ? {} : { because }),
      })),
    })),
  };
  return `${escapeLines(JSON.stringify(document, null, 2))}\n`;
}
