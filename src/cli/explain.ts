/** `explain`: what a caller would be granted, and by which line of the configuration. */
import { openBundle } from '../assemble/entitlements.ts';
import { FileReader } from '../assemble/files.ts';
import { openRevokedLicenses, revokedSets } from '../assemble/material.ts';
import { type ExaminedOpTok, examineOpTok } from '../assemble/op-tok-caller.ts';
import { createPolicy } from '../assemble/options.ts';
import type { Caller } from '../authenticate/authenticate.ts';
import type { JsonObject } from '../authenticate/compact-jws.ts';
import type { Explanation } from '../authorize/explain.ts';
import type { Policy } from '../authorize/policy.ts';
import type { Rule } from '../authorize/rules.ts';
import { findConfigurationFile, type LoadedConfiguration, loadConfiguration } from '../config/load.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { withBundle } from '../entitlements/in-force.ts';
import { SeenSerials } from '../entitlements/seen-serials.ts';
import { DescriptionFault, describedCaller, explainDescribed } from '../explain/description.ts';
import { explanationLines, placeOfRule } from '../explain/lines.ts';
import { escapeLines, escapeText } from '../platform/escape.ts';
import { neverPause } from '../platform/pauses.ts';
import { Refusal } from '../refusal.ts';
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

  --token OPTOK      uses plan, licence and claims of this OpTok; - reads it from standard input.
                     It is not verified without --verify, which lists its header, its claims and every fault
                     of its signature, header and claims (its sender is never verified)
  --plan P           uses this plan. Default, without --token: defaultPlan
  --license L        uses this licence
  --claim NAME=VALUE a further claim, for {claim:NAME}, {path:NAME} and planRules; may be repeated, also
                     with the same name: a list
  --authority NAME   the Authority whose planRules and claims apply; needed without --token if there are several
  --anonymous        a request without credentials (anonymousPlan)
  --json             prints the result as JSON

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
    throw new UsageError('--token, --anonymous and --plan (with --license and --claim) cannot be combined');
  if (verify && token === undefined) throw new UsageError('--verify needs --token');
  if (authority !== undefined && (token !== undefined || anonymous))
    throw new UsageError('--authority needs --plan or --claim; the iss of a token selects its Authority');
  const nothing = { opTok: null, faults: [], isUnverified: false, hasPlan: plan !== undefined };
  if (anonymous) return { ...nothing, caller: { kind: 'anonymous' } };
  if (token === undefined) return { ...nothing, caller: describe(values, policy) };
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

/** Throws UsageError where there are several Authorities, or a claim has no name. */
function describe({ plan, license, claim = [], authority }: Values, policy: Policy): Caller {
  const claims = claim.map((pair): [name: string, value: string] => {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new UsageError(`--claim must be NAME=VALUE, not ${pair}`);
    return [pair.slice(0, equals), pair.slice(equals + 1)];
  });
  try {
    const description = {
      plan: plan ?? null,
      license: license ?? null,
      authority: authority ?? null,
      claims,
    };
    return describedCaller(description, policy);
  } catch (cause) {
    if (!(cause instanceof DescriptionFault)) throw cause;
    throw new UsageError(`${cause.message}${authority === undefined ? '; choose one with --authority' : ''}`);
  }
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
    return explainDescribed(caller, scopes, policy, hasPlan);
  } catch (cause) {
    if (cause instanceof Refusal) return refused(cause);
    throw cause;
  }
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
  const lines = [...examinationLines(asked), ...explanationLines(explanation, asked.caller, loaded)];
  return `${lines.map(escapeText).join('\n').trimStart()}\n`;
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
