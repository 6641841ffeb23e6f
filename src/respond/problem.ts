/** Problem documents (RFC 9457), the body of every response that is not a success. */
import { excerpt } from '../platform/escape.ts';

export interface Problem {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** RFC 6750 §3.1, RFC 9449 §7.1; null if the request had no credentials. */
  readonly error: string | null;
  /** Sent on 400 and 403 only: on a 401 it would tell an attacker how far a forged token got. */
  readonly reason: string | null;
}

const PROBLEM = 'application/problem+json';

/** In characters: three copies and the rest of the body stay below 8 KiB. */
const MAX_DETAIL_LENGTH = 800;

/**
 * Error codes that clients know from the distribution specification. Docker retries a refused push for 50 seconds if it
 * does not know the code.
 */
const codes: Readonly<Record<number, string>> = {
  400: 'DENIED',
  401: 'UNAUTHORIZED',
  403: 'DENIED',
  404: 'UNSUPPORTED',
  405: 'UNSUPPORTED',
  413: 'UNSUPPORTED',
  415: 'UNSUPPORTED',
  429: 'TOOMANYREQUESTS',
  503: 'UNAVAILABLE',
};

/**
 * Renders a problem. `accept` is the request's `Accept`; `headers` are added as they are. The body has at most 8 KiB.
 */
export function renderProblem(
  problem: Problem,
  accept: string | null,
  headers: Headers | Record<string, string> = {},
): Response {
  const { status, title, error, reason } = problem;
  const detail = excerpt(problem.detail, MAX_DETAIL_LENGTH);
  const body = {
    type: 'about:blank',
    title,
    status,
    detail,
    ...(error === null ? {} : { error }),
    error_description: detail,
    ...(reason === null ? {} : { reason }),
    errors: [{ code: codes[status] ?? 'UNKNOWN', message: detail }],
  };
  const all = new Headers(headers);
  all.set('Content-Type', prefersProblem(accept) ? PROBLEM : 'application/json');
  all.set('Cache-Control', 'no-store');
  return new Response(JSON.stringify(body), { status, headers: all });
}

/**
 * True if `Accept` (RFC 9110 §12.5.1) lists `application/problem+json` with at least the weight of `application/json`.
 * Wildcards are not enough: docker 28 prints the raw body of any type other than `application/json`.
 */
function prefersProblem(accept: string | null): boolean {
  if (accept === null || !accept.toLowerCase().includes(PROBLEM)) return false;
  const weights = new Map<string, number>();
  for (const range of accept.toLowerCase().split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1';
    weights.set(type, /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(weight) ? Number(weight) : 0);
  }
  const problem = weights.get(PROBLEM) ?? 0;
  const json = weights.get('application/json') ?? weights.get('application/*') ?? weights.get('*/*') ?? 0;
  return problem > 0 && problem >= json;
}
