/**
 * Verifies who sent a request: the OpTok, its signature, and the sender constraint. What the caller may have is decided in
 * `authorize/`.
 */
import { hash } from 'node:crypto';
import { excerpt } from '../platform/escape.ts';
import { Refusal } from '../refusal.ts';
import { clientNetwork } from '../request/client-network.ts';
import type { Credentials } from '../request/credentials.ts';
import type { TokenRequest } from '../request/token-request.ts';
import { checkCertificateBinding } from './certificate.ts';
import type { JsonObject } from './compact-jws.ts';
import { type DpopOptions, parseDpopProof } from './dpop-proof.ts';
import type { Nonces } from './nonce.ts';
import {
  type Authorities,
  checkBinding,
  checkOpTokClaims,
  checkRequiredScopes,
  type OpTok,
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
  /** As the OpTok names it; null where it does not. Nothing is decided by it. */
  readonly clientId: string | null;
  /** The OpTok's `jti`, for the log alone; null if it has none. */
  readonly opTokJti: string | null;
  /** The verified claims of the OpTok. */
  readonly claims: JsonObject;
}

/** A request without credentials, if `anonymousPlan` is set. */
export interface AnonymousCaller {
  readonly kind: 'anonymous';
}

export interface AuthenticateOptions {
  readonly dpop: DpopOptions;
  /** Whether a request without credentials is somebody at all. */
  readonly anonymous: 'accept' | 'refuse';
}

export interface AuthenticateParts {
  readonly options: AuthenticateOptions;
  readonly authorities: Authorities;
  readonly signatures: Signatures;
  readonly replayStore: UsedProofs;
  /** null where nothing is limited. */
  readonly rateLimits: RateLimits | null;
  /** null where no nonce is required. */
  readonly nonces: Nonces | null;
  /** Of this memory of used proofs alone: a proof with one of them was made after the memory began. */
  readonly restartNonces: Nonces;
}

/** Whether a request has left its trace: its proof is recorded as used, and its caller has had one answer more. */
export interface Use {
  isRecorded: boolean;
  /** Whose OpTok was verified, even if the request is refused for something else; null until then. */
  holder: VerifiedCaller | null;
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
  const { options, authorities, signatures, nonces, restartNonces, rateLimits } = parts;
  if (credentials === null) {
    if (options.anonymous !== 'accept' || !request.isAnonymous)
      throw new Refusal('credentials-missing', 'The request has no access token.');
    if (!use.isRecorded) checkWait(rateLimits?.allowanceOf(`address:${clientNetwork(address)}`).take(now));
    use.isRecorded = true;
    return { kind: 'anonymous' };
  }

  const tokenHash = hash('sha256', credentials.opTok, 'base64url');
  const remembered = signatures.recall(tokenHash);
  const { opTok, jws } =
    remembered === undefined ? parseOpTok(credentials.opTok, authorities) : { opTok: remembered, jws: null };
  const { authority, confirmation, subject } = opTok;
  use.holder = remembered === undefined ? null : holderOf(opTok);
  checkOpTokClaims(opTok, now);
  checkBinding(opTok);
  checkProofPresence(opTok, credentials, request.proof, options);
  const { jkt, x5tS256 } = confirmation;
  if (x5tS256 !== null) checkCertificateBinding(x5tS256, certificate);
  const proof =
    request.proof === null
      ? null
      : parseDpopProof(request.proof, options.dpop, {
          clockSkew: authority.clockSkew,
          method: request.method,
          tokenHash,
          nonces,
          restartNonces,
          needsRestartNonce: (issuedAt) => issuedAt < parts.replayStore.rememberedSince,
          now,
        });

  if (jws !== null) await signatures.verifyOpTok(opTok, jws, tokenHash, now);
  const caller = holderOf(opTok);
  use.holder = caller;
  checkRequiredScopes(opTok);
  // Two Authorities may have a subject of the same name.
  const allowance = rateLimits?.allowanceOf(`subject:${authority.name}:${subject}`) ?? null;
  if (proof !== null && jkt !== null) {
    if (!use.isRecorded) checkWait(allowance?.secondsToWait(clock()));
    await signatures.verifyProof(proof, jkt);
    if (!use.isRecorded) await useProof(proof, jkt, allowance, parts, clock());
  } else if (!use.isRecorded) checkWait(allowance?.take(clock()));
  use.isRecorded = true;
  return caller;
}

function holderOf({ authority, subject, clientId, claims }: OpTok): VerifiedCaller {
  const { jti } = claims;
  return {
    kind: 'verified',
    authority: authority.name,
    subject,
    clientId,
    opTokJti: typeof jti === 'string' ? excerpt(jti, MAX_JTI_LENGTH) : null,
    claims,
  };
}

/** Of a `jti` in the log, in characters. */
const MAX_JTI_LENGTH = 200;

/** A proof comes with an OpTok that is bound by DPoP, and with no other. */
function checkProofPresence(
  { confirmation: { jkt } }: OpTok,
  { scheme }: Credentials,
  proof: string | null,
  { dpop }: AuthenticateOptions,
): void {
  if (proof === null) {
    if (jkt !== null)
      throw new Refusal('proof-missing', 'The OpTok is bound by DPoP, and the request has no proof.', {
        forLog: 'Stock clients make no proofs: use registry-token agent or token, or certificates.',
      });
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
