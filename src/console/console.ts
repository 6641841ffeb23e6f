/**
 * The console (`telemetry.console`): a page for a person at the telemetry listener, and its data. It reads and changes
 * nothing; whoever may reach the listener may see it. `endpoints.ts` checks the Host field and the method.
 */
import { type DecisionRecord, decisionOf, parseDecision } from '../audit/decision.ts';
import { isMatch } from '../audit/lines.ts';
import type { Matcher } from '../audit/selection.ts';
import type { Policy } from '../authorize/policy.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { DescriptionFault, describedCaller, explainDescribed } from '../explain/description.ts';
import { explanationLines, placeOfPlanRule } from '../explain/lines.ts';
import { escapeLines } from '../platform/escape.ts';
import { Refusal } from '../refusal.ts';
import type { StatusReport } from '../status/report.ts';
import { SCRIPT, STYLE } from './assets.ts';
import type { LastHour } from './last-hour.ts';
import {
  type ClientLine,
  type ExplainedDecision,
  PAGE_SIZE,
  renderPage,
  type ShownDecisions,
  type TryOutResult,
} from './page.ts';
import { matcherOf, parseQuery, type Query, type TryOut } from './query.ts';
import type { RecentDecisions } from './recent-decisions.ts';

export interface ConsoleParts {
  /** Epoch seconds. */
  readonly clock: () => number;
  readonly report: () => Promise<StatusReport>;
  readonly recent: RecentDecisions;
  readonly lastHour: LastHour;
  /** What decides now. */
  readonly inForce: () => InForce;
  readonly registrySample: () => Promise<string>;
  readonly clients: () => readonly ClientLine[];
}

export interface InForce {
  readonly loaded: LoadedConfiguration;
  readonly policy: Policy;
  readonly generation: number;
}

/** Of `/console` and below; null for any other path. */
export type Console = (path: string, request: Request) => Promise<Response | null>;

export function createConsole(parts: ConsoleParts): Console {
  return async (path, request) => {
    if (isFromOtherSite(request.headers))
      return answer('Not for other sites.\n', 'text/plain; charset=utf-8', 403);
    switch (path) {
      case '/console':
        return answer(await pageFor(parseQuery(request.url), parts), 'text/html; charset=utf-8');
      case '/console/data':
        return answer(await dataFor(parseQuery(request.url), parts), 'application/json');
      case '/console/style.css':
        return answer(STYLE, 'text/css; charset=utf-8');
      case '/console/script.js':
        return answer(SCRIPT, 'text/javascript; charset=utf-8');
      default:
        return null;
    }
  };
}

const headers = {
  // No inline script or style, nothing from elsewhere, no frame.
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
} as const;

function answer(body: string, type: string, status = 200): Response {
  return new Response(body, { status, headers: { ...headers, 'Content-Type': type } });
}

/** A page of another site may lead here, and not load anything from here. */
function isFromOtherSite(fields: Headers): boolean {
  const site = fields.get('sec-fetch-site');
  return (site === 'cross-site' || site === 'same-site') && fields.get('sec-fetch-mode') !== 'navigate';
}

async function pageFor(query: Query, parts: ConsoleParts): Promise<string> {
  const inForce = parts.inForce();
  return renderPage({
    query,
    report: await parts.report(),
    minutes: parts.lastHour.minutes(parts.clock()),
    decisions: shownDecisions(query, parts.recent),
    explained: query.id === null ? null : findDecision(query.id, parts.recent, inForce),
    authorities: [...inForce.policy.claimRules.keys()],
    tryOut: query.tryOut === null ? null : tryOut(query.tryOut, inForce),
    registrySample: await parts.registrySample(),
    clients: parts.clients(),
  });
}

/** The same filters; every decision that is in memory, the newest first. */
async function dataFor(
  { filters }: Query,
  { clock, report, recent, lastHour }: ConsoleParts,
): Promise<string> {
  const { matcher, fault } = matcherOf(filters);
  const now = clock();
  const decisions = matcher === null ? [] : [...matching(recent, matcher)].map(decisionOf);
  const document = {
    at: new Date(now * 1000).toISOString(),
    status: await report(),
    minutes: lastHour
      .minutes(now)
      .map(({ at, ...counts }) => ({ at: new Date(at * 1000).toISOString(), ...counts })),
    kept: recent.count,
    fault,
    decisions: decisions.map(({ time, ...fields }) => ({ time: new Date(time).toISOString(), ...fields })),
  };
  return `${escapeLines(JSON.stringify(document, null, 1))}\n`;
}

function* matching(recent: RecentDecisions, matcher: Matcher): Generator<DecisionRecord> {
  for (const line of recent.newest()) {
    const record = parseDecision(line);
    if (record !== null && isMatch(record, matcher)) yield record;
  }
}

function shownDecisions({ filters, from }: Query, recent: RecentDecisions): ShownDecisions {
  const { matcher, fault } = matcherOf(filters);
  const kept = recent.count;
  if (matcher === null) return { kept, shown: [], hasMore: false, fault };
  const found = matching(recent, matcher)
    .drop(from)
    .take(PAGE_SIZE + 1)
    .toArray();
  return {
    kept,
    shown: found.slice(0, PAGE_SIZE).map(decisionOf),
    hasMore: found.length > PAGE_SIZE,
    fault: null,
  };
}

function findDecision(id: string, recent: RecentDecisions, inForce: InForce): ExplainedDecision | null {
  for (const line of recent.newest()) {
    if (!line.includes(JSON.stringify(id))) continue;
    const record = parseDecision(line);
    if (record === null || record.fields.requestId !== id) continue;
    const decision = decisionOf(record);
    return { decision, places: placesOf(decision, inForce) };
  }
  return null;
}

/** Where the rules that decided stand now, if the configuration is still the one that decided. */
function placesOf(
  { generation, plan, authority, rule, patterns }: ReturnType<typeof decisionOf>,
  { loaded, policy, generation: current }: InForce,
): ExplainedDecision['places'] {
  const of = (name: string, place: string) => ({
    rule: name,
    place: generation === current ? place : `of the former generation ${generation ?? 'unknown'}`,
  });
  const number = /^planRules\[(\d+)\]$/.exec(rule ?? '')?.[1];
  const chosen =
    number === undefined || authority === null
      ? []
      : [of(`planRules[${number}]`, placeOfPlanRule(authority, Number(number), loaded))];
  const rules = plan === null ? [] : (policy.plans.get(plan)?.rules ?? []);
  const allowing = patterns.map((pattern) => {
    const index = rules.findIndex((candidate) => candidate.pattern === pattern);
    const path = ['plans', plan ?? '', 'repositories', index, 'pattern'];
    return of(pattern, index === -1 ? 'no longer in the plan' : loaded.placeOf(path));
  });
  return [...chosen, ...allowing];
}

function tryOut(
  { plan, license, authority, claims, scope }: TryOut,
  { loaded, policy }: InForce,
): TryOutResult {
  const given = parseClaims(claims);
  if (given === null)
    return { isGranted: false, lines: ['The claims must be a JSON object, such as {"tid": "acme"}.'] };
  const orNull = (text: string) => (text === '' ? null : text);
  const description = {
    plan: orNull(plan),
    license: orNull(license),
    authority: orNull(authority),
    claims: given,
  };
  try {
    const caller = describedCaller(description, policy);
    const explanation = explainDescribed(caller, [scope.replace(/\s+/g, ' ')], policy, plan !== '');
    return {
      isGranted: 'granted' in explanation.outcome,
      lines: explanationLines(explanation, caller, loaded),
    };
  } catch (cause) {
    if (cause instanceof Refusal) return { isGranted: false, lines: [`${cause.reason}: ${cause.detail}`] };
    if (cause instanceof DescriptionFault) return { isGranted: false, lines: [`${cause.message}.`] };
    throw cause;
  }
}

/** null where it is no JSON object. */
function parseClaims(text: string): readonly (readonly [name: string, value: unknown])[] | null {
  if (text === '') return [];
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value)
      : null;
  } catch {
    return null;
  }
}
