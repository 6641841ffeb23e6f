/** Plans: patterns that match nothing, rules that add nothing, and settings that let too many in. */
import { isIPv6 } from 'node:net';
import { type Segment, splitPattern } from '../authorize/pattern.ts';
import type { Plan, Policy } from '../authorize/policy.ts';
import { allows, type Rule } from '../authorize/rules.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { isSecureUrl } from '../platform/loopback.ts';
import { isResourceName } from '../request/resource-scope.ts';
import type { Finding } from './finding.ts';

/** docker, podman and others assume that a token lives at least this long, in seconds, whatever it says. */
const ASSUMED_LIFETIME = 60;
/** What the distribution specification has, and `*`. */
const KNOWN_ACTIONS: ReadonlySet<string> = new Set(['pull', 'push', 'delete', '*']);
/** Rules are compared with each other in plans of at most this many. */
const COMPARED = 200;

export function findPolicyFaults(loaded: LoadedConfiguration, policy: Policy): Finding[] {
  const { realm, allowedServices = [] } = loaded.configuration.registry;
  const hosts = new Set([...realm.map((url) => new URL(url).hostname), ...allowedServices]);
  return [
    ...findLifetimes(loaded),
    ...[...policy.plans.values()].flatMap((plan) => findRuleFaults(loaded, plan, hosts)),
    ...findWideOpen(loaded),
    ...findWideProxies(loaded),
  ];
}

function findLifetimes(loaded: LoadedConfiguration): Finding[] {
  const { signing, plans } = loaded.configuration;
  const lifetimes: [string[], number | undefined][] = [
    [['signing', 'lifetime'], signing.lifetime],
    ...[...plans].map(([name, plan]): [string[], number | undefined] => [
      ['plans', name, 'lifetime'],
      plan.lifetime,
    ]),
  ];
  return lifetimes
    .filter(([, lifetime]) => lifetime !== undefined && lifetime < ASSUMED_LIFETIME)
    .map(([path, lifetime]) => ({
      severity: 'warning',
      code: 'lifetime-short',
      place: loaded.placeOf(path),
      fault: `A lifetime of ${lifetime} s: docker and podman assume that every token lives at least ${ASSUMED_LIFETIME} s, and use it after it has expired.`,
      mend: `Set ${ASSUMED_LIFETIME}s or more.`,
    }));
}

interface SplitRule extends Rule {
  readonly segments: readonly Segment[];
}

function findRuleFaults(loaded: LoadedConfiguration, plan: Plan, hosts: ReadonlySet<string>): Finding[] {
  const findings: Finding[] = [];
  const place = (index: number) => loaded.placeOf(['plans', plan.name, 'repositories', index, 'pattern']);
  const rules = plan.rules.map((rule) => ({ ...rule, segments: splitPattern(rule.pattern) }));
  const compared = rules.slice(0, COMPARED);
  for (const [index, rule] of rules.entries()) {
    const { pattern } = rule;
    if (!canMatch(rule)) {
      const fault = `No repository name can match ${pattern}: components are lower-case letters, digits and single separators.`;
      findings.push({
        severity: 'warning',
        code: 'pattern-unmatchable',
        place: place(index),
        fault,
        mend: 'Correct or remove it.',
      });
    }
    const host = hostIn(pattern, hosts);
    if (host !== null)
      findings.push({
        severity: 'warning',
        code: 'pattern-host',
        place: place(index),
        fault: `${pattern} begins with the host name ${host}: clients ask for repositories without the registry's host, so it matches none of them.`,
        mend: `Write ${pattern.slice(host.length + 1)}`,
      });
    const unknown = [...rule.actions].filter((action) => !KNOWN_ACTIONS.has(action));
    if (unknown.length > 0)
      findings.push({
        severity: 'warning',
        code: 'action-unknown',
        place: loaded.placeOf(['plans', plan.name, 'repositories', index, 'actions']),
        fault: `No registry knows the action ${unknown.join(', ')}: it allows nothing.`,
        mend: `Actions are ${[...KNOWN_ACTIONS].join(', ')}.`,
      });
    if (index >= COMPARED) continue;
    const other = compared.findIndex(
      (candidate, at) => at !== index && makesRedundant(candidate, rule, at < index),
    );
    if (other !== -1) {
      const fault = `${pattern} adds nothing: ${rules[other]?.pattern} (${place(other)}) allows all of it.`;
      findings.push({
        severity: 'note',
        code: 'rule-redundant',
        place: place(index),
        fault,
        mend: 'Remove it.',
      });
    }
  }
  return findings;
}

/**
 * The first segment where it is a host: one with a port, localhost, or the host of a realm or a service. A name may have
 * dots in it, so that `x.y/app` is a repository like any other.
 */
function hostIn(source: string, hosts: ReadonlySet<string>): string | null {
  const [first = '', ...rest] = source.split('/');
  if (rest.length === 0) return null;
  const isHost =
    /^[^{}*]+:\d+$/.test(first) || first === 'localhost' || (first.includes('.') && hosts.has(first));
  return isHost ? first : null;
}

/** True where some name of the grammar fits: the pattern with its wildcards and claims filled by a letter. */
function canMatch({ segments }: SplitRule): boolean {
  return isResourceName(segments.map(exampleOf).join('/'));
}

function exampleOf(segment: Segment): string {
  if (segment === '**') return 'a';
  return segment.map((piece) => (piece === '*' ? 'a' : 'text' in piece ? piece.text : 'a')).join('');
}

/** True where every name and action of `rule` is also one of `other`. Of two that allow the same, the first stays. */
function makesRedundant(other: SplitRule, rule: SplitRule, isEarlier: boolean): boolean {
  return includes(other, rule) && (isEarlier || !includes(rule, other));
}

function includes(wide: SplitRule, narrow: SplitRule): boolean {
  const everyAction = narrow.actions.every((action) => allows(wide, action));
  return everyAction && covers(wide.segments, narrow.segments);
}

/** Whether the wide pattern matches whatever the narrow one does. A `*` of the narrow one is only met by a `*`. */
function covers(wide: readonly Segment[], narrow: readonly Segment[]): boolean {
  const [first, ...rest] = wide;
  if (first === undefined) return narrow.length === 0;
  const [head, ...tail] = narrow;
  if (head === undefined) return false;
  if (first === '**') return covers(rest, tail) || covers(wide, tail);
  return head !== '**' && coversSegment(first, head) && covers(rest, tail);
}

function coversSegment(wide: Exclude<Segment, '**'>, narrow: Exclude<Segment, '**'>): boolean {
  // A path may hold slashes, which no `*` matches.
  if (narrow.some((piece) => piece !== '*' && 'reference' in piece && piece.reference.startsWith('path:')))
    return symbols(wide) === symbols(narrow);
  return matchesGlob(symbols(wide).split('\u0000'), symbols(narrow).replaceAll('\u0000', '\u0001'));
}

/** The segment as text in which a `*` is one character that no name has, and a claim a word that no name has. */
function symbols(segment: Exclude<Segment, '**'>): string {
  return segment
    .map((piece) =>
      piece === '*' ? '\u0000' : 'text' in piece ? piece.text : `\u0002${piece.reference}\u0002`,
    )
    .join('');
}

/** True where the text starts with the first literal, ends with the last, and has the others in between in order. */
function matchesGlob(literals: readonly string[], text: string): boolean {
  const first = literals[0] ?? '';
  if (literals.length === 1) return text === first;
  const last = literals[literals.length - 1] ?? '';
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last))
    return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const literal of literals.slice(1, -1)) {
    const found = text.indexOf(literal, at);
    if (found === -1 || found + literal.length > end) return false;
    at = found + literal.length;
  }
  return true;
}

function findWideOpen(loaded: LoadedConfiguration): Finding[] {
  const { anonymousPlan, registry } = loaded.configuration;
  const findings: Finding[] = [];
  const add = (severity: Finding['severity'], code: string, path: string[], fault: string, mend: string) =>
    findings.push({ severity, code, place: loaded.placeOf(path), fault, mend });
  if (anonymousPlan !== undefined)
    add(
      'warning',
      'anonymous',
      ['anonymousPlan'],
      `Requests without credentials may pull what the plan ${anonymousPlan} allows.`,
      'Remove anonymousPlan if that is not intended.',
    );
  if (registry.allowedServices === undefined)
    add(
      'note',
      'any-service',
      ['registry'],
      'Without registry.allowedServices, tokens are issued for any service that is asked for.',
      "Name the registry's auth.token.service.",
    );
  for (const [index, realm] of registry.realm.entries()) {
    if (!isSecureUrl(URL.parse(realm)))
      add(
        'warning',
        'realm-plain-http',
        ['registry', 'realm', String(index)],
        `OpToks and registry tokens are sent in plain text to ${realm}.`,
        'Use https.',
      );
  }
  return findings;
}

/** Networks wider than these contain more machines than just proxies. */
const WIDEST_IPV4 = 8;
const WIDEST_IPV6 = 16;

function findWideProxies(loaded: LoadedConfiguration): Finding[] {
  return loaded.configuration.server.trustedProxies.flatMap(({ address, prefix }, index): Finding[] => {
    // ::ffff:0:0/96 is all of IPv4.
    const isMapped = isIPv6(address) && prefix >= 96 && /^::ffff:/i.test(address);
    const bits = isMapped ? prefix - 96 : prefix;
    if (bits >= (isIPv6(address) && !isMapped ? WIDEST_IPV6 : WIDEST_IPV4)) return [];
    const place = loaded.placeOf(['server', 'trustedProxies', index]);
    const mend = "List the proxy's own address.";
    return [
      bits === 0
        ? {
            severity: 'error',
            code: 'trusts-everybody',
            place,
            fault: `${address}/${prefix} makes every address a trusted proxy: anyone can claim any certificate.`,
            mend,
          }
        : {
            severity: 'warning',
            code: 'trusts-wide-network',
            place,
            fault: `${address}/${prefix} is a wide network to trust: every machine in it can claim any certificate and any address.`,
            mend,
          },
    ];
  });
}
