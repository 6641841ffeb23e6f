/** The proof: a nonce says that a proof is recent (RFC 9449 §8). */
import { describe, expect, test } from 'bun:test';
import { createHmac, randomBytes } from 'node:crypto';
import { createNonces } from '../../src/authenticate/nonce.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import {
  type Answer,
  ask,
  expectRefusal,
  expectToken,
  parseChallenges,
  type Question,
} from '../support/ask.ts';
import { createKey } from '../support/keys.ts';
import { createHarness, type Harness, NOW } from '../support/service.ts';
import { encode } from '../support/tokens.ts';

/** Seconds in which one nonce is handed out; NOW is at the start of such a step. */
const STEP = 60;

const secret = randomBytes(32);
const harness = await createHarness({ nonces: createNonces(() => secret) });

/** With a good proof that holds this nonce, if any. */
function askWith(to: Harness, nonce: unknown, question: Question = {}): Promise<Answer> {
  const opTok = to.opTok();
  const proof = to.proof(opTok, { claims: { nonce, htm: question.method ?? 'GET' } });
  return ask(to, { opTok, proof, ...question });
}

/** The one nonce of an answer; the answer must be `use_dpop_nonce` in all its parts. */
function expectNonce(answer: Answer): string {
  expectRefusal(answer, 'proof-nonce');
  expect([...answer.headers.keys()].filter((name) => name === 'dpop-nonce')).toHaveLength(1);
  const nonce = answer.headers.get('dpop-nonce') ?? '';
  // RFC 9449 §8.1: NQCHAR; a comma would be a second field.
  expect(nonce).toMatch(/^[A-Za-z0-9_-]{43}$/);
  const challenge = parseChallenges(answer.headers).find(({ scheme }) => scheme === 'DPoP');
  expect(challenge?.parameters.error).toBe('use_dpop_nonce');
  return nonce;
}

describe('a nonce that is ours and recent, or 401 use_dpop_nonce with a new one', () => {
  test('a proof without a nonce gets one, and with it a token', async () => {
    expectToken(await askWith(harness, expectNonce(await askWith(harness, undefined))));
  });

  test.each(['GET', 'POST'] as const)(
    'the nonce comes by %s, under DPoP and under Bearer',
    async (method) => {
      for (const scheme of ['DPoP', 'Bearer'] as const) {
        const nonce = expectNonce(await askWith(harness, undefined, { method, scheme }));
        expectToken(await askWith(harness, nonce, { method, scheme }));
      }
    },
  );

  test('the fault is told in the challenge of DPoP alone', async () => {
    const { headers } = await askWith(harness, undefined, { scheme: 'Bearer' });
    const faulty = parseChallenges(headers).filter(({ parameters }) => parameters.error !== undefined);
    expect(faulty.map(({ scheme }) => scheme)).toEqual(['DPoP']);
  });

  test.each([
    ['an empty one', ''],
    ['a word', 'nonce'],
    ['a number', 1],
    ['null', null],
    ['true', true],
    ['a list of the right one', 'list'],
    ['an object', {}],
    ['the right one and more', 'longer'],
    ['the right one cut short', 'shorter'],
    ['the right one with padding', 'padded'],
    ['the right one in another letter case', 'upper'],
    ['the right one twice', 'twice'],
    ['a megabyte', 'long'],
  ])('refuses a proof whose nonce is %s', async (_, kind) => {
    const nonce = expectNonce(await askWith(harness, undefined));
    const made: Readonly<Record<string, unknown>> = {
      list: [nonce],
      longer: `${nonce}A`,
      shorter: nonce.slice(0, -1),
      padded: `${nonce}=`,
      upper: nonce.toUpperCase(),
      twice: `${nonce}, ${nonce}`,
      long: 'A'.repeat(5000),
    };
    const value = typeof kind === 'string' && Object.hasOwn(made, kind) ? made[kind] : kind;
    expectNonce(await askWith(harness, value));
  });

  test('a foreign nonce is refused: of another secret, or a guess without one', async () => {
    const foreign = createNonces(() => randomBytes(32)).current(NOW);
    const step = Math.floor(NOW / STEP);
    const guesses = ['', 'dpop-nonce', Buffer.alloc(32)].map((key) =>
      createHmac('sha256', key).update(`dpop-nonce:${step}`).digest('base64url'),
    );
    const texts = [String(step), encode(`dpop-nonce:${step}`)];
    for (const nonce of [foreign, ...guesses, ...texts]) expectNonce(await askWith(harness, nonce));
  });

  test('a nonce is good for its step and the next, and stale after that', async () => {
    const own = await createHarness({ nonces: createNonces(() => secret) });
    const nonce = expectNonce(await askWith(own, undefined));
    for (const [later, verdict] of [
      [0, 'good'],
      [STEP - 1, 'good'],
      [STEP, 'good'],
      [2 * STEP - 1, 'good'],
      [2 * STEP, 'stale'],
      [10 * STEP, 'stale'],
    ] as const) {
      own.clock.now = NOW + later;
      const answer = await askWith(own, nonce);
      if (verdict === 'good') expectToken(answer);
      else expect(expectNonce(answer)).not.toBe(nonce);
    }
  });

  test('the nonce of a neighbour whose clock is up to a step ahead is taken, and none from further ahead', async () => {
    const nonces = createNonces(() => secret);
    expectToken(await askWith(harness, nonces.current(NOW + STEP)));
    expectNonce(await askWith(harness, nonces.current(NOW + 2 * STEP)));
  });

  test('each step has another nonce, and a process another secret where none is shared', () => {
    const [one, two] = [randomBytes(32), randomBytes(32)].map((own) => createNonces(() => own));
    if (one === undefined || two === undefined) throw new Error('There are no two.');
    const steps = [0, 1, 2, 3].map((step) => one.current(NOW + step * STEP));
    expect(new Set([...steps, two.current(NOW)]).size).toBe(5);
    expect(one.current(NOW + STEP - 0.001)).toBe(one.current(NOW));
  });

  test('processes that share a secret take the nonces of each other', async () => {
    const [one, two] = await Promise.all(
      [1, 2].map(() => createHarness({ nonces: createNonces(() => Buffer.from(secret)) })),
    );
    if (one === undefined || two === undefined) throw new Error('There are no two.');
    expectToken(await askWith(two, expectNonce(await askWith(one, undefined))));
    expectToken(await askWith(one, expectNonce(await askWith(two, undefined))));
  });

  test('does not replace the replay store: one proof with a good nonce is good once', async () => {
    const own = await createHarness({
      nonces: createNonces(() => secret),
      replayStore: MemoryReplayStore.create(1000, 0),
    });
    const nonce = expectNonce(await askWith(own, undefined));
    const opTok = own.opTok();
    const proof = own.proof(opTok, { claims: { nonce } });
    expectToken(await ask(own, { opTok, proof }));
    const again = await ask(own, { opTok, proof });
    expectRefusal(again, 'proof-replayed');
    expect(again.headers.get('dpop-nonce')).toBeNull();
  });

  test('a proof refused for its nonce is not used up', async () => {
    const own = await createHarness({ nonces: createNonces(() => secret) });
    const opTok = own.opTok();
    const early = own.proof(opTok, { claims: { nonce: createNonces(() => secret).current(NOW + 2 * STEP) } });
    expectNonce(await ask(own, { opTok, proof: early }));
    own.clock.now = NOW + 30;
    expectNonce(await ask(own, { opTok, proof: early }));
    own.clock.now = NOW + STEP;
    expectToken(await ask(own, { opTok, proof: early }));
  });

  test('a good nonce makes no bad proof good', async () => {
    const nonce = expectNonce(await askWith(harness, undefined));
    const opTok = harness.opTok();
    const other = await createKey('ES256');
    const proof = (claims: object, key = harness.clientKey) =>
      harness.proof(opTok, { claims: { nonce, ...claims }, key });
    expectRefusal(await ask(harness, { opTok, proof: proof({}, other) }), 'proof-signature');
    expectRefusal(await ask(harness, { opTok, proof: proof({ iat: NOW - 61 }) }), 'proof-time');
    expectRefusal(await ask(harness, { opTok, proof: proof({ ath: 'x' }) }), 'proof-token-hash');
    expectRefusal(await ask(harness, { opTok, proof: proof({ htm: 'POST' }) }), 'proof-method');
    expectRefusal(await ask(harness, { opTok, proof: null }), 'proof-missing');
  });

  test('an OpTok bound to a certificate needs none', async () => {
    const der = Buffer.from('3003020105', 'hex');
    const x5tS256 = new Bun.CryptoHasher('sha256').update(der).digest('base64url');
    const opTok = harness.opTok({ claims: { cnf: { 'x5t#S256': x5tS256 } } });
    const connection = { address: '192.0.2.7', certificate: { der, trusted: true } };
    expectToken(await ask(harness, { opTok, scheme: 'Bearer', proof: null, connection }));
  });
});

describe('where no nonce is required', () => {
  test('no answer has one, and a nonce in a proof is not looked at', async () => {
    const without = await createHarness();
    const refused = await ask(without, { proof: 'x.y.z' });
    const replayed = await askWith(without, 'anything');
    expectToken(replayed);
    for (const nonce of [undefined, 'anything', 7, null]) {
      const answer = await askWith(without, nonce);
      expectToken(answer);
      expect(answer.headers.get('dpop-nonce')).toBeNull();
    }
    expect(refused.headers.get('dpop-nonce')).toBeNull();
    expect(refused.text).not.toContain('nonce');
  });
});
