/** A client chooses when its body ends, and keys may have to be waited for: what is too old by then is refused. */
import { expect, test } from 'bun:test';
import type { VerificationKeys } from '../../src/authenticate/authority-keys.ts';
import type { UsedProofs } from '../../src/authenticate/replay-store.ts';
import { listen } from '../../src/server/listen.ts';
import { createKey } from '../support/keys.ts';
import { openSocket } from '../support/raw-client.ts';
import {
  authorityKeysOf,
  createHarness,
  type Harness,
  MAX_AGE,
  NOW,
  noCertificate,
  SKEW,
} from '../support/service.ts';
import { REALM, SERVICE } from '../support/tokens.ts';

const BODY = `service=${SERVICE}&scope=repository:public/x:pull`;

/** A POST whose body ends when `end` is called. */
function openPost(harness: Harness, opTok: string, proof: string) {
  const gate = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      await gate.promise;
      controller.enqueue(Buffer.from(BODY));
      controller.close();
    },
  });
  return { answer: post(harness, opTok, proof, body), end: () => gate.resolve() };
}

async function post(
  harness: Harness,
  opTok: string,
  proof: string,
  body: string | ReadableStream<Uint8Array>,
) {
  const headers = {
    Authorization: `DPoP ${opTok}`,
    DPoP: proof,
    'Content-Type': 'application/x-www-form-urlencoded',
  };
  const response = await harness.handle(new Request(REALM, { method: 'POST', headers, body }), noCertificate);
  return { status: response.status, reason: harness.decisions.at(-1)?.refusal?.reason };
}

test("refuses a used proof whose request's body ends after its entry has", async () => {
  const harness = await createHarness();
  const opTok = harness.opTok();
  const proof = harness.proof(opTok, { claims: { htm: 'POST' } });
  expect((await post(harness, opTok, proof, BODY)).status).toBe(200);
  harness.clock.now = NOW + MAX_AGE - 1;
  const slow = openPost(harness, opTok, proof);
  await Bun.sleep(1);
  harness.clock.now = NOW + MAX_AGE + SKEW + 1;
  const other = harness.opTok();
  const otherProof = harness.proof(other, { claims: { htm: 'POST' } });
  expect((await post(harness, other, otherProof, BODY)).status).toBe(200);
  slow.end();
  expect(await slow.answer).toEqual({ status: 401, reason: 'proof-time' });
});

test('refuses an OpTok that expires while the body is on its way', async () => {
  const harness = await createHarness();
  const opTok = harness.opTok({ claims: { exp: NOW + 10 } });
  const proof = harness.proof(opTok, { claims: { htm: 'POST', iat: NOW + SKEW } });
  const slow = openPost(harness, opTok, proof);
  await Bun.sleep(1);
  harness.clock.now = NOW + 10 + SKEW;
  slow.end();
  expect(await slow.answer).toEqual({ status: 401, reason: 'token-expired' });
});

test('refuses a proof that became too old while keys were waited for', async () => {
  const authorityKey = await createKey('ES256');
  const keys = authorityKeysOf(authorityKey);
  let seconds = 0;
  // A store that refuses nothing, as Redis where the entry of the same proof is gone.
  const replayStore: UsedProofs = { rememberedSince: 0, insert: () => 'first' };
  const authorityKeys: VerificationKeys = {
    get generation() {
      return keys.generation;
    },
    find: async (...asked) => {
      await Bun.sleep(1);
      harness.clock.now += seconds;
      return keys.find(...asked);
    },
  };
  const harness = await createHarness({ authorityKey, authorityKeys, replayStore });
  for (const [waited, reason] of [
    [MAX_AGE, undefined],
    [MAX_AGE + 1, 'proof-time'],
  ] as const) {
    harness.clock.now = NOW;
    seconds = waited;
    const opTok = harness.opTok({ claims: { jti: String(waited) } });
    const proof = harness.proof(opTok, { claims: { htm: 'POST' } });
    expect((await post(harness, opTok, proof, BODY)).reason).toBe(reason);
  }
});

test('refuses a body that ends early after its first bytes, whatever they say', async () => {
  const harness = await createHarness();
  const opTok = harness.opTok();
  const proof = harness.proof(opTok, { claims: { htm: 'POST' } });
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(Buffer.from(BODY)),
    pull: (controller) => controller.error(new DOMException('The connection was closed.', 'AbortError')),
  });
  expect(await post(harness, opTok, proof, body)).toEqual({ status: 400, reason: 'malformed-request' });
  // The proof was not used up.
  expect((await post(harness, opTok, proof, BODY)).status).toBe(200);
});

test('issues nothing over a connection that ends in the middle of a body', async () => {
  const harness = await createHarness();
  const opTok = harness.opTok();
  const listener = listen({ host: '127.0.0.1', port: 0, handle: harness.handle });
  const head = [
    'POST /token HTTP/1.1',
    `Host: 127.0.0.1:${listener.port}`,
    `Authorization: DPoP ${opTok}`,
    `DPoP: ${harness.proof(opTok, { claims: { htm: 'POST' } })}`,
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${BODY.length + 20}`,
  ];
  const socket = openSocket({ port: listener.port, tls: false });
  socket.write(`${head.join('\r\n')}\r\n\r\n${BODY}`);
  await Bun.sleep(50);
  socket.destroy();
  while (harness.decisions.length === 0) await Bun.sleep(5);
  await listener.stop(0);
  expect(harness.decisions.map(({ issued, refusal }) => [issued, refusal?.reason])).toEqual([
    [null, 'malformed-request'],
  ]);
});

test('counts a client that hangs up in its body as malformed, not as internal', async () => {
  const harness = await createHarness();
  const opTok = harness.opTok();
  const body = new ReadableStream({
    start: (controller) => controller.error(new DOMException('The connection was closed.', 'AbortError')),
  });
  const proof = harness.proof(opTok, { claims: { htm: 'POST' } });
  expect(await post(harness, opTok, proof, body)).toEqual({ status: 400, reason: 'malformed-request' });
});
