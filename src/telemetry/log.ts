/** The log: one line for each event, as JSON or for a terminal. Callers name the fields one by one. */
import type { ChoiceReason } from '../authorize/plan-choice.ts';
import { escapeText, excerpt } from '../platform/escape.ts';
import type { Reason } from '../refusal.ts';
import { formatScope, type ResourceActions, summarizeScopes } from '../request/resource-scope.ts';
import type { Decision } from '../service.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface Log {
  readonly debug: (message: string, fields?: LogFields) => void;
  readonly info: (message: string, fields?: LogFields) => void;
  readonly warn: (message: string, fields?: LogFields) => void;
  readonly error: (message: string, fields?: LogFields) => void;
}

/** Named one by one: other objects (an error, a request) may hold more than they show. */
export type LogFields = Readonly<
  Record<string, string | number | boolean | null | readonly string[] | Readonly<Record<string, string>>>
>;

/** sd-daemon(3): the priority at the beginning of a line, as the journal reads it. */
const priorities: Readonly<Record<LogLevel, string>> = {
  debug: '<7>',
  info: '<6>',
  warn: '<4>',
  error: '<3>',
};

const ranks: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/**
 * Writes lines of at least `level` through `write`; `flush` is called after a warning or an error: it must not wait.
 * For the journal each line begins with its priority.
 */
export function createLog(
  level: LogLevel,
  format: 'json' | 'pretty',
  write: (line: string) => void,
  flush: () => void = () => {},
  isForJournal = false,
): Log {
  const render = format === 'json' ? jsonLine : prettyLine;
  const at = (name: LogLevel) => {
    if (ranks[name] < ranks[level]) return () => {};
    const priority = isForJournal ? priorities[name] : '';
    const isUrgent = name === 'warn' || name === 'error';
    return (message: string, fields: LogFields = {}) => {
      write(priority + render(name, new Date().toISOString(), message, fields));
      if (isUrgent) flush();
    };
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function jsonLine(level: LogLevel, time: string, message: string, fields: LogFields): string {
  const line = { level, time, ...fields, message };
  const json = JSON.stringify(line);
  return `${isOrdinary(json) ? json : escapeText(JSON.stringify(line, wellFormed))}\n`;
}

/** As nearly all lines are: nothing but ASCII, and no escape of a surrogate. */
function isOrdinary(json: string): boolean {
  return !/[^ -~]/.test(json) && !json.includes('\\ud');
}

/** A lone surrogate, escaped, is JSON that jq and others refuse: they would stop at the line of whoever has one in a claim. */
function wellFormed(_: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed() : value;
}

/** `12:03:59 info  message key=value`. */
function prettyLine(level: LogLevel, time: string, message: string, fields: LogFields): string {
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${prettyValue(value)}`);
  return `${[time.slice(11, 19), level.padEnd(5), message, ...shown].join(' ')}\n`;
}

/** A single word as it is, anything else as JSON; control characters are escaped. */
function prettyValue(value: unknown): string {
  const isWord = typeof value === 'string' && /^[^\s"]+$/.test(value);
  const text = isWord ? value : JSON.stringify(value);
  return escapeText(text);
}

/**
 * The one line of a decision: who asked for what, from where, and the outcome. A new field goes to `DecisionFields` and to
 * the table in etc/README.md.
 */
export function logDecision(log: Log, decision: Decision): void {
  const { refusal, fault } = decision;
  const fields = fieldsOf(decision);
  if (refusal === null) log.info('issued', fields);
  else if (refusal.reason === 'internal')
    log.error('failed', bounded({ ...fields, fault: nameFault(fault) }));
  else log.info('refused', bounded(fields));
}

/** What a decision's line has beside time, level and message, in this order. Null where it is not known or does not apply. */
export type DecisionFields = {
  readonly subject: string | null;
  /** By its name in the configuration. */
  readonly authority: string | null;
  readonly clientId: string | null;
  readonly opTokJti: string | null;
  /** Of a refusal also one that is not in the catalogue. */
  readonly plan: string | null;
  /** Several are joined by commas. */
  readonly license: string | null;
  /** Those of `claims.named`, and those that patterns asked for. */
  readonly claims: Readonly<Record<string, string>> | null;
  /** What chose the plan: `planRules[2]`, `claim` or `default`. */
  readonly rule: string | null;
  readonly service: string | null;
  readonly asked: readonly string[];
  readonly granted: readonly string[];
  /** Those that allowed what was granted. */
  readonly patterns: readonly string[];
  readonly reason: Reason | null;
  readonly detail: string | null;
  readonly address: string;
  /** Of the registry token; its `exp` is in epoch seconds. */
  readonly jti: string | null;
  readonly exp: number | null;
  readonly requestId: string;
  readonly generation: number;
  readonly durationMs: number;
};

function fieldsOf(decision: Decision): DecisionFields {
  const { request, caller, entitlement, claimed, grant, issued, refusal } = decision;
  const holder = caller?.kind === 'verified' ? caller : null;
  const known = entitlement ?? claimed;
  return {
    subject: holder?.subject ?? null,
    authority: holder?.authority ?? null,
    clientId: holder?.clientId ?? null,
    opTokJti: holder?.opTokJti ?? null,
    plan: entitlement?.plan.name ?? claimed?.plan ?? null,
    license: known?.license ?? null,
    claims: known?.claims.shown() ?? null,
    rule: ruleName(known?.chosenBy ?? null),
    service: request?.service ?? null,
    asked:
      refusal === null ? scopes(request?.access) : summarizeScopes(request?.access ?? [], MAX_ASKED_LENGTH),
    granted: scopes(issued?.access),
    patterns: issued === null ? [] : (grant?.patterns ?? []),
    reason: refusal?.reason ?? null,
    detail: refusal?.detail ?? null,
    address: decision.address,
    jti: issued?.jti ?? null,
    exp: issued === null ? null : issued.issuedAt + issued.lifetime,
    requestId: decision.requestId,
    generation: decision.generation,
    durationMs: Math.round(decision.durationMs * 1000) / 1000,
  };
}

/** What chose the plan: `planRules[2]`, `claim` or `default`. */
function ruleName(by: ChoiceReason | null): string | null {
  return by !== null && typeof by === 'object' ? `planRules[${by.rule}]` : by;
}

function scopes(access: readonly ResourceActions[] = []): string[] {
  return access.map(formatScope);
}

/** A refusal's line has at most 8 KiB, whatever was sent: what was asked for, its detail, and each other text. */
const MAX_ASKED_LENGTH = 1500;
const MAX_DETAIL_LENGTH = 800;
const MAX_TEXT_LENGTH = 200;

function bounded(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      const most = name === 'detail' ? MAX_DETAIL_LENGTH : MAX_TEXT_LENGTH;
      return [name, typeof value === 'string' && value.length > most ? excerpt(value, most) : value];
    }),
  );
}

const WARNING_SECONDS = 60;

/**
 * Warns, once a minute at most, of what a trusted proxy wrote where a client's address belongs: such a request counts
 * as the proxy's own. `clock` in epoch seconds.
 */
export function warnOfUnreadableAddresses(
  log: Log,
  header: string,
  clock: () => number,
): (decision: Decision) => void {
  let lastWarning = Number.NEGATIVE_INFINITY;
  return ({ unreadableAddress, address }) => {
    if (unreadableAddress === null) return;
    const now = clock();
    // A clock that was set back warns too soon rather than never.
    if (Math.abs(now - lastWarning) < WARNING_SECONDS) return;
    lastWarning = now;
    log.warn("a trusted proxy's header does not hold the client's address", {
      header,
      value: excerpt(unreadableAddress, 100),
      proxy: address,
    });
  };
}

/** Name and place of an unexpected error; its message may hold what no log may. */
export function nameFault(fault: unknown): string {
  if (!(fault instanceof Error)) return typeof fault;
  const place = /^\s*at .*$/m.exec(fault.stack ?? '')?.[0].trim();
  return place === undefined ? fault.name : `${fault.name} ${place}`;
}

export interface LineBatch {
  readonly write: (line: string) => void;
  /** Writes what is left: at the end, and before anything else is written to the same place. */
  readonly flush: () => void;
}

const MAX_LENGTH = 64 * 1024;

/** Lines of one turn of the event loop are written together at its end, or earlier beyond 64 KiB: a write costs more than a line. */
export function createLineBatch(write: (lines: string) => void): LineBatch {
  let waiting = '';
  let turn: ReturnType<typeof setImmediate> | null = null;
  const flush = () => {
    if (turn !== null) clearImmediate(turn);
    turn = null;
    if (waiting === '') return;
    const lines = waiting;
    waiting = '';
    write(lines);
  };
  return {
    flush,
    write: (line) => {
      waiting += line;
      if (waiting.length >= MAX_LENGTH) flush();
      else turn ??= setImmediate(flush);
    },
  };
}
