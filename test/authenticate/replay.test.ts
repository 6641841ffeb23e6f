/** The proof: a proof is good once, and no doubt about it issues a token. */
import { describe, expect, test } from 'bun:test';
import { createNonces } from '../../src/authenticate/nonce.ts';
import type { UsedProofs } from '../../src/authenticate/replay-store.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import { createKey, ecdsaTwin } from '../support/keys.ts';
import { createHarness, MAX_AGE, NOW, noCertificate, SKEW } from '../support/service.ts';
import { proofMembers, REALM, SERVICE, signMembers } from '../support/tokens.ts';

const harness = await createHarness();
const { clientKey, clock } = harness;
const opTok = harness.opTok();

describe('a pair of thumbprint and jti is accepted once', () => {
  test('refuses the second use', async () => {
    const proof = harness.proof(opTok);
    expectToken(await ask(harness, { opTok, proof }));
    expectRefusal(await ask(harness, { opTok, proof }), 'proof-replayed');
    expectRefusal(await ask(harness, { opTok, proof }), 'proof-replayed');
  });

  test('refuses the twin (r, n−s) of a used ES256 proof, and the proof of a used twin', async () => {
    const proof = harness.proof(opTok);
    expectToken(await ask(harness, { opTok, proof }));
    expectRefusal(await ask(harness, { opTok, proof: ecdsaTwin(proof) }), 'proof-replayed');
    const other = harness.proof(opTok);
    expectToken(await ask(harness, { opTok, proof: ecdsaTwin(other) }));
    expectRefusal(await ask(harness, { opTok, proof: other }), 'proof-replayed');
  });

  test('refuses the same jti signed anew: with another iat, other members, in another order', async () => {
    const { header, claims } = proofMembers(clientKey, opTok, clock.now);
    expectToken(await ask(harness, { opTok, proof: signMembers(header, claims, clientKey) }));
    const reordered = Object.fromEntries(Object.entries(claims).reverse());
    const variants = [
      claims,
      { ...claims, iat: NOW - 10 },
      { ...claims, foo: 1 },
      { ...claims, htu: `${REALM}?x` },
      reordered,
    ];
    for (const variant of variants)
      expectRefusal(
        await ask(harness, { opTok, proof: signMembers(header, variant, clientKey) }),
        'proof-replayed',
      );
    const foreign = { ...header, jwk: { ...clientKey.publicJwk, kid: 'x' } };
    expectRefusal(
      await ask(harness, { opTok, proof: signMembers(foreign, claims, clientKey) }),
      'proof-replayed',
    );
  });

  test('the jti of one key says nothing of another key', async () => {
    const replayStore = MemoryReplayStore.create(100, 0);
    const [one, two] = await Promise.all([createHarness({ replayStore }), createHarness({ replayStore })]);
    for (const client of [one, two]) {
      const bound = client.opTok();
      const proof = client.proof(bound, { claims: { jti: 'same' } });
      expectToken(await ask(client, { opTok: bound, proof }));
    }
  });

  test.each([
    ['a', 'a '],
    ['a', 'A'],
    ['1:a', '1'],
    ['\u00e9', 'e\u0301'],
  ])('takes the jti %j and %j for two', async (one, two) => {
    const fresh = await createHarness();
    const bound = fresh.opTok();
    for (const jti of [one, two])
      expectToken(await ask(fresh, { opTok: bound, proof: fresh.proof(bound, { claims: { jti } }) }));
  });

  test('of 100 copies at the same time exactly one is issued a token', async () => {
    const before = harness.decisions.length;
    const proof = harness.proof(opTok);
    const headers = { Authorization: `DPoP ${opTok}`, DPoP: proof };
    const copies = Array.from({ length: 100 }, () =>
      harness.handle(new Request(`${REALM}?service=${SERVICE}`, { headers }), noCertificate),
    );
    const statuses = (await Promise.all(copies)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 401)).toHaveLength(99);
    const reasons = harness.decisions.slice(before).flatMap(({ refusal }) => refusal?.reason ?? []);
    expect(new Set(reasons)).toEqual(new Set(['proof-replayed']));
  });

  test('a refused request does not use the proof up', async () => {
    const thief = await createKey('ES256');
    const proof = harness.proof(opTok);
    const unscoped = harness.opTok({ claims: { scope: 'none' } });
    const foreign = harness.opTok({ key: thief });
    expectRefusal(await ask(harness, { opTok, proof, service: 'another' }), 'service-not-allowed');
    expectRefusal(await ask(harness, { opTok, proof, scopes: ['!'] }), 'malformed-scope');
    expectRefusal(await ask(harness, { opTok, proof, method: 'POST' }), 'proof-method');
    expectRefusal(await ask(harness, { opTok: harness.opTok(), proof }), 'proof-token-hash');
    const { jti } = { jti: 'used by nobody yet' };
    const unscopedProof = harness.proof(unscoped, { claims: { jti } });
    expectRefusal(await ask(harness, { opTok: unscoped, proof: unscopedProof }), 'token-scope');
    const foreignProof = harness.proof(foreign, { claims: { jti } });
    expectRefusal(await ask(harness, { opTok: foreign, proof: foreignProof }), 'token-signature');
    const forged = harness.proof(opTok, { claims: { jti }, key: thief });
    expectRefusal(await ask(harness, { opTok, proof: forged }), 'proof-signature');
    expectToken(await ask(harness, { opTok, proof }));
    expectToken(await ask(harness, { opTok, proof: harness.proof(opTok, { claims: { jti } }) }));
  });

  test.each([
    ['made now', 0],
    ['as old as maxAge', -MAX_AGE],
    ['as far ahead as the skew', SKEW],
  ])('a proof %s is refused as long as its time would still pass', async (_, offset) => {
    const fresh = await createHarness();
    const bound = fresh.opTok();
    const proof = fresh.proof(bound, { claims: { iat: NOW + offset } });
    expectToken(await ask(fresh, { opTok: bound, proof }));
    for (let now = NOW; now <= NOW + offset + MAX_AGE; now += 1) {
      fresh.clock.now = now;
      expectRefusal(await ask(fresh, { opTok: bound, proof }), 'proof-replayed');
    }
    fresh.clock.now = NOW + offset + MAX_AGE + 1;
    expectRefusal(await ask(fresh, { opTok: bound, proof }), 'proof-time');
  });

  test('the entry lives as long as any configuration may accept the proof, and may make room once this one does not', async () => {
    const told: number[][] = [];
    const replayStore: UsedProofs = {
      rememberedSince: 0,
      insert: (key, deadline, now, replaceable = 0) => {
        expect(key.byteLength).toBe(32);
        expect(now).toBe(NOW);
        told.push([deadline, replaceable]);
        return 'first';
      },
    };
    const watched = await createHarness({ replayStore });
    const bound = watched.opTok();
    for (const iat of [NOW, NOW - 60, NOW + 30])
      expectToken(await ask(watched, { opTok: bound, proof: watched.proof(bound, { claims: { iat } }) }));
    const replaceable = NOW - MAX_AGE - SKEW + 600;
    expect(told).toEqual([
      [NOW + 600, replaceable],
      [NOW + 540, replaceable],
      [NOW + 630, replaceable],
    ]);
  });
});

describe('what the proof does not sign, replay detection protects', () => {
  test('a proof that was used for one scope is not good for another, nor for another service', async () => {
    const any = await createHarness({ allowedServices: null });
    const bound = any.opTok();
    const proof = any.proof(bound);
    expectToken(await ask(any, { opTok: bound, proof, scopes: ['repository:public/a:pull'] }));
    const scopes = ['repository:public/b:pull'];
    expectRefusal(await ask(any, { opTok: bound, proof, scopes }), 'proof-replayed');
    expectRefusal(await ask(any, { opTok: bound, proof, service: 'other' }), 'proof-replayed');
  });
});

describe('store full or down is 503, and nothing from before the start is accepted', () => {
  test('a full store issues nothing, and does again when an entry has expired', async () => {
    const small = await createHarness({ replayStore: MemoryReplayStore.create(2, 0) });
    const bound = small.opTok();
    expectToken(await ask(small, { opTok: bound }));
    const proof = small.proof(bound);
    expectToken(await ask(small, { opTok: bound, proof }));
    const full = await ask(small, { opTok: bound });
    expectRefusal(full, 'replay-full');
    expect(Number(full.headers.get('retry-after'))).toBeGreaterThan(0);
    expectRefusal(await ask(small, { opTok: bound, proof }), 'proof-replayed');
    small.clock.now = NOW + MAX_AGE + SKEW + 1;
    expectToken(await ask(small, { opTok: bound }));
  });

  test.each(['full', 'unavailable', 'replayed'] as const)(
    'a store that answers %s issues nothing',
    async (verdict) => {
      const replayStore: UsedProofs = { rememberedSince: 0, insert: async () => verdict };
      const answer = await ask(await createHarness({ replayStore }));
      expectRefusal(answer, verdict === 'replayed' ? 'proof-replayed' : `replay-${verdict}`);
      if (verdict !== 'replayed') expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    },
  );

  test('a store that throws issues nothing', async () => {
    const replayStore: UsedProofs = {
      rememberedSince: 0,
      insert: () => Promise.reject(new Error('connection lost')),
    };
    const answer = await ask(await createHarness({ replayStore }));
    expect(answer.status).toBe(500);
    expect(answer.text).not.toContain('connection lost');
  });

  test('asks for a nonce with a proof from before the start, and accepts those from it on', async () => {
    const started = await createHarness({ replayStore: MemoryReplayStore.create(10, NOW - 5) });
    const bound = started.opTok();
    const withClaims = (claims: Readonly<Record<string, unknown>>) =>
      ask(started, { opTok: bound, proof: started.proof(bound, { claims }) });
    const refused = await withClaims({ iat: NOW - 6 });
    expectRefusal(refused, 'proof-nonce');
    const until = new Date((NOW - 5) * 1000).toISOString();
    expect(refused.text).toContain(`dated before ${until} must contain the nonce of this response`);
    expectRefusal(await withClaims({ iat: NOW - 5.1 }), 'proof-nonce');
    expectToken(await withClaims({ iat: NOW - 5 }));
    const nonce = refused.headers.get('dpop-nonce');
    expectToken(await withClaims({ iat: NOW - 6, nonce }));
    expectRefusal(
      await withClaims({ iat: NOW - 6, nonce: createNonces(() => Buffer.alloc(32)).current(NOW) }),
      'proof-nonce',
    );
  });

  test('a nonce that is required shows nothing about the time before the start', async () => {
    const nonces = createNonces(() => Buffer.alloc(32, 7));
    const started = await createHarness({ nonces, replayStore: MemoryReplayStore.create(10, NOW - 5) });
    const bound = started.opTok();
    const withNonce = (nonce: string | null) =>
      ask(started, { opTok: bound, proof: started.proof(bound, { claims: { iat: NOW - 6, nonce } }) });
    const refused = await withNonce(nonces.current(NOW));
    expectRefusal(refused, 'proof-nonce');
    expectToken(await withNonce(refused.headers.get('dpop-nonce')));
  });

  test('where a nonce is required, the first answer has the one that is good for both', async () => {
    const nonces = createNonces(() => Buffer.alloc(32, 7));
    const started = await createHarness({ nonces, replayStore: MemoryReplayStore.create(10, NOW + 5) });
    const bound = started.opTok();
    const withNonce = (iat: number, nonce?: string | null) =>
      ask(started, { opTok: bound, proof: started.proof(bound, { claims: { iat, nonce } }) });
    const refused = await withNonce(NOW);
    expectRefusal(refused, 'proof-nonce');
    expectToken(await withNonce(NOW, refused.headers.get('dpop-nonce')));
    const later = await withNonce(NOW + 5);
    expect(later.headers.get('dpop-nonce')).toBe(nonces.current(NOW));
    expectToken(await withNonce(NOW + 5, later.headers.get('dpop-nonce')));
  });

  test('a shared store, which remembers from before the start, accepts them', async () => {
    const replayStore: UsedProofs = { rememberedSince: 0, insert: () => 'first' };
    const shared = await createHarness({ replayStore });
    const bound = shared.opTok();
    const proof = shared.proof(bound, { claims: { iat: NOW - MAX_AGE } });
    expectToken(await ask(shared, { opTok: bound, proof }));
  });
});
