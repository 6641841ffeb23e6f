/** The registry token: a signed grant. Only `sub` is copied from the OpTok. */
import type { Grant } from '../authorize/authorize.ts';
import type { ResourceActions } from '../request/resource-scope.ts';
import type { Signer } from './signer.ts';

export interface RegistryToken {
  /** The JWT. */
  readonly token: string;
  readonly jti: string;
  readonly access: readonly ResourceActions[];
  /** Epoch seconds: the time of issue. The token's own `iat` is earlier. */
  readonly issuedAt: number;
  /** Seconds. */
  readonly lifetime: number;
}

/** Seconds by which `iat` and `nbf` are back-dated, for verifiers that allow no clock skew (zot). */
const BACK_DATED = 10;

export interface IssueOptions {
  /** Becomes `iss`. */
  readonly issuer: string;
  /** Becomes `aud`; null for the requested service. */
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
