/** The Authority's keys: kept when a fetch fails, and had again by itself. */
import { describe, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { RemoteAuthorityKeys } from '../../src/authority/remote-authority-keys.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import {
  answersJson,
  answersStatus,
  answersText,
  type Behaviour,
  createGate,
  cutsOff,
  floods,
  hangsUp,
  KEY_SET_PATH,
  keySetOf,
  METADATA_PATH,
  redirectsTo,
  startFaultyAuthority,
  staysSilent,
} from '../support/faulty-authority.ts';
import { createKey } from '../support/keys.ts';
import { askBy, COOL_DOWN, createRemoteSetting, opTokBy, REFRESH } from '../support/remote-setting.ts';
import { createHarness, NOW } from '../support/service.ts';
import { ISSUER } from '../support/tokens.ts';

const [firstKey, nextKey, strangersKey] = await Promise.all([
  createKey('ES256'),
  createKey('ES256'),
  createKey('ES256'),
]);

describe("Authority's keys rule 3: a failed or empty fetch never replaces good keys", () => {
  const evil = { issuer: 'https://evil.example.com', jwks_uri: 'https://evil.example.com/jwks' };
  const misbehaviours: readonly (readonly [string, { metadata?: Behaviour; keySet?: Behaviour }])[] = [
    ['500', { keySet: answersStatus(500) }],
    ['500 for the metadata', { metadata: answersStatus(500) }],
    ['404', { keySet: answersStatus(404) }],
    ['503 with a body that is a key set', { keySet: answersStatus(503) }],
    ['an HTML page', { keySet: answersText('<html><body>Sign in</body></html>', 'text/html') }],
    ['an HTML page for the metadata', { metadata: answersText('<html></html>', 'text/html') }],
    ['an empty body', { keySet: answersText('') }],
    ['an empty key set', { keySet: answersJson({ keys: [] }) }],
    ['a key set without usable keys', { keySet: answersJson({ keys: [{ kty: 'EC', kid: 'a' }, null] }) }],
    ['a key set cut off', { keySet: answersText(JSON.stringify(keySetOf([nextKey])).slice(0, -5)) }],
    ['a thousand keys', { keySet: answersJson({ keys: Array(1000).fill(nextKey.publicJwk) }) }],
    ['100 MB', { keySet: floods }],
    ['a hang-up', { keySet: hangsUp }],
    ['a hang-up in the middle', { keySet: cutsOff }],
    ['the name of another issuer', { metadata: answersJson({ ...evil }) }],
    [
      'a jwks_uri of plain http',
      { metadata: answersJson({ issuer: ISSUER, jwks_uri: 'http://192.0.2.1/' }) },
    ],
    ['a redirect to another origin', { keySet: redirectsTo('http://localhost:1/jwks') }],
    ['a redirect in a circle', { keySet: redirectsTo(KEY_SET_PATH) }],
  ];

  test.each(misbehaviours)(
    '%s leaves the keys in use, and the next good answer is taken',
    async (_, behaviour) => {
      await using setting = await createRemoteSetting(firstKey);
      const { harness, authority, keys, refreshes } = setting;
      const known = opTokBy(harness, firstKey);
      expectToken(await ask(harness, { opTok: known }));
      const { generation, fetched } = keys;
      const fetchedAt = fetched?.fetchedAt;
      authority.behave(behaviour);
      harness.clock.now += REFRESH + 1;
      await keys.refreshIfNeeded(harness.clock.now);
      expect(refreshes).toHaveLength(2);
      expect(refreshes[1]).toBeString();
      expect({ generation: keys.generation, fetchedAt: keys.fetched?.fetchedAt }).toEqual({
        generation,
        fetchedAt,
      });
      expectToken(await ask(harness, { opTok: known }));
      expectToken(await askBy(harness, firstKey));
      expectRefusal(await askBy(harness, nextKey), 'token-key-unknown');

      authority.behave({});
      authority.publish(firstKey, nextKey);
      harness.clock.now += COOL_DOWN;
      expectToken(await askBy(harness, nextKey));
      expect(refreshes).toEqual([null, expect.any(String), null]);
    },
  );

  test('a thousand random kids cause at most one fetch and evict nothing', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority, keys } = setting;
    const known = opTokBy(harness, firstKey);
    expectToken(await ask(harness, { opTok: known }));
    harness.clock.now += COOL_DOWN;
    for (let asked = 0; asked < 1000; asked += 1) {
      expectRefusal(await askBy(harness, strangersKey, randomUUID()), 'token-key-unknown');
    }
    expect(authority.fetches()).toBe(2);
    expectToken(await ask(harness, { opTok: known }));
    expectToken(await askBy(harness, firstKey));
    expect(authority.fetches()).toBe(2);
    expect(keys.fetched?.fetchedAt).toBe(NOW + COOL_DOWN);
  });

  test('keys stay in use for as long as the Authority is away, and readyz tells after an hour', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority, keys } = setting;
    expectToken(await askBy(harness, firstKey));
    authority.behave({ metadata: answersStatus(500) });
    for (const hours of [0.5, 1, 1.01, 24, 24 * 365]) {
      harness.clock.now = NOW + hours * 3600;
      await keys.refreshIfNeeded(harness.clock.now);
      expectToken(await askBy(harness, firstKey));
      expect(keys.fetched?.fetchedAt).toBe(NOW);
      const failing = keys.failing(harness.clock.now);
      if (hours <= 1) expect(failing).toBeNull();
      else expect(failing).toContain(`${Math.floor(hours * 3600)} s old`);
    }
    authority.behave({});
    harness.clock.now += COOL_DOWN;
    await keys.refreshIfNeeded(harness.clock.now);
    expect(keys.failing(harness.clock.now)).toBeNull();
    expect(keys.fetched?.fetchedAt).toBe(harness.clock.now);
  });

  test('keys are fetched anew shortly before keysMaxAge, though nobody asked for an unknown kid', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority, keys } = setting;
    for (const [later, fetches] of [
      [0, 1],
      [REFRESH - 10, 1],
      [REFRESH - 9, 2],
      [REFRESH, 2],
      [2 * REFRESH, 3],
    ] as const) {
      await keys.refreshIfNeeded(NOW + later);
      expect([later, authority.fetches()]).toEqual([later, fetches]);
    }
    // The same key set each time: what was verified with it stays verified.
    expect(keys.generation).toBe(1);
    expectToken(await askBy(harness, firstKey));
  });
});

describe("Authority's keys rule 4: started while the Authority is down", () => {
  test('requests are 503 with Retry-After until it is back, and good after that', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority, keys, refreshes } = setting;
    authority.behave({ metadata: hangsUp });
    expect(keys.failing(NOW)).toBe('not fetched yet');
    const down = await askBy(harness, firstKey);
    expectRefusal(down, 'authority-unavailable');
    expect(down.headers.get('retry-after')).toBe('5');
    expect(down.text).not.toContain(authority.origin);
    expect(keys.failing(NOW)).toContain(authority.metadataUrl);
    expect(keys.fetched).toBeNull();
    authority.behave({});
    harness.clock.now += 4;
    expectRefusal(await askBy(harness, firstKey), 'authority-unavailable');
    expect(authority.requests).toEqual([METADATA_PATH]);
    harness.clock.now += 1;
    expectToken(await askBy(harness, firstKey));
    expect(keys.failing(harness.clock.now)).toBeNull();
    expect(refreshes).toEqual([expect.any(String), null]);
  });

  test('it is asked once for many requests, and once in 5 seconds', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority } = setting;
    authority.behave({ metadata: answersStatus(503) });
    for (let seconds = 0; seconds < 10; seconds += 1) {
      harness.clock.now = NOW + seconds;
      const answers = await Promise.all(Array.from({ length: 50 }, () => askBy(harness, firstKey)));
      for (const answer of answers) expectRefusal(answer, 'authority-unavailable');
    }
    expect(authority.requests).toEqual([METADATA_PATH, METADATA_PATH]);
  });

  test('what needs no keys is answered meanwhile', async () => {
    await using setting = await createRemoteSetting(firstKey);
    const { harness, authority } = setting;
    const gate = createGate(hangsUp);
    authority.behave({ metadata: gate.behaviour });
    const waiting = askBy(harness, firstKey);
    expectRefusal(await ask(harness, { scheme: 'none', proof: null }), 'credentials-missing');
    expectRefusal(await ask(harness, { opTok: 'x' }), 'token-malformed');
    for (const path of ['/healthz', '/readyz', '/metrics', '/.well-known/jwks.json']) {
      const nobody = { address: '192.0.2.7', certificate: null };
      expect((await harness.handle(new Request(`http://localhost${path}`), nobody)).status).toBe(200);
    }
    gate.open();
    await waiting;
    expect(harness.decisions.at(-1)?.refusal?.reason).toBe('authority-unavailable');
  });
});

test('of the requests that wait for a silent Authority there are so many and no more: the next are 503 at once', async () => {
  await using authority = await startFaultyAuthority([firstKey]);
  const keys = new RemoteAuthorityKeys({
    issuer: ISSUER,
    metadataUrl: authority.metadataUrl,
    certificateAuthorities: null,
    maxAge: 300,
    onRefresh: () => {},
    mostWaiting: 3,
  });
  const harness = await createHarness({ authorityKeys: keys, authorityKey: firstKey });
  expectToken(await askBy(harness, firstKey));
  harness.clock.now += COOL_DOWN + 1;
  authority.behave({ metadata: staysSilent });
  const waiting = Array.from({ length: 3 }, (_, index) => askBy(harness, firstKey, `unknown-${index}`));
  await Bun.sleep(50);
  expectRefusal(await askBy(harness, firstKey, 'unknown-3'), 'authority-unavailable');
  expectToken(await askBy(harness, firstKey));
  keys.close();
  for (const answer of await Promise.all(waiting)) expectRefusal(answer, 'token-key-unknown');
});
