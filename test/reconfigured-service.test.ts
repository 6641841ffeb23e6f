/** A request that is under way while the configuration changes is decided by the one in force when it is answered. */
import { describe, expect, test } from 'bun:test';
import type { UsedProofs } from '../src/authenticate/replay-store.ts';
import { ask, expectRefusal, expectToken } from './support/ask.ts';
import { createKey } from './support/keys.ts';
import { authorityKeysOf, createHarness, createSigningKey, type Harness, NOW } from './support/service.ts';
import { decodePart, REALM } from './support/tokens.ts';

const scopes = ['repository:public/x:pull'];
const revoked = new Set(['LIC-9']);

/** Something that waits until it is let go. */
function createGate() {
  const arrived = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  return {
    arrived: arrived.promise,
    letGo: () => gone.resolve(),
    pass: async () => {
      arrived.resolve();
      await gone.promise;
    },
  };
}

type Gate = ReturnType<typeof createGate>;

const licensed = (harness: Harness) => harness.opTok({ claims: { 'stellaops:license': 'LIC-9' } });

const waits: [string, (gate: Gate) => Promise<Harness>][] = [
  [
    "the Authority's keys",
    async (gate) => {
      const authorityKey = await createKey('ES256');
      const keys = authorityKeysOf(authorityKey);
      const find: typeof keys.find = async (...asked) => {
        await gate.pass();
        return keys.find(...asked);
      };
      return createHarness({ authorityKey, authorityKeys: { generation: 0, find } });
    },
  ],
  [
    'the replay store',
    async (gate) => {
      const insert: UsedProofs['insert'] = async () => {
        await gate.pass();
        return 'first' as const;
      };
      return createHarness({ replayStore: { rememberedSince: 0, insert } });
    },
  ],
  [
    'the signature of its token',
    async (gate) => {
      const signingKey = await createSigningKey('ES256');
      const sign: typeof signingKey.sign = async (claims) => {
        await gate.pass();
        return signingKey.sign(claims);
      };
      return createHarness({ signer: { sign } });
    },
  ],
];

describe.each(waits)('a request that waits for %s', (_, open) => {
  test('gets no token for a licence that is revoked meanwhile', async () => {
    const gate = createGate();
    const harness = await open(gate);
    const answer = ask(harness, { opTok: licensed(harness), scopes });
    await gate.arrived;
    harness.reconfigure({ policy: harness.policy({ revokedLicenses: revoked }) });
    gate.letGo();
    expectRefusal(await answer, 'license-revoked');
    expect(harness.decisions.map(({ generation }) => generation)).toEqual([2]);
  });

  test('gets the token of the configuration that is in force when it is answered', async () => {
    const gate = createGate();
    const harness = await open(gate);
    const answer = ask(harness, { scopes });
    await gate.arrived;
    harness.reconfigure({ issue: { issuer: 'another-issuer', audience: null } });
    gate.letGo();
    const { body } = await answer;
    expect(decodePart(String(body.token), 1).iss).toBe('another-issuer');
  });
});

test('a POST is decided by the configuration in force after its body was read', async () => {
  const harness = await createHarness();
  const gate = createGate();
  const opTok = licensed(harness);
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(Buffer.from('service=registry.example.com'));
      await gate.pass();
      controller.close();
    },
  });
  const headers = {
    Authorization: `DPoP ${opTok}`,
    DPoP: harness.proof(opTok, { claims: { htm: 'POST' } }),
    'Content-Type': 'application/x-www-form-urlencoded',
  };
  const answer = harness.handle(new Request(REALM, { method: 'POST', headers, body }), {
    address: '192.0.2.7',
    certificate: null,
  });
  await gate.arrived;
  harness.reconfigure({ policy: harness.policy({ revokedLicenses: revoked }) });
  gate.letGo();
  expect((await answer).status).toBe(403);
  expect(harness.decisions.map(({ refusal }) => refusal?.reason)).toEqual(['license-revoked']);
});

describe('a request that is decided twice', () => {
  /** Lets the first insert wait, and counts all. */
  async function createWaiting(gate: Gate) {
    const counts = { inserted: 0, taken: 0 };
    const insert: UsedProofs['insert'] = async () => {
      counts.inserted += 1;
      await gate.pass();
      return counts.inserted === 1 ? 'first' : 'replayed';
    };
    const allowance = {
      secondsToWait: () => 0,
      take: () => {
        counts.taken += 1;
        return 0;
      },
      giveBack: () => {
        counts.taken -= 1;
      },
    };
    const harness = await createHarness({
      replayStore: { rememberedSince: 0, insert },
      rateLimits: { allowanceOf: () => allowance },
    });
    return { harness, counts };
  }

  test('uses its proof and its rate once, and is recorded once', async () => {
    const gate = createGate();
    const { harness, counts } = await createWaiting(gate);
    const answer = ask(harness, { scopes });
    await gate.arrived;
    harness.reconfigure({});
    gate.letGo();
    expectToken(await answer);
    expect(counts).toEqual({ inserted: 1, taken: 1 });
    expect(harness.decisions).toHaveLength(1);
  });

  test('may get what only the newer configuration allows', async () => {
    const gate = createGate();
    const { harness } = await createWaiting(gate);
    const opTok = harness.opTok({ claims: { 'stellaops:plan': undefined } });
    const { policy } = harness;
    harness.reconfigure({ policy: policy({ defaultPlan: null }) });
    const answer = ask(harness, { opTok, scopes });
    await gate.arrived;
    harness.reconfigure({ policy: policy({}) });
    gate.letGo();
    expectToken(await answer);
  });

  test('must still be fresh by the newer configuration', async () => {
    const gate = createGate();
    const { harness } = await createWaiting(gate);
    const answer = ask(harness, { scopes });
    await gate.arrived;
    harness.clock.now = NOW + 91;
    harness.reconfigure({});
    gate.letGo();
    expectRefusal(await answer, 'proof-time');
  });
});
