/** A client chooses when its body ends: what is old by then is old. */
import { expect, test } from 'bun:test';
import { createHarness, type Harness, MAX_AGE, NOW, noCertificate, SKEW } from '../support/service.ts';
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

test('counts a client that hangs up in its body as malformed, not as internal', async () => {
  const harness = await createHarness();
  const opTok = harness.opTok();
  const body = new ReadableStream({
    start: (controller) => controller.error(new DOMException('The connection was closed.', 'AbortError')),
  });
  const proof = harness.proof(opTok, { claims: { htm: 'POST' } });
  expect(await post(harness, opTok, proof, body)).toEqual({ status: 400, reason: 'malformed-request' });
});
