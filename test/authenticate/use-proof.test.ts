/** A proof is good once, whatever the configuration becomes in the meantime and however little room there is. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import type { DpopOptions, DpopProof } from '../../src/authenticate/dpop-proof.ts';
import { createNonces } from '../../src/authenticate/nonce.ts';
import { useProof } from '../../src/authenticate/use-proof.ts';
import { Refusal } from '../../src/refusal.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { NOW } from '../support/service.ts';

const restartNonces = createNonces(() => Buffer.alloc(32));

interface Step {
  readonly passed: number;
  /** The next configuration, or null for the one before. */
  readonly next: { readonly maxAge: number; readonly clockSkew: number } | null;
  /** A proof that was brought before, counted back from the last; null for a new one. */
  readonly again: number | null;
  /** Seconds that a new one is ahead. */
  readonly ahead: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  passed: fc.oneof({ weight: 4, arbitrary: fc.nat(10) }, { weight: 1, arbitrary: fc.nat(400) }),
  next: fc.option(fc.record({ maxAge: fc.integer({ min: 1, max: 300 }), clockSkew: fc.nat(300) }), {
    freq: 3,
  }),
  again: fc.option(fc.nat(30)),
  ahead: fc.integer({ min: -300, max: 300 }),
});

/** The rules of time that a proof has passed before it is used. */
function isFresh(iat: number, { maxAge, clockSkew }: Pick<DpopOptions, 'maxAge' | 'clockSkew'>, now: number) {
  return iat >= now - maxAge && iat <= now + clockSkew;
}

test('a proof that was accepted is never accepted again, over any reloads and in a store of any size', async () => {
  let replaced = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 20 }),
      fc.array(step, { minLength: 20, maxLength: 120 }),
      async (capacity, steps) => {
        const replayStore = MemoryReplayStore.create(capacity, NOW - 1000);
        const issued: number[] = [];
        const accepted = new Set<number>();
        let now = NOW;
        let times = { maxAge: 60, clockSkew: 30 };
        for (const { passed, next, again, ahead } of steps) {
          now += passed;
          times = next ?? times;
          const isNew = again === null || again >= issued.length;
          const number = isNew ? issued.push(now + ahead) - 1 : issued.length - 1 - again;
          const issuedAt = issued[number] ?? 0;
          if (!isFresh(issuedAt, times, now)) continue;
          const dpop = times as DpopOptions;
          const proof = { jti: `${number}`, issuedAt } as DpopProof;
          try {
            await useProof(proof, 'thumbprint', null, { options: { dpop }, replayStore, restartNonces }, now);
            if (accepted.has(number)) throw new Error(`twice: proof ${number} at ${now}`);
            accepted.add(number);
            if (accepted.size > capacity) replaced += 1;
          } catch (cause) {
            if (!(cause instanceof Refusal)) throw cause;
            const allowed = accepted.has(number)
              ? ['proof-replayed', 'replay-unavailable']
              : ['replay-full', 'replay-unavailable'];
            expect(allowed).toContain(cause.reason);
          }
        }
      },
    ),
    { numRuns: 1000 },
  );
  expect(replaced).toBeGreaterThan(0);
});

test('an entry of a proof that is too old makes room, and others do not', async () => {
  const replayStore = MemoryReplayStore.create(2, NOW - 1000);
  const options = { dpop: { maxAge: 60, clockSkew: 30 } as DpopOptions };
  const use = (jti: string, issuedAt: number, now: number) =>
    useProof(
      { jti, issuedAt } as DpopProof,
      'thumbprint',
      null,
      { options, replayStore, restartNonces },
      now,
    );
  await use('a', NOW, NOW);
  await use('b', NOW + 10, NOW + 10);
  await expect(use('c', NOW + 90, NOW + 90)).rejects.toThrow('replay-full');
  await use('c', NOW + 91, NOW + 91);
  await expect(use('b', NOW + 10, NOW + 70)).rejects.toThrow('proof-replayed');
  await expect(use('d', NOW + 91, NOW + 91)).rejects.toThrow('replay-full');
});
