/** A hash of four words under a secret of this process: who chooses the words cannot choose where they end up. */
import { randomBytes } from 'node:crypto';

/** Words of a secret. */
export const SECRET_WORDS = 4;

/** Fills the secret: odd numbers, so that each bit of a word counts. */
export function fillSecret(secret: Uint32Array): void {
  for (let word = 0; word < SECRET_WORDS; word += 1) secret[word] = (randomBytes(4).readUInt32LE() | 1) >>> 0;
}

/**
 * A number of `bits` bits (1 to 31). Multiply-shift: each word is multiplied by a secret number, and the sum's upper
 * bits count. Keys that were ground until some of their words agree are spread by the words that do not.
 */
export function secretHash(
  secret: Uint32Array,
  bits: number,
  a: number,
  b: number,
  c: number,
  d: number,
): number {
  const sum =
    Math.imul(a, secret[0] ?? 0) +
    Math.imul(b, secret[1] ?? 0) +
    Math.imul(c, secret[2] ?? 0) +
    Math.imul(d, secret[3] ?? 0);
  return (sum | 0) >>> (32 - bits);
}
