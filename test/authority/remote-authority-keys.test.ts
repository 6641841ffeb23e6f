/** The Authority's keys: cached, and fetched seldom however many ask. */
import { describe, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import {
  answersJson,
  answersStatus,
  createGate,
  KEY_SET_PATH,
  keySetOf,
  METADATA_PATH,
} from '../support/faulty-authority.ts';
import { createKey } from '../support/keys.ts';
import { askBy, COOL_DOWN, createRemoteSetting, opTokBy, REFRESH } from '../support/remote-setting.ts';
import { NOW } from '../support/service.ts';

const [firstKey, nextKey, strangersKey] = await Promise.all([
  createKey('ES256'),
  createKey('ES256'),
  createKey('ES256'),
]);

describe("Authority's keys rule 2: a kid never seen causes at most one fetch per cool-down", () => {
  test('many requests for known keys cause one fetch', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const answers = await Promise.all(Array.from({ length: 200 }, () => askBy(setting.harness, firstKey)));
    for (const answer of answers) expectToken(answer);
    expect(setting.authority.requests).toEqual([METADATA_PATH, KEY_SET_PATH]);
  });

  test('200 requests at once, each with another kid, cause one fetch', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority } = setting;
    expectToken(await askBy(harness, firstKey));
    harness.clock.now += COOL_DOWN;
    const ask200 = () =>
      Promise.all(Array.from({ length: 200 }, () => askBy(harness, strangersKey, randomUUID())));
    for (const answer of await ask200()) expectRefusal(answer, 'token-key-unknown');
    expect(authority.fetches()).toBe(2);
    for (const answer of await ask200()) expectRefusal(answer, 'token-key-unknown');
    expect(authority.fetches()).toBe(2);
  });

  test('the next fetch for an unknown kid comes 30 seconds after the last, not sooner', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority } = setting;
    expectRefusal(await askBy(harness, nextKey), 'token-key-unknown');
    expect(authority.fetches()).toBe(1);
    for (const [later, fetches] of [
      [1, 1],
      [COOL_DOWN - 1, 1],
      [COOL_DOWN, 2],
      [COOL_DOWN + 1, 2],
      [2 * COOL_DOWN - 1, 2],
      [2 * COOL_DOWN, 3],
    ] as const) {
      harness.clock.now = NOW + later;
      expectRefusal(await askBy(harness, nextKey), 'token-key-unknown');
      expect([later, authority.fetches()]).toEqual([later, fetches]);
    }
  });

  test('a failed fetch counts for the cool-down as well', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority } = setting;
    expectToken(await askBy(harness, firstKey));
    authority.behave({ keySet: answersStatus(500) });
    harness.clock.now += COOL_DOWN;
    for (let asked = 0; asked < 5; asked += 1)
      expectRefusal(await askBy(harness, nextKey), 'token-key-unknown');
    expect(authority.fetches()).toBe(2);
  });

  test('a new key of the Authority is known at its first OpTok', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority } = setting;
    expectToken(await askBy(harness, firstKey));
    authority.publish(firstKey, nextKey);
    harness.clock.now += COOL_DOWN;
    expectToken(await askBy(harness, nextKey));
    expectToken(await askBy(harness, firstKey));
    expect(authority.fetches()).toBe(2);
  });

  test('a key that the Authority withdrew is worth nothing from the next fetch on, for a known OpTok too', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority } = setting;
    const known = opTokBy(harness, firstKey);
    expectToken(await ask(harness, { opTok: known }));
    authority.publish(nextKey);
    expectToken(await ask(harness, { opTok: known }));
    harness.clock.now += COOL_DOWN;
    expectToken(await askBy(harness, nextKey));
    expectRefusal(await ask(harness, { opTok: known }), 'token-key-unknown');
    expectRefusal(await askBy(harness, firstKey), 'token-key-unknown');
  });

  test('a key under a known kid that is another key does not verify', async () => {
    await using setting = await createRemoteSetting(firstKey);
    expectToken(await askBy(setting.harness, firstKey));
    const forged = await askBy(setting.harness, strangersKey, firstKey.thumbprint);
    expectRefusal(forged, 'token-signature');
    expect(setting.authority.fetches()).toBe(1);
  });

  test('while a fetch is under way, requests with known keys are answered, and one for a new key waits', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority, keys } = setting;
    expectToken(await askBy(harness, firstKey));
    const gate = createGate(answersJson(keySetOf([firstKey, nextKey])));
    authority.behave({ keySet: gate.behaviour });
    harness.clock.now += REFRESH + 1;
    let answered = false;
    const waiting = askBy(harness, nextKey).then((answer) => {
      answered = true;
      return answer;
    });
    for (let asked = 0; asked < 20; asked += 1) {
      expectToken(await askBy(harness, firstKey));
      expectRefusal(await ask(harness, { proof: 'x' }), 'proof-malformed');
    }
    const readiness = await harness.handle(new Request('http://localhost/readyz'), {
      address: '192.0.2.7',
      certificate: null,
    });
    expect(readiness.status).toBe(200);
    expect(keys.failing(harness.clock.now)).toBeNull();
    expect(answered).toBe(false);
    gate.open();
    expectToken(await waiting);
    expect(authority.fetches()).toBe(2);
  });

  test('nothing that a cheaper check refuses causes a fetch', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority } = setting;
    const unknown = opTokBy(harness, strangersKey, 'unknown');
    expectRefusal(await ask(harness, { opTok: unknown, proof: 'x' }), 'proof-malformed');
    expectRefusal(await ask(harness, { opTok: unknown, proof: null }), 'proof-missing');
    const expired = harness.opTok({ header: { kid: 'unknown' }, claims: { exp: NOW - 3600 } });
    expectRefusal(await ask(harness, { opTok: expired }), 'token-expired');
    expect(authority.requests).toEqual([]);
  });

  test('a clock that is set back does not stop fetching', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority } = setting;
    expectToken(await askBy(harness, firstKey));
    authority.publish(nextKey);
    harness.clock.now = NOW - 86_400;
    expectToken(await askBy(harness, nextKey));
    expect(authority.fetches()).toBe(2);
  });
});
