/** Problem documents (RFC 9457): the one form of everything that is not a success. */

export interface Problem {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** RFC 6750 §3.1, RFC 9449 §7.1; null where nothing was wrong with what the client sent. */
  readonly error: string | null;
  /** Shown on 400 and 403 only: on a 401 it would tell a stranger how far a forged token got. */
  readonly reason: string | null;
}

/** Renders a problem. `headers` are added as they are. */
export function renderProblem(problem: Problem, headers: Headers | Record<string, string> = {}): Response {
  const { status, title, detail, error, reason } = problem;
  const code = error ?? 'unauthorized';
  const body = {
    type: 'about:blank',
    title,
    status,
    detail,
    ...(error === null ? {} : { error }),
    error_description: detail,
    ...(reason === null ? {} : { reason }),
    // The distribution specification's form, which docker and containerd show.
    errors: [{ code: code.toUpperCase(), message: detail }],
  };
  const all = new Headers(headers);
  all.set('Content-Type', 'application/problem+json');
  all.set('Cache-Control', 'no-store');
  return new Response(JSON.stringify(body), { status, headers: all });
}
