/** Why a request gets no token: a closed list of reasons, with the status and the `error` of each. */

interface Row {
  readonly status: 400 | 401 | 403 | 413 | 415 | 429 | 500 | 503;
  /** The `error` of RFC 6749, 6750 or 9449; none where nothing was wrong with what the client sent. */
  readonly error: string | null;
}

const invalidRequest = { status: 400, error: 'invalid_request' } as const;
const invalidToken = { status: 401, error: 'invalid_token' } as const;
const invalidProof = { status: 401, error: 'invalid_dpop_proof' } as const;
const insufficientScope = { status: 403, error: 'insufficient_scope' } as const;
const unavailable = { status: 503, error: 'temporarily_unavailable' } as const;

/** Each reason's status and `error`: the one place that knows them. */
const byReason = {
  'malformed-request': invalidRequest,
  'malformed-scope': { status: 400, error: 'invalid_scope' },
  'service-not-allowed': invalidRequest,
  'credentials-missing': { status: 401, error: null },
  'credentials-ambiguous': invalidRequest,
  'token-malformed': invalidToken,
  'token-type': invalidToken,
  'token-algorithm': invalidToken,
  'token-key-unknown': invalidToken,
  'token-signature': invalidToken,
  'token-issuer': invalidToken,
  'token-audience': invalidToken,
  'token-expired': invalidToken,
  'token-not-yet-valid': invalidToken,
  'token-claims': invalidToken,
  'token-scope': insufficientScope,
  'token-unbound': invalidToken,
  'proof-missing': invalidProof,
  'proof-malformed': invalidProof,
  'proof-type': invalidProof,
  'proof-algorithm': invalidProof,
  'proof-key': invalidProof,
  'proof-signature': invalidProof,
  'proof-method': invalidProof,
  'proof-url': invalidProof,
  'proof-time': invalidProof,
  'proof-token-hash': invalidProof,
  'proof-binding': invalidToken,
  'proof-nonce': { status: 401, error: 'use_dpop_nonce' },
  'proof-replayed': invalidProof,
  'certificate-missing': invalidToken,
  'certificate-binding': invalidToken,
  'certificate-untrusted': invalidToken,
  'license-revoked': { status: 403, error: 'access_denied' },
  'plan-missing': insufficientScope,
  'plan-unknown': insufficientScope,
  'plan-denied': insufficientScope,
  'rate-limited': { status: 429, error: 'slow_down' },
  overloaded: unavailable,
  'authority-unavailable': unavailable,
  'replay-unavailable': unavailable,
  'replay-full': unavailable,
  'entitlements-expired': unavailable,
  internal: { status: 500, error: 'server_error' },
} as const satisfies Record<string, Row>;

/** The same word in the log, in the metric's label and in the body of a 400 or 403. */
export type Reason = keyof typeof byReason;

export const reasons = Object.keys(byReason) as readonly Reason[];

/** Faults for which HTTP has a more exact status than that of the reason. */
const byHttpFault = {
  'body-too-large': { status: 413, error: 'invalid_request' },
  'media-type': { status: 415, error: 'invalid_request' },
} as const satisfies Record<string, Row>;

export interface RefusalOptions {
  readonly httpFault?: keyof typeof byHttpFault;
  /** Seconds after which the client may try again. */
  readonly retryAfter?: number;
  /** Whether the connection ends with the answer: what else comes over it is not waited for. */
  readonly closesConnection?: boolean;
  /** The nonce that the next proof must contain (RFC 9449 §8). */
  readonly dpopNonce?: string;
  /** A sentence for the log alone, after `detail`. */
  readonly forLog?: string;
}

/**
 * Thrown by a step that refuses a request; only `service.ts` catches it. `detail` is for the log. `clientDetail` is what of it
 * the client may see, on 400 and 403 and where a nonce is required. Neither ever holds a token, proof, key or password.
 */
export class Refusal extends Error {
  readonly reason: Reason;
  readonly detail: string;
  readonly clientDetail: string;
  readonly status: number;
  readonly error: string | null;
  readonly retryAfter: number | null;
  readonly closesConnection: boolean;
  readonly dpopNonce: string | null;

  constructor(reason: Reason, detail: string, options: RefusalOptions = {}) {
    super(`${reason}: ${detail}`);
    const row: Row = options.httpFault === undefined ? byReason[reason] : byHttpFault[options.httpFault];
    this.name = 'Refusal';
    this.reason = reason;
    this.clientDetail = detail;
    this.detail = options.forLog === undefined ? detail : `${detail} ${options.forLog}`;
    this.status = row.status;
    this.error = row.error;
    this.retryAfter = options.retryAfter ?? null;
    this.closesConnection = options.closesConnection ?? false;
    this.dpopNonce = options.dpopNonce ?? null;
  }
}
