/** What was verified once is remembered, bounded and only as long as the key set that verified it. */
import { expect, test } from 'bun:test';
import type { VerificationKeys } from '../../src/authenticate/authority-keys.ts';
import { Refusal } from '../../src/refusal.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import { createKey } from '../support/keys.ts';
import { authorityKeysOf, createHarness } from '../support/service.ts';

const authorityKey = await createKey('ES256');
const keySet = authorityKeysOf(authorityKey);

/** A key set that can be replaced, and that counts how often it is asked. */
function createReplaceableKeys() {
  const state = { generation: 1, asked: 0, current: keySet, beforeAnswer: () => {} };
  const keys: VerificationKeys = {
    get generation() {
      return state.generation;
    },
    async find(algorithm, keyId, now) {
      state.asked += 1;
      const key = await state.current.find(algorithm, keyId, now);
      state.beforeAnswer();
      return key;
    },
  };
  return { state, keys };
}

test('an OpTok that was verified is not verified again, and its proof is', async () => {
  const { state, keys } = createReplaceableKeys();
  const harness = await createHarness({ authorityKey, authorityKeys: keys });
  const opTok = harness.opTok();
  for (let count = 0; count < 5; count += 1) expectToken(await ask(harness, { opTok }));
  expect(state.asked).toBe(1);
  const forged = harness.proof(opTok, { key: authorityKey });
  expectRefusal(await ask(harness, { opTok, proof: forged }), 'proof-signature');
});

test('an OpTok that was refused is not remembered', async () => {
  const { state, keys } = createReplaceableKeys();
  const harness = await createHarness({ authorityKey, authorityKeys: keys });
  const opTok = harness.opTok({ key: harness.clientKey });
  for (let count = 0; count < 3; count += 1) expectRefusal(await ask(harness, { opTok }), 'token-signature');
  expect(state.asked).toBe(3);
});

test('an OpTok whose key left the key set is refused from then on', async () => {
  const { state, keys } = createReplaceableKeys();
  const harness = await createHarness({ authorityKey, authorityKeys: keys });
  const opTok = harness.opTok();
  expectToken(await ask(harness, { opTok }));
  state.generation = 2;
  state.current = authorityKeysOf(await createKey('ES256'));
  expectRefusal(await ask(harness, { opTok }), 'token-key-unknown');
});

test('an OpTok that was verified while its key set was being replaced is not remembered', async () => {
  const { state, keys } = createReplaceableKeys();
  const harness = await createHarness({ authorityKey, authorityKeys: keys });
  const opTok = harness.opTok();
  const other = authorityKeysOf(await createKey('ES256'));
  state.beforeAnswer = () => {
    state.generation = 2;
    state.current = other;
  };
  expectToken(await ask(harness, { opTok }));
  expectRefusal(await ask(harness, { opTok }), 'token-key-unknown');
});

test('no key set at all is 503 with Retry-After, and nothing is issued', async () => {
  const authorityKeys: VerificationKeys = {
    generation: 0,
    find: async () => {
      throw new Refusal('authority-unavailable', 'No key set yet.', { retryAfter: 5 });
    },
  };
  const answer = await ask(await createHarness({ authorityKeys }));
  expectRefusal(answer, 'authority-unavailable');
  expect(answer.headers.get('retry-after')).toBe('5');
});
