/** The page: what is known of the service at this moment, as one HTML document that needs no script. */
import type { LoggedDecision } from '../audit/decision.ts';
import { accessOf, reasonTextOf, whoOf } from '../audit/table.ts';
import { clockOf, dateOf } from '../audit/times.ts';
import { reasons } from '../refusal.ts';
import type { StatusReport } from '../status/report.ts';
import { countReasons, issuedChart, refusedChart } from './charts.ts';
import { type Content, cut, type Html, html } from './html.ts';
import type { Minute } from './last-hour.ts';
import { type FilterName, type Filters, linkOf, type Query, type TryOut } from './query.ts';

export interface PageData {
  readonly query: Query;
  readonly report: StatusReport;
  readonly minutes: readonly Minute[];
  readonly decisions: ShownDecisions;
  /** The one that `id` names; null where it is not among the last ones. */
  readonly explained: ExplainedDecision | null;
  readonly authorities: readonly string[];
  readonly tryOut: TryOutResult | null;
  readonly registrySample: string;
  readonly clients: readonly ClientLine[];
}

export interface ShownDecisions {
  /** How many are in memory. */
  readonly kept: number;
  /** The newest that match, after those that are passed over. */
  readonly shown: readonly LoggedDecision[];
  readonly hasMore: boolean;
  /** Why the filters cannot be used. */
  readonly fault: string | null;
}

export interface ExplainedDecision {
  readonly decision: LoggedDecision;
  /** Where the rules that decided stand. */
  readonly places: readonly { readonly rule: string; readonly place: string }[];
}

export interface TryOutResult {
  readonly isGranted: boolean;
  readonly lines: readonly string[];
}

export interface ClientLine {
  readonly clients: string;
  readonly served: 'yes' | 'agent';
  readonly how: string;
}

export const PAGE_SIZE = 40;

export function renderPage(data: PageData): string {
  const { report, query } = data;
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${report.state === 'ok' ? 'ok' : report.state}: registry-token</title>
<link rel="stylesheet" href="/console/style.css">
<script src="/console/script.js" defer></script>
</head>
<body>
<a class="skip" href="#parts">To the parts</a>
<header>
<h1>registry-token ${report.version}</h1>
<nav aria-label="Sections"><a href="#parts">Parts</a> <a href="#hour">Last hour</a> <a href="#decisions">Decisions</a> <a href="#try">Try-out</a> <a href="#registry">Registry</a></nav>
<p hidden><label class="row"><input type="checkbox" id="refresh" checked> Refresh every 5 seconds</label> <span id="refreshed" role="status"></span></p>
${query.holdsToken ? html`<p class="error" role="alert"><b>What looks like a token was in the address. It was not read. Never paste one here: remove it from the browser's history.</b></p>` : null}
</header>
<main>
${partsSection(report)}
${hourSection(data)}
${explainedSection(data)}
${decisionsSection(data)}
${tryOutSection(data)}
${registrySection(data)}
</main>
<footer class="soft"><p>This page is read-only. As JSON and for Prometheus: <a href="/status">/status</a>, <a href="${linkOf(query.filters).replace('/console', '/console/data')}">/console/data</a>, <a href="/metrics">/metrics</a>. Times are UTC.</p></footer>
</body>
</html>
`;
  return page.markup;
}

const marks = { ok: '✓ ok', warning: '! warning', error: '✗ error' } as const;

function partsSection({ state, startedAt, at, generation, configuration, parts }: StatusReport): Html {
  const sorted = (['error', 'warning', 'ok'] as const).flatMap((one) =>
    parts.filter((part) => part.state === one),
  );
  return html`<section id="parts" data-live>
<h2>State: <b class="${state}">${marks[state]}</b></h2>
<p class="soft">At ${at}; runs since ${startedAt}; generation ${generation} of ${configuration.loadedAt}, ${configuration.path}</p>
<table class="stack"><thead><tr><th>State</th><th>Part</th><th>State, and the command to run</th></tr></thead><tbody>
${sorted.map(
  (
    part,
  ) => html`<tr><td><b class="${part.state}">${marks[part.state]}</b></td><td>${part.name}</td><td><span>${part.sentence}${part.command === null ? null : html`<br><code>${part.command}</code>`}</span></td></tr>
`,
)}</tbody></table>
</section>`;
}

function hourSection({ minutes, query }: PageData): Html {
  const counted = countReasons(minutes);
  const issued = minutes.reduce((sum, minute) => sum + minute.issued, 0);
  return html`<section id="hour" data-live>
<h2>Last hour</h2>
<div class="charts">
<div><h3>${issued} tokens</h3>${issuedChart(minutes)}</div>
<div><h3>${counted.reduce((sum, { count }) => sum + count, 0)} refusals</h3>${refusedChart(minutes, counted)}</div>
</div>
${
  counted.length === 0
    ? html`<p class="soft">No request was refused.</p>`
    : html`<table><thead><tr><th>Refused for</th><th>Requests</th></tr></thead><tbody>${counted.map(
        ({ reason, count, color }) =>
          html`<tr><td><svg class="swatch" viewBox="0 0 1 1" aria-hidden="true"><path class="r${color}" d="M0 0h1v1h-1z"/></svg> <a href="${linkOf({ ...query.filters, outcome: 'denied', reason }, {}, '#decisions')}">${reason}</a></td><td>${count}</td></tr>`,
      )}</tbody></table>`
}
</section>`;
}

function explainedSection({ explained, query }: PageData): Html | null {
  const close = html`<p><a href="${linkOf(query.filters, {}, '#decisions')}">Close</a></p>`;
  if (query.id === null) return null;
  if (explained === null)
    return html`<section id="why" class="why"><h2>Decision ${cut(query.id, 60)}</h2><p>It is not among the last decisions in memory; registry-token log --request-id finds it.</p>${close}</section>`;
  const { decision, places } = explained;
  const { outcome, claims, asked, granted, exp, generation } = decision;
  const text = reasonTextOf(decision);
  const facts: readonly (readonly [name: string, value: string | null])[] = [
    ['Who', whoOf(decision)],
    ['Authority', decision.authority],
    ['Licence', decision.license],
    [
      'Plan',
      decision.plan === null
        ? null
        : `${decision.plan}${decision.rule === null ? '' : `, chosen by ${decision.rule}`}`,
    ],
    [
      'Claims',
      claims === null
        ? null
        : Object.entries(claims)
            .map(([name, value]) => `${name}=${value}`)
            .join(' '),
    ],
    ['Service', decision.service],
    ['Asked', asked.join('\n') || 'nothing'],
    ['Granted', outcome === 'issued' ? granted.join('\n') || 'nothing' : null],
    ['Decided by', places.map(({ rule, place }) => `${rule} (${place})`).join('\n') || null],
    ['Why', decision.detail],
    ['Fault', decision.fault],
    ['Meaning', text?.meaning ?? null],
    ['What to do', text?.mend ?? null],
    [
      'Token',
      decision.jti === null
        ? null
        : `${decision.jti}${exp === null ? '' : `, good until ${timeOf(exp * 1000)}`}`,
    ],
    ['Address', decision.address],
    ['OpTok jti', decision.opTokJti],
    ['Request ID', decision.requestId],
    ['Generation', generation === null ? null : String(generation)],
  ];
  return html`<section id="why" class="why">
<h2><span class="${outcome}">${outcome}${decision.reason === null ? '' : `: ${decision.reason}`}</span> at ${timeOf(decision.time)}</h2>
<dl>${facts.flatMap(([name, value]) => (value === null ? [] : [html`<dt>${name}</dt><dd>${value}</dd>`]))}</dl>
${decision.plan === null ? null : html`<p><a href="${tryOutLink(decision)}">Try it out</a> with this plan, these claims and scopes: it names the nearest rule and its line.</p>`}
${close}
</section>`;
}

function tryOutLink({ plan, license, authority, claims, asked }: LoggedDecision): string {
  const given = {
    ...(plan === null ? {} : { 'try-plan': plan }),
    ...(license === null ? {} : { 'try-license': license }),
    ...(authority === null ? {} : { 'try-authority': authority }),
    ...(claims === null ? {} : { claims: JSON.stringify(claims) }),
    scope: asked.join(' '),
  };
  return linkOf({}, given, '#try');
}

function decisionsSection({ query, decisions, minutes }: PageData): Html {
  const { kept, shown, hasMore, fault } = decisions;
  const { filters, from } = query;
  const listed = new Set<string>([
    ...countReasons(minutes).map(({ reason }) => reason),
    ...(filters.reason === undefined ? [] : [filters.reason]),
  ]);
  const field = (name: FilterName, label: string) =>
    html`<label>${label}<input name="${name}" value="${filters[name] ?? ''}" autocomplete="off" spellcheck="false"></label>`;
  const option = (value: string, label: string, selected: string | undefined) =>
    selected === value || (selected === undefined && value === '')
      ? html`<option value="${value}" selected>${label}</option>`
      : html`<option value="${value}">${label}</option>`;
  return html`<section id="decisions">
<h2>Decisions</h2>
<form action="/console#decisions" method="get">
<label>Outcome<select name="outcome">${[
    ['', 'all'],
    ['denied', 'refused'],
    ['issued', 'issued'],
  ].map(([value = '', label = '']) => option(value, label, filters.outcome))}</select></label>
${field('subject', 'Subject')}${field('license', 'Licence')}${field('plan', 'Plan')}
<label>Reason<select name="reason">${option('', 'all', filters.reason)}${reasons.filter((reason) => listed.has(reason)).map((reason) => option(reason, reason, filters.reason))}</select></label>
${field('repository', 'Repository or pattern')}${field('address', 'Address')}
<button>Filter</button> <a href="/console#decisions">All</a>
</form>
<div id="list" data-live>
${fault === null ? null : html`<p class="error" role="alert">${fault}</p>`}
<p class="soft">${kept === 0 ? 'No decision yet since the start.' : `The last ${kept} decisions are in memory.`}${kept > 0 && shown.length === 0 && fault === null ? ' None of them matches.' : ''}</p>
${shown.length === 0 ? null : decisionTable(shown, filters)}
<p>${from > 0 ? html`<a href="${linkOf(filters, from > PAGE_SIZE ? { skip: String(from - PAGE_SIZE) } : {}, '#decisions')}">Newer</a> ` : null}${hasMore ? html`<a href="${linkOf(filters, { skip: String(from + PAGE_SIZE) }, '#decisions')}">Older</a>` : null}</p>
</div>
</section>`;
}

function decisionTable(shown: readonly LoggedDecision[], filters: Filters): Html {
  return html`<table class="stack decisions"><thead><tr><th>Time</th><th>Outcome</th><th>Who</th><th>Licence</th><th>Plan</th><th>Asked → granted</th></tr></thead><tbody>
${shown.map(
  (decision) =>
    html`<tr><td><a href="${linkOf(filters, { id: decision.requestId }, '#why')}">${clockOf(decision.time, 'utc')}</a></td><td class="${decision.outcome}">${decision.reason === null ? decision.outcome : cut(decision.reason, 30)}</td>${cell(whoOf(decision))}${cell(decision.license)}${cell(decision.plan)}${cell(accessOf(decision), 90)}</tr>
`,
)}</tbody></table>`;
}

function cell(value: string | null, most = 40): Html {
  return html`<td>${value === null || value === '' ? '–' : cut(value, most)}</td>`;
}

const nothing: TryOut = { plan: '', license: '', authority: '', claims: '', scope: '' };

function tryOutSection({ query, tryOut, authorities }: PageData): Html {
  const asked = query.tryOut ?? nothing;
  const field = (name: string, label: string, value: string): Content =>
    html`<label>${label}<input name="${name}" value="${value}" autocomplete="off" spellcheck="false"></label>`;
  return html`<section id="try">
<h2>Try-out</h2>
<p class="soft">What a caller with this plan, this licence and these claims would be granted, and by which line. Without a plan, planRules and defaultPlan choose it. Never paste a token.</p>
<form action="/console#try" method="get">
${field('try-plan', 'Plan', asked.plan)}${field('try-license', 'Licence', asked.license)}
${authorities.length > 1 || asked.authority !== '' ? field('try-authority', `Authority (${authorities.slice(0, 8).join(', ')})`, asked.authority) : null}
<label class="wide">Claims, as JSON<textarea name="claims" rows="2" placeholder="{&quot;tid&quot;: &quot;acme&quot;}" spellcheck="false">${asked.claims}</textarea></label>
<label class="wide">Scopes<textarea name="scope" rows="2" placeholder="repository:customers/acme/app:pull,push" spellcheck="false">${asked.scope}</textarea></label>
<button>Explain</button>
</form>
${tryOut === null ? null : html`<div role="status"><p><b class="${tryOut.isGranted ? 'ok' : 'error'}">${tryOut.isGranted ? 'A token would be issued.' : 'It would be refused.'}</b></p><pre tabindex="0">${tryOut.lines.join('\n').trim()}</pre></div>`}
</section>`;
}

function registrySection({ registrySample, clients }: PageData): Html {
  return html`<section id="registry">
<h2>What the registry needs</h2>
<pre tabindex="0">${registrySample.trim()}</pre>
<table class="stack"><thead><tr><th>Clients</th><th>How they get a token</th></tr></thead><tbody>
${clients.map(
  (line) => html`<tr><td data-label="Clients">${line.clients}</td><td data-label="How">${line.how}</td></tr>
`,
)}</tbody></table>
</section>`;
}

function timeOf(time: number): string {
  return `${dateOf(time, 'utc')} ${clockOf(time, 'utc')}`;
}
