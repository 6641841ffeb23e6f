/** `explain`: what a caller would be granted, and by which line of the configuration. */
import { openBundle } from '../assemble/entitlements.ts';
import { FileReader } from '../assemble/files.ts';
import { openRevokedLicenses, revokedSets } from '../assemble/material.ts';
import { type ExaminedOpTok, examineOpTok } from '../assemble/op-tok-caller.ts';
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
import { authoritiesOf } from '../config/schema.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { withBundle } from '../entitlements/in-force.ts';
import { SeenSerials } from '../entitlements/seen-serials.ts';
import { escapeLines, escapeText } from '../platform/escape.ts';
import { neverPause } from '../platform/pauses.ts';
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
  authority: { type: 'string' },
  anonymous: { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

export const explain: Command = {
  name: 'explain',
  summary: 'shows what a token or a plan would be granted, and why',
  help: `Usage: registry-token explain [--config FILE] (--token OPTOK [--verify] | --plan P | --anonymous) [options] SCOPE…

Shows for each resource and action whether it is allowed, by which pattern, and on which line of the configuration. If
it is denied, shows the nearest pattern and why it did not match. The service's own code decides.

  --token OPTOK      takes plan, licence and claims from this OpTok; - reads it from standard input.
                     It is not verified without --verify, which lists its header, its claims and every fault
                     of its signature, header and claims (its sender is never verified)
  --plan P           takes this plan. Default, without --token: defaultPlan
  --license L        takes this licence
  --claim NAME=VALUE a further claim, for {claim:NAME}, {path:NAME} and planRules; may be repeated, also
                     with the same name: a list
  --authority NAME   the Authority whose planRules and claims apply; needed without --token if there are several
  --anonymous        a request without credentials (anonymousPlan)
  --json             the same for programs

Exit codes: 0 a token would be issued, 1 it would be refused, 2 usage, 78 the configuration has mistakes.

Example:
  registry-token explain --plan enterprise --claim tid=acme repository:customers/acme/app:pull,push
`,
  run: async (context) => {
    const { values, positionals } = readWords(context.args, options);
    const { loaded, policy } = await openPolicy(
      loadConfiguration(findConfigurationFile(values.config, context.env), context.env),
    );
    const asked = await askedCaller(values, loaded, policy, context);
    const explanation = explainAsked(asked, positionals, policy);
    context.print(
      values.json ? renderJson(explanation, asked, loaded) : renderText(explanation, asked, loaded),
    );
    return 'granted' in explanation.outcome && asked.faults.length === 0 ? 0 : 1;
  },
};

/** The configuration with what the bundle replaces, and the policy by which the service decides. */
async function openPolicy(own: LoadedConfiguration) {
  const files = new FileReader(own);
  const revokedLicenses = await openRevokedLicenses(own, files);
  const entitlements = await openBundle(own, files, {
    now: Date.now() / 1000,
    seen: new SeenSerials(),
    before: null,
    pause: neverPause,
  });
  if (files.mistakes.length > 0) throw new ConfigurationFault(files.mistakes);
  const loaded = withBundle(own, entitlements);
  const policy = createPolicy(loaded.configuration, ...revokedSets({ revokedLicenses, entitlements }));
  return { loaded, policy };
}

type Values = ReturnType<typeof readWords<typeof options>>['values'];

/** Whose request is explained. */
interface Asked {
  /** null if the OpTok names no Authority, or is no JWS. */
  readonly caller: Caller | null;
  /** null without an OpTok. */
  readonly opTok: ExaminedOpTok | null;
  /** Why the OpTok itself would be refused, as far as that was looked at. */
  readonly faults: readonly Refusal[];
  /** Whether an OpTok is taken as it stands. */
  readonly isUnverified: boolean;
  /** Whether the plan was given: then no rule chooses another. */
  readonly hasPlan: boolean;
}

async function askedCaller(
  values: Values,
  loaded: LoadedConfiguration,
  policy: Policy,
  { readInput }: CommandContext,
): Promise<Asked> {
  const { token, plan, license, claim = [], authority, anonymous = false, verify = false } = values;
  const described = plan !== undefined || license !== undefined || claim.length > 0;
  if (Number(token !== undefined) + Number(described) + Number(anonymous) > 1)
    throw new UsageError(
      '--token, --anonymous, and --plan with --license and --claim are alternatives: use one',
    );
  if (verify && token === undefined) throw new UsageError('--verify needs --token');
  if (authority !== undefined && (token !== undefined || anonymous))
    throw new UsageError('--authority needs --plan or --claim; the iss of a token selects its Authority');
  const nothing = { opTok: null, faults: [], isUnverified: false, hasPlan: plan !== undefined };
  if (anonymous) return { ...nothing, caller: { kind: 'anonymous' } };
  if (token === undefined)
    return { ...nothing, caller: describedCaller(values, authority ?? onlyAuthority(policy), policy) };
  const text = token === '-' ? (await readInput()).trim() : token;
  try {
    const opTok = await examineOpTok(loaded, text, { verify, now: Date.now() / 1000 });
    const { caller, faults } = opTok;
    return { ...nothing, caller, opTok, faults, isUnverified: !verify };
  } catch (cause) {
    if (!(cause instanceof Refusal)) throw cause;
    return { ...nothing, caller: null, faults: [cause] };
  }
}

function onlyAuthority({ claimRules }: Policy): string {
  const [first, ...others] = claimRules.keys();
  if (first === undefined || others.length > 0)
    throw new UsageError(
      `there are several Authorities (${[...claimRules.keys()].join(', ')}); choose one with --authority`,
    );
  return first;
}

function describedCaller({ plan, license, claim = [] }: Values, authority: string, policy: Policy): Caller {
  const rules = policy.claimRules.get(authority);
  if (rules === undefined)
    throw new UsageError(
      `there is no Authority ${authority}: there is ${[...policy.claimRules.keys()].join(', ')}`,
    );
  const given: [path: ClaimPath, value: string][] = claim.map((pair) => {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new UsageError(`--claim must be NAME=VALUE, not ${pair}`);
    const name = pair.slice(0, equals);
    return [rules.named.get(name) ?? [name], pair.slice(equals + 1)];
  });
  if (plan !== undefined) given.push([rules.plan, plan]);
  if (license !== undefined) given.push([rules.license, license]);
  return {
    kind: 'verified',
    authority,
    subject: '',
    clientId: null,
    opTokJti: null,
    claims: claimsOf(given),
  };
}

function explainAsked(
  { caller, faults, hasPlan }: Asked,
  scopes: readonly string[],
  policy: Policy,
): Explanation {
  const refused = (refusal: Refusal): Explanation => ({
    plan: null,
    license: null,
    choice: null,
    resources: [],
    outcome: { refused: refusal },
  });
  if (caller === null)
    return refused(
      faults[0] ?? new Refusal('token-issuer', 'No Authority has the issuer that the OpTok names.'),
    );
  try {
    return explainDecision(
      caller,
      'registry',
      parseScopes(scopes),
      hasPlan ? withoutPlanRules(policy) : policy,
    );
  } catch (cause) {
    if (cause instanceof Refusal) return refused(cause);
    throw cause;
  }
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

/** What was verified, and every fault. */
function examinationLines({ opTok, faults, isUnverified }: Asked): string[] {
  if (isUnverified)
    return ['The token is NOT verified. Use --verify to check its signature, issuer, audience and time.'];
  if (opTok === null) return [];
  const { header, claims, authority } = opTok;
  const document = (value: JsonObject) => JSON.stringify(value, null, 2).split('\n');
  return [
    `Authority: ${authority ?? 'none has this issuer'}`,
    ...['Header:', ...document(header), 'Claims:', ...document(claims)],
    faults.length === 0 ? 'The token has no fault; its sender is not verified here.' : 'Faults:',
    ...faults.map(({ status, reason, detail }) => `  ${status} ${reason}: ${detail}`),
    ...(faults.length > 0 && authority !== null ? ['', 'Without these faults:'] : ['']),
  ];
}

function renderText(explanation: Explanation, asked: Asked, loaded: LoadedConfiguration): string {
  const { plan, license, choice, resources, outcome } = explanation;
  const lines = examinationLines(asked);
  if (plan !== null)
    lines.push(`plan ${plan.name} (${loaded.placeOf(['plans', plan.name])}), licence ${license ?? 'none'}`);
  if (choice !== null) lines.push(...choiceLines(choice, asked.caller, loaded));
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
function choiceLines(
  { by, missed }: ExplainedChoice,
  caller: Caller | null,
  loaded: LoadedConfiguration,
): string[] {
  const name = caller?.kind === 'verified' ? caller.authority : '';
  const path = authoritiesOf(loaded.configuration).find((authority) => authority.name === name)?.path ?? [];
  const placeOf = (rule: number) => loaded.placeOf([...path, 'planRules', rule]);
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

function renderJson(explanation: Explanation, asked: Asked, loaded: LoadedConfiguration): string {
  const { plan, license, choice, resources, outcome } = explanation;
  const ruleOf = (rule: Rule) => ({
    pattern: rule.pattern,
    place: placeOfRule(rule, explanation, loaded),
  });
  const document = {
    outcome: 'granted' in outcome && asked.faults.length === 0 ? 'granted' : 'refused',
    verified: !asked.isUnverified,
    authority: asked.caller?.kind === 'verified' ? asked.caller.authority : null,
    ...(asked.opTok === null || asked.isUnverified
      ? {}
      : {
          header: asked.opTok.header,
          claims: asked.opTok.claims,
          faults: asked.faults.map(({ status, reason, detail }) => ({ status, reason, detail })),
        }),
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
