/**
 * Decisions read back: from the audit file, rotated ones and the journal, for `log` and the console. This folder reads what
 * `telemetry/log.ts` writes, also lines of older versions; it decides nothing and writes nothing.
 */
import type { DecisionFields } from '../telemetry/log.ts';

export type Outcome = 'issued' | 'refused' | 'failed';

/** A decision as its line tells it. What a line does not have, or has of another type, is null or empty. */
export interface LoggedDecision extends Omit<DecisionFields, 'reason' | 'generation' | 'durationMs'> {
  /** Epoch milliseconds. */
  readonly time: number;
  readonly outcome: Outcome;
  readonly reason: string | null;
  readonly fault: string | null;
  readonly generation: number | null;
  readonly durationMs: number | null;
}

/** A line of a decision: outcome, time and request ID are there, nothing else is sure. */
export interface DecisionRecord {
  readonly outcome: Outcome;
  readonly fields: Readonly<Record<string, unknown>> & { readonly time: string; readonly requestId: string };
}

/** Returns null for another event's line. Throws SyntaxError where the line is no JSON. */
export function parseDecision(line: string): DecisionRecord | null {
  const fields: unknown = JSON.parse(line);
  if (typeof fields !== 'object' || fields === null) return null;
  const { message, time, requestId } = fields as Record<string, unknown>;
  if (message !== 'issued' && message !== 'refused' && message !== 'failed') return null;
  if (typeof time !== 'string' || typeof requestId !== 'string') return null;
  return { outcome: message, fields: fields as DecisionRecord['fields'] };
}

/** In epoch milliseconds; 0 where it is no time. */
export function timeOf({ fields: { time } }: DecisionRecord): number {
  return Date.parse(time) || 0;
}

export function decisionOf(decision: DecisionRecord): LoggedDecision {
  const { outcome, fields: record } = decision;
  return {
    time: timeOf(decision),
    outcome,
    subject: textOf(record.subject),
    authority: textOf(record.authority),
    clientId: textOf(record.clientId),
    opTokJti: textOf(record.opTokJti),
    plan: textOf(record.plan),
    license: textOf(record.license),
    claims: claimsOf(record.claims),
    rule: textOf(record.rule),
    service: textOf(record.service),
    asked: textsOf(record.asked),
    granted: textsOf(record.granted),
    patterns: textsOf(record.patterns),
    reason: textOf(record.reason),
    detail: textOf(record.detail),
    address: textOf(record.address) ?? '',
    jti: textOf(record.jti),
    exp: numberOf(record.exp),
    requestId: record.requestId,
    generation: numberOf(record.generation),
    durationMs: numberOf(record.durationMs),
    fault: textOf(record.fault),
  };
}

/** A scope of a line, without its actions and its type: the name of the repository. Null for what is no repository. */
export function repositoryOf(scope: string): string | null {
  const last = scope.lastIndexOf(':');
  return scope.startsWith(REPOSITORY) && last >= REPOSITORY.length
    ? scope.slice(REPOSITORY.length, last)
    : null;
}

const REPOSITORY = 'repository:';

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

function claimsOf(value: unknown): LoggedDecision['claims'] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const texts = Object.entries(value).filter(([, text]) => typeof text === 'string');
  return texts.length === 0 ? null : Object.fromEntries(texts);
}
