/** What each Authority's rules let in: tokens without a sender, tokens meant for others, rules that nobody meets. */
import { acceptedBy } from '../assemble/options.ts';
import { matchesRun } from '../authorize/plan-choice.ts';
import type { Condition, Plan, PlanRule, Policy } from '../authorize/policy.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { authoritiesOf, type NamedAuthority } from '../config/schema.ts';
import type { Finding } from './finding.ts';

export function findAuthorityRuleFaults(loaded: LoadedConfiguration, policy: Policy): Finding[] {
  return authoritiesOf(loaded.configuration).flatMap((authority) => {
    const accept = acceptedBy(authority.settings, loaded.configuration.senderConstraint);
    return [
      ...(accept.includes('none') ? findBearerFaults(authority, loaded, policy) : []),
      ...findUnreachableRules(authority, loaded, policy),
    ];
  });
}

/** Anyone who sees such a token can use it: it should allow little, and no other service should see it. */
function findBearerFaults(authority: NamedAuthority, loaded: LoadedConfiguration, policy: Policy): Finding[] {
  const { name, path, settings } = authority;
  const acceptPath = settings.accept === undefined ? ['senderConstraint', 'accept'] : [...path, 'accept'];
  const others = authoritiesOf(loaded.configuration).length > 1 ? ` of ${name}` : '';
  const findings: Finding[] = [
    {
      severity: 'warning',
      code: 'bearer-only',
      place: loaded.placeOf(acceptPath),
      fault: `OpToks${others} without a sender constraint are accepted: anyone who has one can use it.`,
      mend: 'Take none out of the list, if the Authority can bind its tokens by DPoP or to certificates.',
    },
  ];
  for (const [index, audience] of settings.audiences.entries()) {
    if (!isShared(audience, settings.issuer)) continue;
    findings.push({
      severity: 'warning',
      code: 'audience-shared',
      place: loaded.placeOf([...path, 'audiences', index]),
      fault: `Other services use the audience ${audience} too: each of them can use the tokens that it receives here.`,
      mend: 'Let clients request tokens with an audience that only this registry has, and name that one.',
    });
  }
  for (const plan of unconditionalPlans(name, policy)) {
    const more = [...new Set(plan.rules.flatMap(({ actions }) => actions))].filter(
      (action) => action !== 'pull',
    );
    if (more.length === 0) continue;
    findings.push({
      severity: 'warning',
      code: 'bearer-writes',
      place: loaded.placeOf(['plans', plan.name]),
      fault: `Every OpTok${others} without a sender constraint gets the plan ${plan.name}, which allows ${more.join(', ')}.`,
      mend: `Choose this plan by ${path.join('.')}.planRules with conditions, and let the default plan allow only pull.`,
    });
  }
  return findings;
}

/** Audiences that an Authority gives to everybody: its own API, or one that it sets where nobody asks for another. */
function isShared(audience: string, issuer: string): boolean {
  const plain = (url: string) => url.replace(/\/$/, '');
  return (
    plain(audience) === plain(issuer) ||
    /^(?:account|api:\/\/default|api:\/\/AzureADTokenExchange|sts\.amazonaws\.com|https:\/\/kubernetes\.default\.svc.*|https:\/\/github\.com\/.*)$/.test(
      audience,
    )
  );
}

/** The plans of a caller of whom nothing is known. */
function unconditionalPlans(authority: string, { claimRules, defaultPlan, plans }: Policy): readonly Plan[] {
  const always = claimRules.get(authority)?.planRules.find(({ conditions }) => conditions.length === 0);
  const plan = plans.get(always?.plan ?? defaultPlan ?? '');
  return plan === undefined ? [] : [plan];
}

/** A rule whose tokens all meet an earlier one chooses nothing. After one without conditions, that is every rule. */
function findUnreachableRules(
  { name, path }: NamedAuthority,
  loaded: LoadedConfiguration,
  { claimRules }: Policy,
): Finding[] {
  const rules = claimRules.get(name)?.planRules ?? [];
  const last = rules.length - 1;
  const always = rules.findIndex(({ conditions }) => conditions.length === 0);
  const catchAlls: Finding[] =
    always === -1 || always === last
      ? []
      : [
          {
            severity: 'warning',
            code: 'rule-catch-all',
            place: loaded.placeOf([...path, 'planRules', always, 'when']),
            fault: `planRules[${always}] has no conditions, so every token meets it: ${always + 1 === last ? `planRules[${last}] chooses` : `planRules[${always + 1}] to [${last}] choose`} nothing.`,
            mend: 'Put it last, or give it conditions.',
          },
        ];
  const unreachable = rules
    .slice(0, always === -1 ? undefined : always + 1)
    .flatMap((rule, index): Finding[] => {
      const earlier = rules.slice(0, index).findIndex((candidate) => covers(candidate, rule));
      if (earlier === -1) return [];
      return [
        {
          severity: 'warning',
          code: 'rule-unreachable',
          place: loaded.placeOf([...path, 'planRules', index]),
          fault: `planRules[${index}] chooses nothing: every token that meets it meets planRules[${earlier}] before.`,
          mend: 'Put it before the other one, or remove it.',
        },
      ];
    });
  return [...catchAlls, ...unreachable];
}

function covers(wide: PlanRule, narrow: PlanRule): boolean {
  return wide.conditions.every((condition) => narrow.conditions.some((other) => includes(condition, other)));
}

function includes(wide: Condition, narrow: Condition): boolean {
  const isWithin = (pattern: string) => wide.patterns.some((other) => matchesRun(other, pattern));
  return wide.name === narrow.name && narrow.patterns.every(isWithin);
}
