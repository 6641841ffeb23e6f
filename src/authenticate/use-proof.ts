/** The last check of a proof: it is recorded as used, and counts against its subject's rate limit. */
import { createHash } from 'node:crypto';
import { Refusal } from '../refusal.ts';
import { type DpopOptions, type DpopProof, replaceableBefore, replayDeadline } from './dpop-proof.ts';
import type { Nonces } from './nonce.ts';
import { type Allowance, checkWait } from './rate-limits.ts';
import type { ReplayVerdict, UsedProofs } from './replay-store.ts';

export interface UseProofParts {
  readonly options: { readonly dpop: DpopOptions };
  readonly replayStore: UsedProofs;
  readonly restartNonces: Nonces;
}

/**
 * RFC 9449 §11.1: a proof is accepted once. The key is a hash of thumbprint and `jti` with their lengths, not of the proof's
 * bytes, because for an ECDSA signature (r, s) the signature (r, n−s) is valid too.
 */
export async function useProof(
  proof: DpopProof,
  thumbprint: string,
  allowance: Allowance | null,
  { options, replayStore, restartNonces }: UseProofParts,
  now: number,
): Promise<void> {
  const key = createHash('sha256')
    .update(`${thumbprint.length}:${thumbprint}${proof.jti.length}:${proof.jti}`)
    .digest();
  const { issuedAt } = proof;
  // Checked again after waiting for keys: an entry that makes room must not be that of a fresh proof.
  if (issuedAt < now - options.dpop.maxAge)
    throw new Refusal('proof-time', 'The proof became too old while the request was processed.');
  // Read in the same step as the insert, so that both refer to the same memory.
  if (issuedAt < replayStore.rememberedSince) checkRestartNonce(proof, replayStore, restartNonces, now);
  // Taken before the insert, so that a caller at its limit does not use up a proof. Given back if the proof is not new, so
  // that a replay does not count against its owner.
  checkWait(allowance?.take(now));
  let verdict: ReplayVerdict | null = null;
  try {
    verdict = await replayStore.insert(
      key,
      replayDeadline(issuedAt),
      now,
      replaceableBefore(options.dpop, now),
    );
  } finally {
    if (verdict !== 'first') allowance?.giveBack();
  }
  switch (verdict) {
    case 'first':
      return;
    case 'replayed':
      throw new Refusal('proof-replayed', 'The proof was used before.');
    case 'full':
      throw new Refusal('replay-full', 'The replay store is full (senderConstraint.replay.capacity).', {
        retryAfter: 5,
      });
    case 'unavailable':
      throw new Refusal(
        'replay-unavailable',
        'The replay store does not answer, or cannot tell whether the proof is new.',
        { retryAfter: 1 },
      );
  }
}

/**
 * A proof dated before the memory of used proofs began may have been used then. A nonce of this memory shows that it was
 * made since. Clients that follow RFC 9449 §8 send such a proof by themselves.
 */
function checkRestartNonce(
  { nonce }: DpopProof,
  { rememberedSince }: UsedProofs,
  restartNonces: Nonces,
  now: number,
): void {
  if (nonce !== null && restartNonces.isRecent(nonce, now)) return;
  const since = new Date(Math.ceil(rememberedSince) * 1000).toISOString();
  throw new Refusal(
    'proof-nonce',
    `The service or its replay store was restarted. A proof dated before ${since} must contain the nonce of this response.`,
    { dpopNonce: restartNonces.current(now) },
  );
}
