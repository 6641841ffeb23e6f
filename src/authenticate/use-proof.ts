/** The last of a proof's rules, which leaves a trace: it is recorded as used, and its subject has had one answer more. */
import { createHash } from 'node:crypto';
import { Refusal } from '../refusal.ts';
import { type DpopOptions, type DpopProof, replayDeadline } from './dpop-proof.ts';
import { type Allowance, checkWait } from './rate-limits.ts';
import type { ReplayVerdict, UsedProofs } from './replay-store.ts';

/**
 * Proofs dated before `until` were recorded when a proof was good for `seconds` and no longer: their entries may be
 * forgotten after that.
 */
export interface FormerWindow {
  /** Epoch seconds. */
  readonly until: number;
  readonly seconds: number;
}

export interface UseProofParts {
  readonly options: { readonly dpop: DpopOptions };
  readonly replayStore: UsedProofs;
  /** null where proofs have always been good for as long as now. */
  readonly formerWindow: FormerWindow | null;
}

/**
 * RFC 9449 §11.1: a proof is good once. The key is a hash of the parsed values with their lengths, never of the
 * proof's bytes: the twin (r, n−s) of an ECDSA signature verifies too.
 */
export async function useProof(
  proof: DpopProof,
  thumbprint: string,
  allowance: Allowance | null,
  { options, replayStore, formerWindow }: UseProofParts,
  now: number,
): Promise<void> {
  const key = createHash('sha256')
    .update(`${thumbprint.length}:${thumbprint}${proof.jti.length}:${proof.jti}`)
    .digest();
  // Once an entry can be forgotten, its proof must not be good any more.
  const { issuedAt } = proof;
  if (issuedAt < now - options.dpop.maxAge)
    throw new Refusal('proof-time', 'The proof became too old while the request was answered.');
  if (formerWindow !== null && issuedAt < formerWindow.until && now > issuedAt + formerWindow.seconds)
    throw new Refusal(
      'proof-time',
      'The proof is from before maxAge was raised, and too old for what it was then.',
    );
  // Read in the same step as the insert: both then speak of the same memory.
  if (issuedAt < replayStore.rememberedSince)
    throw new Refusal(
      'proof-time',
      'The proof is older than the memory of used proofs: the service or its store was restarted.',
    );
  // Taken before, so that who is at the limit uses up no proof; given back where the proof is not the first, so that
  // who repeats another's takes nothing from them.
  checkWait(allowance?.take(now));
  let verdict: ReplayVerdict | null = null;
  try {
    verdict = await replayStore.insert(key, replayDeadline(proof, options.dpop), now);
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
      throw new Refusal('replay-unavailable', 'The replay store does not answer.', { retryAfter: 1 });
  }
}
