/**
 * DPoP nonces (RFC 9449 §8): an HMAC of the time step. Nothing is stored, and every process with the same secret accepts the
 * same nonces. A nonce shows that a proof is recent. Only the replay store shows that it is new.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface Nonces {
  /** The nonce of this time step. `now` in epoch seconds. */
  readonly current: (now: number) => string;
  /** True for the nonces of this time step, the one before and, for a node whose clock is ahead, the one after. */
  readonly isRecent: (nonce: string, now: number) => boolean;
}

/** Seconds. A nonce is valid for one to two steps. */
const STEP = 60;

/** `secret` returns at least 32 bytes; a new secret ends the nonces of the one before. */
export function createNonces(secret: () => Uint8Array): Nonces {
  const nonceOf = (step: number) =>
    createHmac('sha256', secret()).update(`dpop-nonce:${step}`).digest('base64url');
  return {
    current: (now) => nonceOf(Math.floor(now / STEP)),
    isRecent: (nonce, now) => {
      const step = Math.floor(now / STEP);
      return [step, step - 1, step + 1].some((candidate) => isSame(nonce, nonceOf(candidate)));
    },
  };
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
