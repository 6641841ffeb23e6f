import { expect, test } from 'bun:test';
import { ask, expectToken } from '../support/ask.ts';
import { createHarness } from '../support/service.ts';
import { decodePart, SERVICE } from '../support/tokens.ts';

test.each([
  ['of the service that was asked for, where signing.audience is absent', undefined, SERVICE],
  ['of signing.audience, whatever was asked for', 'registry.elsewhere.example', 'registry.elsewhere.example'],
])('a token has the aud %s', async (_, audience, expected) => {
  const harness = await createHarness(audience === undefined ? {} : { audience });
  const answer = await ask(harness);
  expectToken(answer);
  expect(decodePart(String(answer.body.token), 1).aud).toBe(expected);
});
