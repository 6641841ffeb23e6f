/**
 * Verifies who sent a request: the OpTok, its signature, and the sender constraint. What the caller may have is decided in
 * `authorize/`.
 */
import { createHash } from 'node:crypto';
import { Refusal } from '../refusal.ts';
import { clientNetwork } from '../request/client-network.ts';
import type { Credentials } from '../request/credentials.ts';
import type { TokenRequest } from '../request/token-request.ts';
import { checkCertificateBinding } from './certificate.ts';
import type { JsonObject } from './compact-jws.ts';
import { type DpopOptions, parseDpopProof } from './dpop-proof.ts';
import type { Nonces } from './nonce.ts';
import {
  checkOpTokClaims,
  checkRequiredScopes,
  type OpTok,
  type OpTokOptions,
  parseOpTok,
} from './op-tok.ts';
import { checkWait, type RateLimits } from './rate-limits.ts';
import type { UsedProofs } from './replay-store.ts';
import type { Signatures } from './signatures.ts';
import { useProof } from './use-proof.ts';

/** Who sent the request: a verified sender, or anyone. */
export type Caller = VerifiedCaller | AnonymousCaller;

export interface VerifiedCaller {
  readonly kind: 'verified';
  /** The name of the Authority that vouches for it. */
  readonly authority: string;
  readonly subject: string;
  /** The verified claims of the OpTok. */
  readonly claims: JsonObject;
}

/** A request without credentials, if `anonymousPlan` is set. */
export interface AnonymousCaller {
  readonly kind: 'anonymous';
}

export type Constraint = 'dpop' | 'mtls' | 'none';

export interface AuthenticateOptions {
  readonly opTok: OpTokOptions;
  readonly dpop: DpopOptions;
  /** The ways a sender may be bound; `none` = bearer-only. */
  readonly accept: readonly Constraint[];
  /** Whether a request without credentials is somebody at all. */
  readonly anonymous: 'accept' | 'refuse';
}

export interface AuthenticateParts {
  readonly options: AuthenticateOptions;
  readonly signatures: Signatures;
  readonly replayStore: UsedProofs;
  /** null where nothing is limited. */
  readonly rateLimits: RateLimits | null;
  /** null where no nonce is required. */
  readonly nonces: Nonces | null;
}

/** Whether a request has left its trace: its proof is recorded as used, and its caller has had one answer more. */
export interface Use {
  isRecorded: boolean;
}

/**
 * Verifies the request's OpTok and sender. Cheap checks come first, signatures after them, and the proof is
 * recorded as used last, so that nothing that is refused uses it up. `address` is the client's. `clock` in epoch
 * seconds: it is read again when the proof is recorded, because keys may have been waited for.
 * What `use` says is recorded already is not recorded again.
 */
export async function authenticate(
  request: TokenRequest,
  address: string,
  parts: AuthenticateParts,
  clock: () => number,
  use: Use,
): Promise<Caller> {
  const now = clock();
  const { credentials, certificate } = request;
  const { options, signatures, nonces, rateLimits } = parts;
  if (credentials === null) {
    if (options.anonymous !== 'accept' || !request.isAnonymous)
      throw new Refusal('credentials-missing', 'The request has no access token.');
    if (!use.isRecorded) checkWait(rateLimits?.allowanceOf(`address:${clientNetwork(address)}`).take(now));
    use.isRecorded = true;
    return { kind: 'anonymous' };
  }

  const tokenHash = createHash('sha256').update(credentials.opTok).digest('base64url');
  const verified = signatures.recall(tokenHash);
  const opTok = verified ?? parseOpTok(credentials.opTok, options.opTok);
  checkOpTokClaims(opTok, options.opTok, now);
  checkConstraint(opTok, credentials, request.proof, options);
  const { jkt, x5tS256 } = opTok.confirmation;
  if (x5tS256 !== null) checkCertificateBinding(x5tS256, certificate);
  const proof =
    request.proof === null
      ? null
      : parseDpopProof(request.proof, options.dpop, {
          method: request.method,
          tokenHash,
          nonces,
          now,
        });

  if (verified === undefined) await signatures.verifyOpTok(opTok, tokenHash, now);
  checkRequiredScopes(opTok, options.opTok);
  const allowance = rateLimits?.allowanceOf(`subject:${opTok.subject}`) ?? null;
  if (proof !== null && jkt !== null) {
    if (!use.isRecorded) checkWait(allowance?.secondsToWait(clock()));
    await signatures.verifyProof(proof, jkt);
    if (!use.isRecorded) await useProof(proof, jkt, allowance, parts, clock());
  } else if (!use.isRecorded) checkWait(allowance?.take(clock()));
  use.isRecorded = true;
  return { kind: 'verified', authority: 'default', subject: opTok.subject, claims: opTok.jws.payload };
}

/** The OpTok's binding is one that is accepted, and the request has what that binding needs, no more and no less. */
function checkConstraint(
  { confirmation: { jkt, x5tS256 } }: OpTok,
  { scheme }: Credentials,
  proof: string | null,
  { accept, dpop }: AuthenticateOptions,
): void {
  const needed: Constraint[] = [];
  if (jkt !== null) needed.push('dpop');
  if (x5tS256 !== null) needed.push('mtls');
  if (needed.length === 0) needed.push('none');
  for (const constraint of needed) {
    if (!accept.includes(constraint))
      throw new Refusal(
        'token-unbound',
        `The OpTok's binding (${constraint}) is not in senderConstraint.accept.`,
      );
  }
  if (proof === null) {
    if (jkt !== null)
      throw new Refusal('proof-missing', 'The OpTok is bound by DPoP, and the request has no proof.');
    if (scheme === 'DPoP')
      throw new Refusal('proof-missing', 'The Authorization scheme is DPoP, and the request has no proof.');
    return;
  }
  if (jkt === null)
    throw new Refusal('proof-binding', 'The request has a proof, and its OpTok is not bound by DPoP.');
  if (scheme === 'Basic' || scheme === 'form')
    throw new Refusal(
      'credentials-ambiguous',
      'A DPoP proof is only allowed with the scheme DPoP or Bearer.',
    );
  if (scheme === 'Bearer' && dpop.bearerScheme === 'refuse')
    throw new Refusal('proof-binding', 'senderConstraint.dpop.bearerScheme is refuse: use the scheme DPoP.');
}
