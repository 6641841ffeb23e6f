/** `limits.perSubject`: who is answered how often, what counts and what does not. */
import { describe, expect, test } from 'bun:test';
import type { Rate } from '../../src/authenticate/rate-limits.ts';
import type { ReplayVerdict } from '../../src/authenticate/replay-store.ts';
import { createRateLimits } from '../../src/limit/rate-limits.ts';
import { RateTable } from '../../src/limit/rate-table.ts';
import { type Answer, ask, expectRefusal, expectToken, type Question } from '../support/ask.ts';
import { createKey } from '../support/keys.ts';
import {
  createHarness,
  createPlan,
  type Harness,
  type HarnessOptions,
  withCertificate,
} from '../support/service.ts';
import { sha256 } from '../support/tokens.ts';

const RATE: Rate = { count: 3, perSeconds: 60 };

function createLimited(options: HarnessOptions = {}): Promise<Harness> {
  return createHarness({ rateLimits: createRateLimits(RateTable.create(), RATE), ...options });
}

/** Asks until it is told to wait, and returns how many times it was not. */
async function countUntilLimited(harness: Harness, question: () => Question = () => ({})): Promise<number> {
  for (let answered = 0; answered < 20; answered += 1) {
    const answer = await ask(harness, question());
    if (answer.status === 429) return answered;
    expectToken(answer);
  }
  throw new Error('It was never limited.');
}

function expectWait(answer: Answer, seconds: number): void {
  expectRefusal(answer, 'rate-limited');
  expect(answer.headers.get('retry-after')).toBe(String(seconds));
}

describe('a subject', () => {
  test('is answered so many times, then 429 with the time to wait, and after it once more', async () => {
    const harness = await createLimited();
    expect(await countUntilLimited(harness)).toBe(3);
    expectWait(await ask(harness), 20);
    harness.clock.now += 12.5;
    expectWait(await ask(harness), 8);
    harness.clock.now += 7.5;
    expect(await countUntilLimited(harness)).toBe(1);
    harness.clock.now += 60;
    expect(await countUntilLimited(harness)).toBe(3);
  });

  test('is limited by its name, whatever its OpToks, keys, proofs and bindings are', async () => {
    const other = await createKey('ES256');
    const der = Buffer.from('a certificate');
    const harness = await createLimited();
    expectToken(await ask(harness));
    const bound = harness.opTok({ claims: { cnf: { 'x5t#S256': sha256(der) } } });
    const connection = withCertificate(der);
    expectToken(await ask(harness, { opTok: bound, scheme: 'Basic', proof: null, connection }));
    const ofOther = harness.opTok({ claims: { cnf: { jkt: other.thumbprint } } });
    const proof = harness.proof(ofOther, { key: other, header: { jwk: other.publicJwk } });
    expectToken(await ask(harness, { opTok: ofOther, proof }));
    expectRefusal(await ask(harness), 'rate-limited');
    expectRefusal(
      await ask(harness, { opTok: bound, scheme: 'Bearer', proof: null, connection }),
      'rate-limited',
    );
  });

  test('takes nothing from another', async () => {
    const harness = await createLimited();
    const asOther = () => ({ opTok: harness.opTok({ claims: { sub: 'other' } }) });
    expect(await countUntilLimited(harness)).toBe(3);
    expect(await countUntilLimited(harness, asOther)).toBe(3);
  });

  test('counts where its plan does not allow what it asks for', async () => {
    const harness = await createLimited();
    const scopes = ['repository:secret/x:pull'];
    for (let asked = 0; asked < 3; asked += 1) expectRefusal(await ask(harness, { scopes }), 'plan-denied');
    expectRefusal(await ask(harness, { scopes }), 'rate-limited');
  });

  test('is limited exactly when many requests come at once', async () => {
    const harness = await createLimited();
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => {
        const opTok = harness.opTok();
        const headers = { Authorization: `DPoP ${opTok}`, DPoP: harness.proof(opTok) };
        const url = 'https://registry.example.com/token?service=registry.example.com';
        return harness.handle(new Request(url, { headers }), { address: '192.0.2.7', certificate: null });
      }),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(3);
    expect(statuses.filter((status) => status === 429)).toHaveLength(37);
  });
});

describe('who is not the subject takes nothing from it', () => {
  test.each<[string, (harness: Harness) => Promise<Question>, string]>([
    [
      'an OpTok that the Authority did not sign',
      async (harness) => ({ opTok: harness.opTok({ key: await createKey('ES256') }) }),
      'token-signature',
    ],
    [
      'an OpTok without its key',
      async (harness) => {
        const opTok = harness.opTok();
        return { opTok, proof: harness.proof(opTok, { key: await createKey('ES256') }) };
      },
      'proof-signature',
    ],
    [
      'an OpTok with the proof of another key',
      async (harness) => {
        const thief = await createKey('ES256');
        const opTok = harness.opTok();
        return { opTok, proof: harness.proof(opTok, { key: thief, header: { jwk: thief.publicJwk } }) };
      },
      'proof-binding',
    ],
    ['an OpTok without a proof', async () => ({ proof: null }), 'proof-missing'],
    [
      'an OpTok that lacks the scope',
      async (harness) => ({ opTok: harness.opTok({ claims: { scope: 'other' } }) }),
      'token-scope',
    ],
    [
      'an OpTok without its certificate',
      async (harness) => ({
        opTok: harness.opTok({ claims: { cnf: { 'x5t#S256': sha256(Buffer.from('its own')) } } }),
        scheme: 'Bearer',
        proof: null,
        connection: withCertificate(Buffer.from('another')),
      }),
      'certificate-binding',
    ],
  ])('%s', async (_, question, reason) => {
    const harness = await createLimited();
    for (let asked = 0; asked < 10; asked += 1) {
      const answer = await ask(harness, await question(harness));
      expect(answer.decision.refusal?.reason).toBe(reason as never);
    }
    expect(await countUntilLimited(harness)).toBe(3);
  });

  test('a proof that was used before', async () => {
    const harness = await createLimited();
    const opTok = harness.opTok();
    const proof = harness.proof(opTok);
    expectToken(await ask(harness, { opTok, proof }));
    for (let asked = 0; asked < 10; asked += 1)
      expectRefusal(await ask(harness, { opTok, proof }), 'proof-replayed');
    expect(await countUntilLimited(harness)).toBe(2);
  });

  test.each<[string, () => Promise<ReplayVerdict>]>([
    ['is full', async () => 'full'],
    ['is unavailable', async () => 'unavailable'],
    ['fails', () => Promise.reject(new Error('lost'))],
  ])('nor is a request counted when the replay store %s', async (_, verdict) => {
    let insert = verdict;
    const harness = await createLimited({ replayStore: { rememberedSince: 0, insert: () => insert() } });
    for (let asked = 0; asked < 10; asked += 1) expect((await ask(harness)).status).toBeWithin(500, 504);
    insert = async () => 'first';
    expect(await countUntilLimited(harness)).toBe(3);
  });
});

describe('a request beyond the rate', () => {
  test('does not use up its proof', async () => {
    const harness = await createLimited();
    expect(await countUntilLimited(harness)).toBe(3);
    const opTok = harness.opTok();
    const proof = harness.proof(opTok);
    for (let asked = 0; asked < 5; asked += 1)
      expectRefusal(await ask(harness, { opTok, proof }), 'rate-limited');
    harness.clock.now += 20;
    expectToken(await ask(harness, { opTok, proof }));
    expectRefusal(await ask(harness, { opTok, proof }), 'rate-limited');
  });

  test('does not use up its proof either where another took the last one meanwhile', async () => {
    const table = RateTable.create();
    const rateLimits = createRateLimits(table, RATE);
    const first = await createHarness({ rateLimits });
    // It has looked before the others took.
    const { authorityKey, clientKey } = first;
    const harness = await createHarness({
      authorityKey,
      clientKey,
      rateLimits: {
        allowanceOf: (caller) => {
          const allowance = rateLimits.allowanceOf(caller);
          return { ...allowance, secondsToWait: () => 0 };
        },
      },
    });
    expect(await countUntilLimited(first)).toBe(3);
    const opTok = harness.opTok();
    const proof = harness.proof(opTok);
    expectRefusal(await ask(harness, { opTok, proof }), 'rate-limited');
    harness.clock.now += 20;
    expectToken(await ask(harness, { opTok, proof }));
  });

  test('is told so before the signature of its proof is looked at', async () => {
    const harness = await createLimited();
    const opTok = harness.opTok();
    const forged = () => ({ opTok, proof: `${harness.proof(opTok).slice(0, -8)}AAAAAAAA` });
    expectRefusal(await ask(harness, forged()), 'proof-signature');
    expect(await countUntilLimited(harness)).toBe(3);
    expectRefusal(await ask(harness, forged()), 'rate-limited');
  });

  test('is told what is wrong with it first where that is cheap', async () => {
    const harness = await createLimited();
    expect(await countUntilLimited(harness)).toBe(3);
    expectRefusal(await ask(harness, { proof: null }), 'proof-missing');
    expectRefusal(await ask(harness, { opTok: harness.opTok({ claims: { exp: 1 } }) }), 'token-expired');
    expectRefusal(await ask(harness, { opTok: harness.opTok({ claims: { scope: 'x' } }) }), 'token-scope');
    expectRefusal(await ask(harness, { service: 'another' }), 'service-not-allowed');
  });
});

describe('a request without credentials, where there is a plan for it', () => {
  const plan = createPlan('visitors', [['public/**', ['pull']]]);
  const open = () =>
    createLimited({
      anonymous: 'accept',
      policy: { plans: new Map([['visitors', plan]]), anonymousPlan: 'visitors', defaultPlan: 'visitors' },
    });
  const from = (address: string): Question => ({
    scheme: 'none',
    proof: null,
    connection: { address, certificate: null },
  });

  test.each([
    ['192.0.2.7', '192.0.2.7', '192.0.2.8'],
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff::9', '2001:db8:1:3::1'],
    ['::ffff:192.0.2.7', '192.0.2.7', '::ffff:192.0.2.8'],
  ])('is limited by its address: %s is %s and not %s', async (address, same, other) => {
    const harness = await open();
    expect(await countUntilLimited(harness, () => from(address))).toBe(3);
    expectWait(await ask(harness, from(same)), 20);
    expect(await countUntilLimited(harness, () => from(other))).toBe(3);
  });

  test('takes nothing from a subject at that address, nor from one that is named like it', async () => {
    const harness = await open();
    expect(await countUntilLimited(harness, () => from('192.0.2.7'))).toBe(3);
    const named = () => ({ opTok: harness.opTok({ claims: { sub: '192.0.2.7' } }) });
    expect(await countUntilLimited(harness, named)).toBe(3);
    expect(await countUntilLimited(harness)).toBe(3);
  });

  test('is not counted where it is asked for credentials anyway', async () => {
    const harness = await createLimited();
    for (let asked = 0; asked < 10; asked += 1)
      expectRefusal(await ask(harness, from('192.0.2.7')), 'credentials-missing');
  });
});

test('without a limit nobody has to wait', async () => {
  const harness = await createHarness();
  const opTok = harness.opTok();
  for (let asked = 0; asked < 60; asked += 1) expectToken(await ask(harness, { opTok }));
});
