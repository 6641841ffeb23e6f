/** The token endpoint as a whole: one decision a request, and no fault that gets out. */
import { describe, expect, test } from 'bun:test';
import type { ReplayVerdict, UsedProofs } from '../src/authenticate/replay-store.ts';
import type { Signer } from '../src/issue/signer.ts';
import { ask, expectProblem, expectRefusal, expectToken, send } from './support/ask.ts';
import { createHarness } from './support/service.ts';
import { REALM } from './support/tokens.ts';

describe('a decision', () => {
  test('is recorded once for a request that was granted, with all that was known', async () => {
    const harness = await createHarness();
    const scopes = ['repository:public/a:pull'];
    expectToken(await ask(harness, { scopes }));
    expect(harness.decisions).toHaveLength(1);
    const [decision] = harness.decisions;
    expect(decision?.address).toBe('192.0.2.7');
    expect(decision?.request?.service).toBe('registry.example.com');
    expect(decision?.caller?.kind).toBe('verified');
    expect(decision?.grant?.plan).toBe('community');
    expect(decision?.issued?.jti).toBeString();
    expect(decision?.refusal).toBeNull();
    expect(decision?.durationMs).toBeGreaterThan(0);
  });

  test('has a caller as soon as the OpTok was verified', async () => {
    const harness = await createHarness();
    const opTok = harness.opTok();
    const proof = harness.proof(opTok);
    const steps = [
      { question: { scopes: ['!'] }, request: false, caller: false, grant: false },
      {
        question: { opTok: harness.opTok({ key: harness.clientKey }) },
        request: true,
        caller: false,
        grant: false,
      },
      {
        question: { opTok, proof: harness.proof(opTok, { key: harness.authorityKey }) },
        request: true,
        caller: true,
        grant: false,
      },
      { question: { opTok, proof }, request: true, caller: true, grant: true },
      { question: { opTok, proof }, request: true, caller: true, grant: false },
      { question: { opTok, scopes: ['repository:secret:pull'] }, request: true, caller: true, grant: false },
    ];
    for (const { question, ...expected } of steps) {
      const { decision } = await ask(harness, question);
      const { request, caller, grant } = decision;
      expect({ request: request !== null, caller: caller !== null, grant: grant !== null }).toEqual(expected);
      expect((decision.issued === null) !== (decision.refusal === null)).toBe(true);
    }
    expect(harness.decisions).toHaveLength(steps.length);
  });
});

test('durationMs is the time from the request to its answer, in milliseconds', async () => {
  const DELAY = 120;
  const replayStore: UsedProofs = {
    rememberedSince: 0,
    insert: async (): Promise<ReplayVerdict> => {
      await Bun.sleep(DELAY);
      return 'first';
    },
  };
  const harness = await createHarness({ replayStore });
  for (const expected of ['issued', 'refused'] as const) {
    const scopes = expected === 'issued' ? [] : ['repository:secret/x:pull'];
    const started = performance.now();
    const { decision } = await ask(harness, { scopes, opTok: harness.opTok() });
    const elapsed = performance.now() - started;
    expect(decision.refusal === null).toBe(expected === 'issued');
    expect(decision.durationMs).toBeGreaterThanOrEqual(DELAY - 1);
    expect(decision.durationMs).toBeLessThanOrEqual(elapsed);
  }
});

describe('a fault of the service', () => {
  const failing: Signer = { sign: () => Promise.reject(new Error('secret inside: -----BEGIN')) };

  test('is 500 without its words, recorded as internal with the fault, and issues nothing', async () => {
    const harness = await createHarness({ signer: failing });
    const answer = await ask(harness);
    expect([answer.status, answer.body.error]).toEqual([500, 'server_error']);
    expect(answer.text).not.toContain('secret inside');
    expectProblem(answer);
    expect(answer.decision.refusal?.reason).toBe('internal');
    expect(answer.decision.issued).toBeNull();
    expect(answer.decision.fault).toBeInstanceOf(Error);
  });

  test('may be anything that can be thrown', async () => {
    for (const thrown of [null, undefined, 'text', 7, { status: 200 }]) {
      const harness = await createHarness({ signer: { sign: () => Promise.reject(thrown) } });
      expect((await ask(harness)).status).toBe(500);
    }
  });

  test('leaves the next request alone', async () => {
    let count = 0;
    const harness = await createHarness();
    const signer: Signer = {
      sign: (claims) => {
        count += 1;
        return count === 1 ? Promise.reject(new Error('once')) : harness.signingKey.sign(claims);
      },
    };
    const flaky = await createHarness({ signer });
    expect((await ask(flaky)).status).toBe(500);
    expectToken(await ask(flaky));
  });

  test('a body that breaks off is no token', async () => {
    const harness = await createHarness();
    const body = new ReadableStream({
      pull: (controller) => controller.error(new Error('connection reset')),
    });
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const answer = await send(harness, new Request(REALM, { method: 'POST', headers, body }));
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.text).not.toContain('connection reset');
  });
});

describe('the order of the checks', () => {
  test('the cheaper fault is told first', async () => {
    const harness = await createHarness();
    const forged = harness.opTok({ key: harness.clientKey });
    expectRefusal(await ask(harness, { opTok: forged, service: null }), 'malformed-request');
    expectRefusal(await ask(harness, { opTok: forged, scopes: ['!'] }), 'malformed-scope');
    expectRefusal(await ask(harness, { opTok: forged, proof: null }), 'proof-missing');
    expectRefusal(await ask(harness, { opTok: forged, proof: 'x' }), 'proof-malformed');
    expectRefusal(await ask(harness, { opTok: forged }), 'token-signature');
  });

  test('no signature is looked at, and no key asked for, where a cheap check refuses', async () => {
    let asked = 0;
    const authorityKeys = {
      generation: 0,
      find: async () => {
        asked += 1;
        throw new Error('not to be asked');
      },
    };
    const harness = await createHarness({ authorityKeys });
    const opTok = harness.opTok();
    const expired = harness.opTok({ claims: { exp: 1 } });
    expectRefusal(await ask(harness, { opTok: expired }), 'token-expired');
    expectRefusal(
      await ask(harness, { opTok, proof: harness.proof(opTok, { claims: { iat: 1 } }) }),
      'proof-time',
    );
    expectRefusal(
      await ask(harness, { opTok, proof: harness.proof(opTok, { claims: { ath: '' } }) }),
      'proof-token-hash',
    );
    expect(asked).toBe(0);
  });
});
