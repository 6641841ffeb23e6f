/** The response to a refused request: general on 401, exact on 400 and 403, with the challenges of a 401. */
import type { Refusal } from '../refusal.ts';
import type { Scheme } from '../request/credentials.ts';
import { renderProblem } from './problem.ts';

/** What the response needs to know about the refused request. */
export interface RefusedRequest {
  /** How the client sent its credentials; null if that is not known. */
  readonly scheme: Scheme | null;
  /** Its `Accept` header. */
  readonly accept: string | null;
}

export interface ChallengeOptions {
  /** The `realm` of `Bearer` and `Basic` (RFC 9110 §11.5). */
  readonly realm: string;
  /** The algorithms in `DPoP algs=`; empty if DPoP is not accepted. */
  readonly dpopAlgorithms: readonly string[];
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Unauthorized',
  403: 'Forbidden',
  413: 'Content too large',
  415: 'Unsupported media type',
  429: 'Too many requests',
  500: 'Internal error',
  503: 'Service unavailable',
};

/** What the client reads when only the log says which check failed. */
const coarse: Readonly<Record<string, string>> = {
  none: 'An access token from the Authority is required.',
  invalid_token: 'The access token is not valid here, or it is not bound to this client.',
  invalid_dpop_proof: 'The DPoP proof is missing or not valid for this request.',
  use_dpop_nonce: 'The DPoP proof must contain the nonce of this response.',
  server_error: 'The service failed to answer. Its log says why.',
  temporarily_unavailable:
    'The service cannot issue tokens at the moment. Its log says why. Try again later.',
};

/** Renders a refusal. */
export function renderRefusal(
  refusal: Refusal,
  { scheme, accept }: RefusedRequest,
  options: ChallengeOptions,
): Response {
  const { status, error, reason, clientDetail, retryAfter, closesConnection, dpopNonce } = refusal;
  const exact = (status < 500 && status !== 401) || dpopNonce !== null;
  const description = exact ? clientDetail : (coarse[error ?? 'none'] ?? clientDetail);
  const headers = new Headers();
  if (status === 401) addChallenges(headers, challengedScheme(error, scheme), error, description, options);
  if (dpopNonce !== null) headers.set('DPoP-Nonce', dpopNonce);
  if (retryAfter !== null) headers.set('Retry-After', String(Math.max(1, Math.ceil(retryAfter))));
  if (closesConnection) headers.set('Connection', 'close');
  return renderProblem(
    {
      status,
      title: titles[status] ?? 'Refused',
      detail: description,
      error,
      reason: status === 400 || status === 403 ? reason : null,
    },
    accept,
    headers,
  );
}

/** The scheme whose challenge has the `error`: DPoP for a fault in the proof, otherwise the scheme that the client used. */
function challengedScheme(error: string | null, scheme: Scheme | null): Scheme | null {
  if (error === null) return null;
  if (error === 'invalid_dpop_proof' || error === 'use_dpop_nonce') return 'DPoP';
  return scheme === null || scheme === 'form' ? 'Bearer' : scheme;
}

function addChallenges(
  headers: Headers,
  challenged: Scheme | null,
  error: string | null,
  description: string,
  { realm, dpopAlgorithms }: ChallengeOptions,
): void {
  const fault = (scheme: Scheme) =>
    scheme === challenged ? `, error=${quoted(error ?? '')}, error_description=${quoted(description)}` : '';
  if (dpopAlgorithms.length > 0)
    headers.append('WWW-Authenticate', `DPoP algs=${quoted(dpopAlgorithms.join(' '))}${fault('DPoP')}`);
  headers.append('WWW-Authenticate', `Bearer realm=${quoted(realm)}${fault('Bearer')}`);
  headers.append('WWW-Authenticate', `Basic realm=${quoted(realm)}${fault('Basic')}`);
}

/** A quoted-string of RFC 9110 §5.6.4. */
function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`;
}
