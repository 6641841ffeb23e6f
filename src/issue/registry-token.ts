/** The registry token: a grant, signed. Nothing of the OpTok but its `sub` is copied. */
import type { Grant } from '../authorize/authorize.ts';
import type { ResourceActions } from '../request/resource-scope.ts';
import type { Signer } from './signer.ts';

export interface RegistryToken {
  /** The JWT. */
  readonly token: string;
  readonly jti: string;
  readonly access: readonly ResourceActions[];
  /** Epoch seconds, the moment of issuing (the token's own `iat` is back-dated). */
  readonly issuedAt: number;
  /** Seconds. */
  readonly lifetime: number;
}

/** Seconds by which `iat` and `nbf` lie in the past, for verifiers that allow for no clock skew (zot). */
const BACK_DATED = 10;

/** Who issues, and for whom. */
export interface IssueOptions {
  /** Becomes `iss`. */
  readonly issuer: string;
  /** Becomes `aud`; null for the service that was asked for. */
  readonly audience: string | null;
}

/** Signs a grant. `now` in epoch seconds. */
export async function issue(
  grant: Grant,
  { issuer, audience }: IssueOptions,
  signer: Signer,
  now: number,
): Promise<RegistryToken> {
  const issuedAt = Math.floor(now);
  const jti = crypto.randomUUID();
  const token = await signer.sign({
    iss: issuer,
    sub: grant.subject,
    aud: audience ?? grant.service,
    iat: issuedAt - BACK_DATED,
    nbf: issuedAt - BACK_DATED,
    exp: issuedAt + grant.lifetime,
    jti,
    access: grant.access,
  });
  return { token, jti, access: grant.access, issuedAt, lifetime: grant.lifetime };
}
