/** A refusal of the development Authority (RFC 6749 §5.2, RFC 9449 §5): thrown by its checks, answered in one place. */

/** The `error` words that it uses, each with its status. */
const statuses = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_scope: 400,
  unsupported_grant_type: 400,
  invalid_dpop_proof: 400,
} as const;

export type OAuthError = keyof typeof statuses;

export class OAuthRefusal extends Error {
  readonly error: OAuthError;
  /** `error_description`: printable ASCII that holds no secret and no part of a proof. */
  readonly description: string;
  readonly status: number;

  constructor(error: OAuthError, description: string) {
    super(`${error}: ${description}`);
    this.name = 'OAuthRefusal';
    this.error = error;
    this.description = description;
    this.status = statuses[error];
  }
}
