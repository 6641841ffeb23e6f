/** SENDER-CONSTRAINT, "The Authority's keys", rules 2 to 4: fetched seldom, kept when a fetch fails, had again by itself. */
import { describe, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { RemoteAuthorityKeys } from '../../src/keys/remote-authority-keys.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import {
  answersJson,
  answersStatus,
  answersText,
  type Behaviour,
  createGate,
  cutsOff,
  type FaultyAuthority,
  floods,
  hangsUp,
  KEY_SET_PATH,
  keySetOf,
  METADATA_PATH,
  redirectsTo,
  startFaultyAuthority,
} from '../support/faulty-authority.ts';
import { createKey, type TestKey } from '../support/keys.ts';
import { createHarness, type Harness, NOW } from '../support/service.ts';
import { ISSUER } from '../support/tokens.ts';

const COOL_DOWN = 30;
const REFRESH = 300;

const [firstKey, nextKey, strangersKey] = await Promise.all([
  createKey('ES256'),
  createKey('ES256'),
  createKey('ES256'),
]);

interface Setting extends AsyncDisposable {
  readonly authority: FaultyAuthority;
  readonly keys: RemoteAuthorityKeys;
  readonly harness: Harness;
  /** The outcome of each fetch, as the metric is told of it. */
  readonly refreshes: (string | null)[];
}

/** A service whose Authority publishes `firstKey` over HTTP. */
async function createSetting(): Promise<Setting> {
  const authority = await startFaultyAuthority([firstKey]);
  const refreshes: (string | null)[] = [];
  const keys = new RemoteAuthorityKeys({
    issuer: ISSUER,
    metadataUrl: authority.metadataUrl,
    certificateAuthorities: null,
    onRefresh: (fault) => void refreshes.push(fault),
  });
  const harness = await createHarness({
    authorityKeys: keys,
    authorityKey: firstKey,
    replayStore: new MemoryReplayStore(5000, 0),
  });
  return {
    authority,
    keys,
    harness,
    refreshes,
    [Symbol.asyncDispose]: () => authority[Symbol.asyncDispose](),
  };
}

/** An OpTok as the Authority would sign it with this key. */
function opTokBy(harness: Harness, key: TestKey, keyId: unknown = key.thumbprint): string {
  return harness.opTok({ header: { kid: keyId }, key });
}

const askBy = (harness: Harness, key: TestKey, keyId: unknown = key.thumbprint) =>
  ask(harness, { opTok: opTokBy(harness, key, keyId) });

describe("Authority's keys rule 2: a kid never seen causes at most one fetch per cool-down", () => {
  test('many requests for known keys cause one fetch', async () => {
    await using setting = await createSetting();
    const answers = await Promise.all(Array.from({ length: 200 }, () => askBy(setting.harness, firstKey)));
    for (const answer of answers) expectToken(answer);
    expect(setting.authority.requests).toEqual([METADATA_PATH, KEY_SET_PATH]);
  });

  test('200 requests at once, each with another kid, cause one fetch', async () => {
    await using setting = await createSetting();
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
    await using setting = await createSetting();
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
    await using setting = await createSetting();
    const { harness, authority } = setting;
    expectToken(await askBy(harness, firstKey));
    authority.behave({ keySet: answersStatus(500) });
    harness.clock.now += COOL_DOWN;
    for (let asked = 0; asked < 5; asked += 1)
      expectRefusal(await askBy(harness, nextKey), 'token-key-unknown');
    expect(authority.fetches()).toBe(2);
  });

  test('a new key of the Authority is known at its first OpTok', async () => {
    await using setting = await createSetting();
    const { harness, authority } = setting;
    expectToken(await askBy(harness, firstKey));
    authority.publish(firstKey, nextKey);
    harness.clock.now += COOL_DOWN;
    expectToken(await askBy(harness, nextKey));
    expectToken(await askBy(harness, firstKey));
    expect(authority.fetches()).toBe(2);
  });

  test('a key that the Authority withdrew is worth nothing from the next fetch on, for a known OpTok too', async () => {
    await using setting = await createSetting();
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
    await using setting = await createSetting();
    expectToken(await askBy(setting.harness, firstKey));
    const forged = await askBy(setting.harness, strangersKey, firstKey.thumbprint);
    expectRefusal(forged, 'token-signature');
    expect(setting.authority.fetches()).toBe(1);
  });

  test('while a fetch is under way, requests with known keys are answered, and one for a new key waits', async () => {
    await using setting = await createSetting();
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
    await using setting = await createSetting();
    const { harness, authority } = setting;
    const unknown = opTokBy(harness, strangersKey, 'unknown');
    expectRefusal(await ask(harness, { opTok: unknown, proof: 'x' }), 'proof-malformed');
    expectRefusal(await ask(harness, { opTok: unknown, proof: null }), 'proof-missing');
    const expired = harness.opTok({ header: { kid: 'unknown' }, claims: { exp: NOW - 3600 } });
    expectRefusal(await ask(harness, { opTok: expired }), 'token-expired');
    expect(authority.requests).toEqual([]);
  });

  test('a clock that is set back does not stop fetching', async () => {
    await using setting = await createSetting();
    const { harness, authority } = setting;
    expectToken(await askBy(harness, firstKey));
    authority.publish(nextKey);
    harness.clock.now = NOW - 86_400;
    expectToken(await askBy(harness, nextKey));
    expect(authority.fetches()).toBe(2);
  });
});

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
      await using setting = await createSetting();
      const { harness, authority, keys, refreshes } = setting;
      const known = opTokBy(harness, firstKey);
      expectToken(await ask(harness, { opTok: known }));
      const { generation, fetchedAt } = keys;
      authority.behave(behaviour);
      harness.clock.now += REFRESH + 1;
      await keys.refreshIfNeeded(harness.clock.now);
      expect(refreshes).toHaveLength(2);
      expect(refreshes[1]).toBeString();
      expect({ generation: keys.generation, fetchedAt: keys.fetchedAt }).toEqual({ generation, fetchedAt });
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
    await using setting = await createSetting();
    const { harness, authority, keys } = setting;
    const known = opTokBy(harness, firstKey);
    expectToken(await ask(harness, { opTok: known }));
    harness.clock.now += COOL_DOWN;
    for (let asked = 0; asked < 1000; asked += 1) {
      const answer = await askBy(harness, strangersKey, randomUUID());
      if (answer.status !== 401) expectRefusal(answer, 'token-key-unknown');
    }
    expect(authority.fetches()).toBe(2);
    expectToken(await ask(harness, { opTok: known }));
    expectToken(await askBy(harness, firstKey));
    expect(authority.fetches()).toBe(2);
    expect(keys.fetchedAt).toBe(NOW + COOL_DOWN);
  });

  test('keys stay in use for as long as the Authority is away, and readyz tells after an hour', async () => {
    await using setting = await createSetting();
    const { harness, authority, keys } = setting;
    expectToken(await askBy(harness, firstKey));
    authority.behave({ metadata: answersStatus(500) });
    for (const hours of [0.5, 1, 1.01, 24, 24 * 365]) {
      harness.clock.now = NOW + hours * 3600;
      await keys.refreshIfNeeded(harness.clock.now);
      expectToken(await askBy(harness, firstKey));
      expect(keys.fetchedAt).toBe(NOW);
      const failing = keys.failing(harness.clock.now);
      if (hours <= 1) expect(failing).toBeNull();
      else expect(failing).toContain(`${Math.floor(hours * 3600)} s old`);
    }
    authority.behave({});
    harness.clock.now += COOL_DOWN;
    await keys.refreshIfNeeded(harness.clock.now);
    expect(keys.failing(harness.clock.now)).toBeNull();
    expect(keys.fetchedAt).toBe(harness.clock.now);
  });

  test('keys are fetched anew after 5 minutes, though nobody asked for an unknown kid', async () => {
    await using setting = await createSetting();
    const { harness, authority, keys } = setting;
    for (const [later, fetches] of [
      [0, 1],
      [REFRESH, 1],
      [REFRESH + 1, 2],
      [REFRESH + 2, 2],
      [2 * REFRESH + 2, 3],
    ] as const) {
      await keys.refreshIfNeeded(NOW + later);
      expect([later, authority.fetches()]).toEqual([later, fetches]);
    }
    expect(keys.generation).toBe(3);
    expectToken(await askBy(harness, firstKey));
  });
});

describe("Authority's keys rule 4: started while the Authority is down", () => {
  test('requests are 503 with Retry-After until it is back, and good after that', async () => {
    await using setting = await createSetting();
    const { harness, authority, keys, refreshes } = setting;
    authority.behave({ metadata: hangsUp });
    expect(keys.failing(NOW)).toBe('not fetched yet');
    const down = await askBy(harness, firstKey);
    expectRefusal(down, 'authority-unavailable');
    expect(down.headers.get('retry-after')).toBe('5');
    expect(down.text).not.toContain(authority.origin);
    expect(keys.failing(NOW)).toContain(authority.metadataUrl);
    expect(keys.fetchedAt).toBeNull();
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
    await using setting = await createSetting();
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
    await using setting = await createSetting();
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
