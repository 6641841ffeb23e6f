/** What a server said: JSON where it is JSON, and a sentence where it refused. */
import { ClientFault, printable } from './client-fault.ts';
import { type HttpAnswer, shownUrl } from './http.ts';

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

/** The nonce that a server asks for (RFC 9449 §8, §9); null where it does not, or sends none that could be one. */
export function nonceAskedFor(answer: HttpAnswer): string | null {
  if ((answer.status !== 400 && answer.status !== 401) || errorOf(answer) !== 'use_dpop_nonce') return null;
  const nonce = answer.headers.get('dpop-nonce') ?? '';
  return /^[\x21\x23-\x5b\x5d-\x7e]{1,1024}$/.test(nonce) ? nonce : null;
}

export interface RefusedStep {
  /** The step: "OpTok". */
  readonly what: string;
  readonly url: string;
  /** What was sent and must not be shown, should the server repeat it. */
  readonly secrets: readonly string[];
  /** What to do, by the service's `reason`, else by `error`, else by status. */
  readonly advice: Readonly<Record<string, string>>;
  /** What else is known, after everything: starts with a separator. */
  readonly hint?: string;
}

/** A sentence about an answer that is a refusal: the step, the status, the server's own words, what to do. */
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
    retryAfter === undefined ? '' : `; it asks to wait ${retryAfter} s`,
  ];
  const said = secrets.reduce((text, secret) => text.replaceAll(secret, '[removed]'), parts.join(''));
  const todo = advice[reason] ?? advice[error ?? ''] ?? advice[answer.status];
  return new ClientFault(
    printable(said, 800) + (todo === undefined ? '' : `; ${todo}`) + hint,
    answer.status,
  );
}
