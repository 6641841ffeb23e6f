/**
 * Why a client did not get what it wanted: the message says what, where, why and what to do, in words for the
 * person at the command line. It never holds a token, proof, key or password.
 */
import { excerpt } from '../platform/escape.ts';

export class ClientFault extends Error {
  /** The status of the answer that was a refusal; null if there was none. */
  readonly status: number | null;
  /** The `error` of that answer; null if it named none. */
  readonly error: string | null;

  constructor(message: string, status: number | null = null, error: string | null = null) {
    super(message);
    this.status = status;
    this.error = error;
  }
}

/** The server could not be reached, or did not answer in time: it may the next time. */
export class NoAnswer extends ClientFault {}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A URL for a message: without user information, query and fragment. */
export function shownUrl(text: string): string {
  const url = URL.parse(text);
  return url === null ? 'this' : excerpt(`${url.protocol}//${url.host}${url.pathname}`);
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** The body as a JSON object; null for anything else. */
export function parseObject({ text }: HttpAnswer): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as JsonObject)
      : null;
  } catch {
    return null;
  }
}

/** The `error` of RFC 6749 §5.2, RFC 6750 §3.1 or RFC 9449 §5: from the body, else from a challenge. */
export function errorOf(answer: HttpAnswer): string | null {
  const error = parseObject(answer)?.error;
  if (typeof error === 'string') return error;
  return (
    /\berror="([\x20\x21\x23-\x5b\x5d-\x7e]*)"/.exec(answer.headers.get('www-authenticate') ?? '')?.[1] ??
    null
  );
}

/** The nonce that a server asks for (RFC 9449 §8, §9); null if it asks for none, or sends something that cannot be one. */
export function nonceAskedFor(answer: HttpAnswer): string | null {
  if ((answer.status !== 400 && answer.status !== 401) || errorOf(answer) !== 'use_dpop_nonce') return null;
  const nonce = answer.headers.get('dpop-nonce') ?? '';
  return /^[\x21\x23-\x5b\x5d-\x7e]{1,1024}$/.test(nonce) ? nonce : null;
}

export interface RefusedStep {
  /** The step: "OpTok". */
  readonly what: string;
  readonly url: string;
  /** What was sent and must not be shown if the server echoes it. */
  readonly secrets: readonly string[];
  /** What to do, by the service's `reason`, else by `error`, else by status. */
  readonly advice: Readonly<Record<string, string>>;
  /** Appended to the sentence; starts with a separator. */
  readonly hint?: string;
}

/** A sentence about a refusal: the step, the status, the server's own words, what to do. */
export function refused(
  answer: HttpAnswer,
  { what, url, secrets, advice, hint = '' }: RefusedStep,
): ClientFault {
  const body = parseObject(answer);
  const error = errorOf(answer);
  const words = [body?.error_description, body?.detail].find((member) => typeof member === 'string');
  const reason = typeof body?.reason === 'string' ? body.reason : '';
  const retryAfter = /^[0-9]{1,6}$/.exec(answer.headers.get('retry-after') ?? '')?.[0];
  const parts = [
    `${what}: ${shownUrl(url)} answered ${answer.status}`,
    error === null ? '' : ` ${error}`,
    words === undefined ? '' : `: "${words}"`,
    reason === '' ? '' : ` (${reason})`,
    retryAfter === undefined ? '' : `; retry after ${retryAfter} s`,
  ];
  const said = secrets.reduce((text, secret) => text.replaceAll(secret, '[removed]'), parts.join(''));
  const todo = advice[reason] ?? advice[error ?? ''] ?? advice[answer.status];
  const message = excerpt(said, 800) + (todo === undefined ? '' : `; ${todo}`) + hint;
  return new ClientFault(message, answer.status, error);
}

/** Date has whole seconds, and an answer takes its time to arrive. */
const NOTICEABLE_S = 3;

/** Server minus local, in seconds; null if the answer has no Date. `now` in epoch seconds, when it arrived. */
export function clockDifference({ headers }: HttpAnswer, now: number): number | null {
  const date = Date.parse(headers.get('date') ?? '');
  return Number.isNaN(date) ? null : Math.round(date / 1000 - now);
}

/** Whether the two clocks are known to agree, so that they are not the cause. */
export function clocksAgree(answer: HttpAnswer, now: number): boolean {
  const difference = clockDifference(answer, now);
  return difference !== null && Math.abs(difference) < NOTICEABLE_S;
}

/** A sentence about the clocks for a refused proof; empty if the server does not send its time. */
export function clockHint(answer: HttpAnswer, now: number): string {
  const difference = clockDifference(answer, now);
  if (difference === null) return '';
  if (clocksAgree(answer, now)) return "; its clock agrees with this machine's";
  const side = difference > 0 ? 'behind' : 'ahead of';
  return `; this machine's clock is ${Math.abs(difference)} s ${side} the server's: correct it`;
}
