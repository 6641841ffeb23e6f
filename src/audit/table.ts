/** Decisions for people: a table, and all that is known of one. Everything from outside is escaped. */
import { escapeText, excerpt } from '../platform/escape.ts';
import { shellWords } from '../platform/quoting.ts';
import { type ReasonText, reasonTexts } from '../reason-texts.ts';
import { type LoggedDecision, repositoryOf } from './decision.ts';
import { LONGEST_LIFETIME } from './selection.ts';
import { clockOf, dateOf, type Zone, zoneOf } from './times.ts';

interface Column {
  readonly title: string;
  /** Escaped. */
  readonly text: (decision: LoggedDecision, zone: Zone) => string;
  /** It is not made narrower than this. */
  readonly least: number;
  /** Its width where rows are printed as they come; it may be made narrower. */
  readonly usual: number;
  readonly isIdentifier?: boolean;
}

const columns = {
  time: { title: 'TIME', text: ({ time }, zone) => clockOf(time, zone), least: 8, usual: 8 },
  outcome: { title: 'OUTCOME', text: ({ outcome }) => outcome, least: 7, usual: 7 },
  who: { title: 'WHO', text: (decision) => shown(whoOf(decision)), least: 8, usual: 24 },
  license: { title: 'LICENCE', text: ({ license }) => shown(license), least: 7, usual: 16 },
  plan: { title: 'PLAN', text: ({ plan }) => shown(plan), least: 5, usual: 12 },
  access: { title: 'ASKED -> GRANTED', text: (decision) => shown(accessOf(decision)), least: 12, usual: 60 },
  reason: { title: 'REASON', text: ({ reason }) => shown(reason), least: 8, usual: 21 },
  requestId: {
    title: 'REQUEST ID',
    text: ({ requestId }) => shown(requestId),
    least: 10,
    usual: 36,
    isIdentifier: true,
  },
  jti: { title: 'TOKEN (jti)', text: ({ jti }) => shown(jti), least: 12, usual: 36 },
  until: { title: 'GOOD UNTIL', text: (decision, zone) => untilOf(decision, zone), least: 10, usual: 19 },
} as const satisfies Record<string, Column>;

const { time, outcome, who, license, plan, access, reason, requestId, jti, until } = columns;
export const decisionColumns: readonly Column[] = [
  time,
  outcome,
  who,
  license,
  plan,
  access,
  reason,
  requestId,
];
/** For tokens that are still good. */
export const tokenColumns: readonly Column[] = [time, until, who, license, plan, access, jti];

const GAP = '  ';
const NOTHING = '-';

export interface TableOptions {
  readonly columns: readonly Column[];
  /** Characters of a line; null for as many as there are. */
  readonly width: number | null;
  readonly zone: Zone;
  /** By whose texts columns are made wide; null where rows are printed as they come. */
  readonly sample: readonly LoggedDecision[] | null;
}

/** Rows under a head. A line with the date comes before the first row of each day. */
export class Table {
  readonly #options: TableOptions;
  readonly #widths: readonly number[];
  #date = '';

  constructor(options: TableOptions) {
    this.#options = { ...options, columns: usedColumns(options) };
    this.#widths = fitWidths(this.#options);
  }

  head(): string {
    return this.#line(this.#options.columns.map(({ title }) => title));
  }

  row(decision: LoggedDecision): string {
    const { columns, zone } = this.#options;
    const date = dateOf(decision.time, zone);
    const isNewDay = date !== this.#date;
    this.#date = date;
    const row = this.#line(columns.map(({ text }) => text(decision, zone)));
    return isNewDay ? `${date} (${zoneOf(decision.time, zone)})\n${row}` : row;
  }

  #line(texts: readonly string[]): string {
    const cells = texts.map((text, index) => fit(text, this.#widths[index] ?? 0));
    return `${cells.join(GAP).trimEnd()}\n`;
  }
}

/** Those of which at least one row has something. */
function usedColumns({ columns, zone, sample }: TableOptions): readonly Column[] {
  if (sample === null) return columns;
  return columns.filter(({ text }) => sample.some((one) => text(one, zone) !== NOTHING));
}

function fitWidths({ columns, width, zone, sample }: TableOptions): readonly number[] {
  const widths = columns.map(({ title, text, usual }) =>
    sample === null
      ? usual
      : Math.max(title.length, ...sample.map((one) => Bun.stringWidth(text(one, zone)))),
  );
  if (width === null) return widths;
  let excess = widths.reduce((sum, one) => sum + one, 0) + GAP.length * (widths.length - 1) - width;
  while (excess > 0) {
    // The one that has most to give becomes narrower by one; identifiers first, whose beginning is enough.
    const rooms = columns.map(({ least }, index) => (widths[index] ?? 0) - least);
    const ofIdentifiers = rooms.map((room, index) => (columns[index]?.isIdentifier === true ? room : 0));
    const room = Math.max(...ofIdentifiers) > 0 ? ofIdentifiers : rooms;
    const most = Math.max(...room);
    if (most <= 0) break;
    const index = room.indexOf(most);
    widths[index] = (widths[index] ?? 0) - 1;
    excess -= 1;
  }
  return widths;
}

/** Cut with an ellipsis, or filled with blanks. */
function fit(text: string, width: number): string {
  const own = Bun.stringWidth(text);
  if (own <= width) return text + ' '.repeat(width - own);
  let cut = '';
  let length = 0;
  for (const character of text) {
    const next = Bun.stringWidth(character);
    if (length + next > width - 1) break;
    cut += character;
    length += next;
  }
  return `${cut}…${' '.repeat(Math.max(0, width - 1 - length))}`;
}

function shown(text: string | null): string {
  return text === null || text === '' ? NOTHING : escapeText(text);
}

/** The subject, and the client where it is another. */
export function whoOf({ subject, clientId, outcome }: LoggedDecision): string | null {
  if (subject === null) return outcome === 'issued' ? ANONYMOUS : clientId;
  return clientId === null || clientId === subject ? subject : `${subject} (${clientId})`;
}

const ANONYMOUS = 'anonymous';

/** What was asked, and what was granted where that is something else. */
export function accessOf({ asked, granted, outcome }: LoggedDecision): string | null {
  const [ask, grant] = [scopesOf(asked), scopesOf(granted)];
  if (outcome !== 'issued' || ask === grant) return ask;
  return `${ask === '' ? 'nothing' : ask} -> ${grant === '' ? 'nothing' : grant}`;
}

/** Scopes without the type, where that is a repository. */
function scopesOf(scopes: readonly string[]): string {
  return scopes
    .map((scope) => {
      const name = repositoryOf(scope);
      return name === null || name === '' ? scope : scope.slice(scope.indexOf(':') + 1);
    })
    .join(' ');
}

function untilOf({ exp, time }: LoggedDecision, zone: Zone): string {
  if (exp !== null) return clockOf(exp * 1000, zone);
  return `at most ${clockOf(time + LONGEST_LIFETIME * 1000, zone)}`;
}

/** What the reason means and what to do; null for an issued token. */
export function reasonTextOf({ reason }: Pick<LoggedDecision, 'reason'>): ReasonText | null {
  return reason !== null && Object.hasOwn(reasonTexts, reason)
    ? reasonTexts[reason as keyof typeof reasonTexts]
    : null;
}

/** All that is known of a decision, why it was made and what to do. */
export function explainDecision(decision: LoggedDecision, zone: Zone): string {
  const { outcome, reason, claims, asked, granted, patterns, plan, rule, generation } = decision;
  const text = reasonTextOf(decision);
  const fact = (name: string, value: string | null) =>
    value === null || value === '' ? [] : [[name, value]];
  const client = decision.clientId === null ? '' : `, client ${decision.clientId}`;
  const authority = decision.authority === null ? '' : `, Authority ${decision.authority}`;
  const nobody = outcome === 'issued' ? ANONYMOUS : 'not known: no OpTok was verified';
  const facts = [
    ...fact('who', decision.subject === null ? nobody : `${decision.subject}${client}${authority}`),
    ...fact('address', decision.address),
    ...fact('licence', decision.license),
    ...fact('plan', plan === null ? null : `${plan}${rule === null ? '' : `, chosen by ${rule}`}`),
    ...fact(
      'claims',
      claims === null
        ? null
        : Object.entries(claims)
            .map(([name, value]) => `${name}=${value}`)
            .join(' '),
    ),
    ...fact('service', decision.service),
    ...fact('asked', asked.length === 0 ? 'nothing' : asked.join(' ')),
    ...fact('granted', outcome === 'issued' ? (granted.length === 0 ? 'nothing' : granted.join(' ')) : null),
    ...fact('by', patterns.join(' ')),
    ...fact('token', decision.jti === null ? null : `${decision.jti}, good until ${untilOf(decision, zone)}`),
    ...fact('why', decision.detail),
    ...fact('fault', decision.fault),
    ...fact('meaning', text?.meaning ?? null),
    ...fact('what to do', text?.mend ?? null),
    ...fact('try', reason === 'plan-denied' ? explainCommand(decision) : null),
    ...fact('OpTok jti', decision.opTokJti),
    ...fact('request ID', decision.requestId),
    ...fact('generation', generation === null ? null : `${generation} of the configuration`),
  ];
  const at = `${dateOf(decision.time, zone)} ${clockOf(decision.time, zone)} ${zoneOf(decision.time, zone)}`;
  const title = [at, outcome, ...(reason === null ? [] : [escapeText(reason)])].join(GAP);
  const lines = facts.map(([name = '', value = '']) => `  ${name.padEnd(11)}${excerpt(value, MAX_VALUE)}`);
  return `${[title, ...lines].join('\n')}\n`;
}

const MAX_VALUE = 4000;

/** The command that finds the rule that came nearest. */
function explainCommand({ plan, authority, claims, asked }: LoggedDecision): string | null {
  if (plan === null) return null;
  const given = Object.entries(claims ?? {}).flatMap(([name, value]) => ['--claim', `${name}=${value}`]);
  const from = authority === null || authority === 'default' ? [] : ['--authority', authority];
  const scopes = asked.filter((scope) => /^\S+$/.test(scope));
  return shellWords(['registry-token', 'explain', '--plan', plan, ...from, ...given, ...scopes]);
}
