/** `log`: decisions from the audit file or the journal. */
import { existsSync } from 'node:fs';
import type { LoggedDecision } from '../audit/decision.ts';
import type { Match } from '../audit/lines.ts';
import { followMatches, newSearch, type Search, searchSources } from '../audit/search.ts';
import { createMatcher, everything, type SelectableField, type Selection } from '../audit/selection.ts';
import {
  auditFiles,
  fileSource,
  journalSource,
  type Source,
  SourceFault,
  streamSource,
} from '../audit/sources.ts';
import { decisionColumns, explainDecision, Table, tokenColumns } from '../audit/table.ts';
import { clockOf, dateOf, parseTime, timeForms, type Zone, zoneOf } from '../audit/times.ts';
import { findPatternFault } from '../authorize/pattern.ts';
import { findConfigurationFile, readLogging } from '../config/load.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { escapeLines, escapeText } from '../platform/escape.ts';
import { reasons } from '../refusal.ts';
import { type Command, type CommandContext, CommandFailure, readWords, UsageError } from './command.ts';

const options = {
  config: { type: 'string' },
  file: { type: 'string', multiple: true },
  unit: { type: 'string' },
  since: { type: 'string' },
  until: { type: 'string' },
  denied: { type: 'boolean' },
  issued: { type: 'boolean' },
  subject: { type: 'string' },
  license: { type: 'string' },
  repository: { type: 'string' },
  reason: { type: 'string' },
  'request-id': { type: 'string' },
  plan: { type: 'string' },
  authority: { type: 'string' },
  'client-id': { type: 'string' },
  address: { type: 'string' },
  jti: { type: 'string' },
  'tokens-of': { type: 'string' },
  last: { type: 'string' },
  follow: { type: 'boolean' },
  explain: { type: 'boolean' },
  json: { type: 'boolean' },
  wide: { type: 'boolean' },
  utc: { type: 'boolean' },
} as const;

type Values = ReturnType<typeof readWords<typeof options>>['values'];

const UNIT = 'registry-token';
const DEFAULT_LAST = 1000;
const DEFAULT_LAST_FOLLOWED = 10;
const MOST_LAST = 100_000;

export const log: Command = {
  name: 'log',
  summary: 'shows who was issued or refused which tokens, and why',
  help: `Usage: registry-token log [--config FILE | --file FILE… | --unit UNIT] [options]

Shows decisions from the audit file and its rotated files (logging.auditPath); without an audit file, from the systemd
journal of ${UNIT}. gzip and zstd are decompressed. The table shows the last ${DEFAULT_LAST} decisions. A single decision is
shown with everything known about it, why it was made and what to do.

  --since T         only decisions since then: a duration before now (90s, 30m, 1h, 2d), today, yesterday,
                    14:30, 2026-11-29, or 2026-11-29T14:30:00 with or without Z or +01:00.
                    Without a zone it is the local time of this machine, as in the table
  --until T         only decisions before then
  --utc             times without a zone are UTC, in the table too
  --denied          only refusals
  --issued          only tokens
  --subject S       only this subject
  --client-id C     only this client
  --license L       only callers with this licence
  --plan P          only this plan
  --authority A     only OpToks of this Authority
  --reason R        only refusals for this reason
  --repository R    only requests for this repository; a pattern as in plans: team/*, team/**
  --address IP      only requests from there
  --request-id ID   only this request, as X-Request-ID or a client's message has it; 8 characters are enough
  --jti J           only the registry token with this jti
  --tokens-of L     tokens issued for the licence L that are still good, and until when: after a revocation
  --follow          keeps running and shows each new decision
  --last N          shows the last N instead of ${DEFAULT_LAST} (with --follow but no --since: ${DEFAULT_LAST_FOLLOWED})
  --explain         shows everything known about each decision
  --json            prints the lines as they are; all of them without --last
  --wide            makes columns as wide as their text, as when the output is not a terminal
  --file FILE       reads FILE: plain lines, gzip, zstd, or a journal file; - is standard input.
                    May be repeated or followed by more files
  --unit UNIT       reads the journal of this unit
  --config FILE     the configuration; default as for serve

Exit codes: 0 decisions found or none, 1 something could not be read, 2 usage, 78 the configuration has mistakes.

Examples:
  registry-token log --denied --since 1h
  registry-token log --license LIC-4711 --since yesterday --explain
  registry-token log --tokens-of LIC-4711
`,
  run: async (context) => {
    const { values, positionals } = readWords(context.args, options);
    const now = Date.now();
    const zone: Zone = values.utc ? 'utc' : 'local';
    const selection = selectionOf(values, now);
    const place = placeOf(values, positionals, context);
    const output = outputOf(values, selection, zone, context);
    try {
      return values.follow
        ? await follow(place, selection, output, values)
        : await show(place, selection, output, values, now);
    } catch (cause) {
      if (cause instanceof SourceFault) throw new CommandFailure(cause.message);
      throw cause;
    }
  },
};

const fieldOptions = {
  subject: 'subject',
  'client-id': 'clientId',
  plan: 'plan',
  authority: 'authority',
  reason: 'reason',
  address: 'address',
  jti: 'jti',
} as const satisfies Record<string, SelectableField>;

function selectionOf(values: Values, now: number): Selection {
  const { since, until, denied = false, issued = false, license, repository, reason } = values;
  const tokensOf = values['tokens-of'];
  const requestId = values['request-id'];
  if (denied && issued) throw new UsageError('--denied and --issued cannot be combined');
  if (tokensOf !== undefined && (denied || license !== undefined))
    throw new UsageError(
      '--tokens-of names a licence and shows issued tokens: it cannot be combined with --license or --denied',
    );
  if (reason !== undefined && !reasons.some((known) => known === reason))
    throw new UsageError(`unknown reason ${reason}; the reasons are ${reasons.join(', ')}`);
  if (requestId !== undefined && requestId.length < 8)
    throw new UsageError('--request-id needs 8 characters at least');
  const fault = repository === undefined ? null : patternFault(repository);
  if (fault !== null) throw new UsageError(`--repository ${fault}`);
  const time = (option: 'since' | 'until', text: string | undefined) => {
    if (text === undefined) return null;
    const parsed = parseTime(text, now, values.utc ? 'utc' : 'local');
    if (parsed === null) throw new UsageError(`--${option} must be ${timeForms}, not ${text}`);
    return parsed;
  };
  const from = time('since', since);
  const before = time('until', until);
  if (from !== null && before !== null && from >= before)
    throw new UsageError('--since must be before --until');
  return {
    ...everything,
    since: from ?? (tokensOf === undefined ? null : now - LONGEST_SEARCH_MS),
    until: before,
    outcome: issued || tokensOf !== undefined ? 'issued' : denied ? 'denied' : null,
    fields: Object.entries(fieldOptions).flatMap(([option, field]) => {
      const value = values[option as keyof typeof fieldOptions];
      return value === undefined ? [] : [[field, value] as const];
    }),
    license: license ?? tokensOf ?? null,
    requestId: requestId ?? null,
    repository: repository ?? null,
    validAt: tokensOf === undefined ? null : now / 1000,
  };
}

/** No token lives longer, and a clock may have been wrong. */
const LONGEST_SEARCH_MS = 2 * 3_600_000;

function patternFault(pattern: string): string | null {
  if (pattern.includes('{')) return 'takes no claims: {claim:…} stands for a value that is not known here';
  return findPatternFault(pattern);
}

/** Where decisions are read from. */
type Place =
  | { readonly kind: 'audit'; readonly path: string }
  | { readonly kind: 'files'; readonly paths: readonly string[] }
  | { readonly kind: 'input'; readonly source: Source }
  | { readonly kind: 'journal'; readonly unit: string; readonly level: string | null };

function placeOf(values: Values, positionals: readonly string[], context: CommandContext): Place {
  const { config, file = [], unit } = values;
  if (Number(config !== undefined) + Number(file.length > 0) + Number(unit !== undefined) > 1)
    throw new UsageError('--config, --file and --unit cannot be combined');
  const [stray] = positionals;
  if (stray !== undefined && file.length === 0)
    throw new UsageError(`unexpected argument "${stray}"; a file is named with --file`);
  if (unit !== undefined) {
    if (!/^[\w@.:-]+$/.test(unit)) throw new UsageError(`--unit must be the name of a unit, not ${unit}`);
    return { kind: 'journal', unit, level: null };
  }
  const paths = [...file, ...positionals];
  if (paths.includes('-')) {
    if (paths.length > 1) throw new UsageError('--file - reads standard input alone');
    return { kind: 'input', source: streamSource('standard input', context.openInput) };
  }
  if (paths.length > 0) return { kind: 'files', paths };
  return configuredPlace(config, context);
}

/** Where the packages configure it: read where the configuration cannot be. */
const PACKAGED = '/var/log/registry-token/audit.log';

/** Mistakes in other keys do not matter: somebody may be looking for them. */
function configuredPlace(config: string | undefined, { env, tell }: CommandContext): Place {
  try {
    const { auditPath, level } = readLogging(findConfigurationFile(config, env), env);
    return auditPath === null ? { kind: 'journal', unit: UNIT, level } : { kind: 'audit', path: auditPath };
  } catch (cause) {
    if (!(cause instanceof ConfigurationFault)) throw cause;
    if (config === undefined && existsSync(PACKAGED)) {
      tell(`${escapeLines(cause.message)}\nReading ${PACKAGED}.\n`);
      return { kind: 'audit', path: PACKAGED };
    }
    tell(`Without a configuration: --file ${PACKAGED}, or --unit ${UNIT}\n`);
    throw cause;
  }
}

async function sourcesOf(
  place: Place,
  { since, until }: Selection,
  follow: boolean,
): Promise<readonly Source[]> {
  switch (place.kind) {
    case 'audit':
      return (await auditFiles(place.path, since)).map(fileSource);
    case 'files':
      return place.paths.map(fileSource);
    case 'input':
      return [place.source];
    case 'journal':
      return [journalSource({ unit: place.unit, since, until, follow })];
  }
}

/** How matches are shown. */
interface Output {
  /** Null where all are shown as they come. */
  readonly last: number | null;
  readonly zone: Zone;
  /** Resolves to whether somebody still reads. */
  readonly print: (text: string) => Promise<boolean>;
  readonly tell: (text: string) => void;
  readonly form: 'json' | 'facts' | 'table';
  readonly createTable: (sample: readonly Match[] | null) => Table;
}

function outputOf(
  values: Values,
  { validAt, since }: Selection,
  zone: Zone,
  context: CommandContext,
): Output {
  const { json = false, explain = false, wide = false, last, follow = false } = values;
  if (json && explain) throw new UsageError('--json and --explain cannot be combined');
  if (last !== undefined && (!/^\d{1,6}$/.test(last) || Number(last) < 1 || Number(last) > MOST_LAST))
    throw new UsageError(`--last must be a number from 1 to ${MOST_LAST}, not ${last}`);
  const usual = follow && since === null ? DEFAULT_LAST_FOLLOWED : json && !follow ? null : DEFAULT_LAST;
  const columns = validAt === null ? decisionColumns : tokenColumns;
  const width = wide ? null : context.terminalColumns;
  return {
    last: last === undefined ? usual : Number(last),
    zone,
    print: context.printPart,
    tell: context.tell,
    form: json ? 'json' : explain ? 'facts' : 'table',
    createTable: (sample) =>
      new Table({ columns, width, zone, sample: sample === null ? null : decisionsOf(sample) }),
  };
}

function decisionsOf(matches: readonly Match[]): readonly LoggedDecision[] {
  return matches.flatMap(({ decision }) => decision ?? []);
}

/** The last so many, and how many there were. */
class Newest {
  readonly #most: number;
  readonly #kept: Match[] = [];
  count = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(match: Match): void {
    this.#kept[this.count % this.#most] = match;
    this.count += 1;
  }

  get matches(): readonly Match[] {
    if (this.count <= this.#most) return this.#kept;
    const start = this.count % this.#most;
    return [...this.#kept.slice(start), ...this.#kept.slice(0, start)];
  }
}

async function show(
  place: Place,
  selection: Selection,
  output: Output,
  values: Values,
  now: number,
): Promise<number> {
  const search = newSearch();
  const sources = await sourcesOf(place, selection, false);
  const matcher = createMatcher(selection);
  const newest = output.last === null ? null : new Newest(output.last);
  let count = 0;
  for await (const matches of searchSources(sources, matcher, search)) {
    count += matches.length;
    if (newest === null) {
      if (!(await output.print(matches.map(lineOf).join('')))) return 0;
    } else for (const match of matches) newest.add(match);
  }
  const shown = newest?.matches ?? [];
  if (!(await printAll(shown, output, values['tokens-of'] !== undefined))) return 0;
  if (values['tokens-of'] !== undefined)
    output.tell(tokensSummary(values['tokens-of'], newest, now, output.zone));
  else if (newest !== null && newest.count > shown.length)
    output.tell(
      `The last ${shown.length} of ${newest.count}. --last N shows more; --since, --denied and other options filter.\n`,
    );
  if (count === 0) output.tell(nothingFound(place, sources.length, search, output.zone));
  for (const line of troubles(search, place)) output.tell(`${escapeText(line)}\n`);
  return search.faults.length > 0 ? 1 : 0;
}

/** Resolves to whether somebody still reads. */
async function printAll(matches: readonly Match[], output: Output, isOfTokens: boolean): Promise<boolean> {
  const { form, zone, createTable, print } = output;
  if (matches.length === 0) return true;
  if (form === 'json') return print(matches.map(lineOf).join(''));
  if (form === 'facts' || (matches.length === 1 && !isOfTokens))
    return print(
      decisionsOf(matches)
        .map((decision) => explainDecision(decision, zone))
        .join('\n'),
    );
  const table = createTable(matches);
  return print([table.head(), ...decisionsOf(matches).map((decision) => table.row(decision))].join(''));
}

/** A line for a terminal: JSON of the same value. */
function lineOf({ line }: Match): string {
  return `${escapeText(line.trimEnd())}\n`;
}

/** Without end, unless nobody reads. */
async function follow(place: Place, selection: Selection, output: Output, values: Values): Promise<number> {
  if (values.until !== undefined || values['tokens-of'] !== undefined)
    throw new UsageError('--follow cannot be combined with --until or --tokens-of');
  const matcher = createMatcher(selection);
  const search = newSearch();
  const printer = new LivePrinter(output);
  if (place.kind === 'input' || place.kind === 'journal') {
    const sources = await sourcesOf(place, selection, true);
    for await (const matches of searchSources(sources, matcher, search))
      if (!(await printer.show(matches))) return 0;
    for (const line of troubles(search, place)) output.tell(`${escapeText(line)}\n`);
    return search.faults.length > 0 ? 1 : 0;
  }
  const [path, ...others] = place.kind === 'audit' ? [place.path] : place.paths;
  if (path === undefined || others.length > 0) throw new UsageError('--follow reads one file');
  const newest = new Newest(output.last ?? DEFAULT_LAST);
  if (place.kind === 'audit' && selection.since !== null) {
    const rotated = (await auditFiles(path, selection.since)).filter((file) => file !== path);
    for await (const matches of searchSources(rotated.map(fileSource), matcher, search))
      for (const match of matches) newest.add(match);
  }
  let isCaughtUp = false;
  for await (const matches of followMatches(path, matcher, search)) {
    if (isCaughtUp) {
      if (!(await printer.show(matches ?? []))) return 0;
    } else if (matches !== null) for (const match of matches) newest.add(match);
    else {
      isCaughtUp = true;
      if (!(await printer.show(newest.matches))) return 0;
    }
  }
  return 0;
}

/** Shows matches as they come. */
class LivePrinter {
  readonly #output: Output;
  readonly #table: Table;
  #hasHead = false;

  constructor(output: Output) {
    this.#output = output;
    this.#table = output.createTable(null);
  }

  /** Resolves to whether somebody still reads. */
  async show(matches: readonly Match[]): Promise<boolean> {
    const { form, zone, print } = this.#output;
    if (matches.length === 0) return true;
    if (form === 'json') return print(matches.map(lineOf).join(''));
    if (form === 'facts')
      return print(
        decisionsOf(matches)
          .map((decision) => `${explainDecision(decision, zone)}\n`)
          .join(''),
      );
    const head = this.#hasHead ? '' : this.#table.head();
    this.#hasHead = true;
    return print(
      head +
        decisionsOf(matches)
          .map((decision) => this.#table.row(decision))
          .join(''),
    );
  }
}

function tokensSummary(license: string, newest: Newest | null, now: number, zone: Zone): string {
  const shown = escapeText(license);
  if (newest === null) return '';
  if (newest.count === 0) return `No token of the licence ${shown} is still valid.\n`;
  const ends = decisionsOf(newest.matches).map(({ exp, time }) =>
    exp === null ? time + 3_600_000 : exp * 1000,
  );
  const end = Math.max(...ends);
  const minutes = Math.ceil((end - now) / 60_000);
  const tokens = newest.count === 1 ? '1 token is' : `${newest.count} tokens are`;
  return (
    `${tokens} still valid for the licence ${shown}, the last until ${clockOf(end, zone)} ${zoneOf(end, zone)} (${minutes} min). ` +
    'Registries verify them offline: to end them sooner, replace the signing key in service and registries.\n'
  );
}

/** Says what was looked through. */
function nothingFound(place: Place, files: number, { searched }: Search, zone: Zone): string {
  const where =
    place.kind === 'journal'
      ? `the journal of ${place.unit}`
      : place.kind === 'input'
        ? 'standard input'
        : place.kind === 'audit'
          ? `${place.path}${files > 1 ? ` and ${files - 1} rotated` : ''}`
          : place.paths.join(', ');
  const at = (time: number) => `${dateOf(time, zone)} ${clockOf(time, zone)} ${zoneOf(time, zone)}`;
  const { first, last, lines } = searched;
  const span = first === null || last === null ? '' : `, from ${at(first)} to ${at(last)}`;
  const hint =
    lines === 0 && place.kind === 'journal'
      ? place.level === 'warn' || place.level === 'error'
        ? ` logging.level is ${place.level}: decisions are logged from info on. Set it, or logging.auditPath.`
        : ' Only root and members of adm or systemd-journal can read the journal of a service; --unit names another unit.'
      : '';
  return `${escapeText(`No decision matches. Searched ${lines} lines of ${where}${span}.${hint}`)}\n`;
}

function troubles({ searched: { unreadable, lines }, faults }: Search, place: Place): string[] {
  if (unreadable === 0) return [...faults];
  const lineWord = unreadable === 1 ? 'line is' : 'lines are';
  const why =
    place.kind === 'journal'
      ? unreadable === lines
        ? 'logging.format must be json or auto for this command'
        : 'other messages of the unit'
      : 'half a line after a power cut, or no audit file';
  return [`${unreadable} ${lineWord} no JSON: ${why}.`, ...faults];
}
