/** The proof, for the replay store that several processes share; and its password. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, runOrFail } from '../support/processes.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { now, openStore } from '../support/redis-store.ts';
import { createHarness } from '../support/service.ts';

setDefaultTimeout(20_000);

describeWith(['redis-server'], 'the Redis replay store, proof rule 13: a key is accepted once', () => {
  let redis: RedisServer;

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => {
    await redis?.[Symbol.asyncDispose]();
  });

  test('takes a key once, and each other key', async () => {
    using opened = await openStore(redis.url);
    const key = randomBytes(32);
    expect(await opened.insert(key)).toBe('first');
    expect(await opened.insert(key)).toBe('replayed');
    expect(await opened.insert(key)).toBe('replayed');
    for (const at of [0, 15, 16, 31]) {
      const changed = Buffer.from(key);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      expect(await opened.insert(changed)).toBe('first');
    }
    expect(opened.changes).toEqual([null]);
  });

  test('keeps the entry until its deadline, and no second longer than needed', async () => {
    using opened = await openStore(redis.url);
    const key = randomBytes(32);
    await opened.insert(key, 90);
    const name = `registry-token:proof:${key.toString('base64url')}`;
    const left = Number(await redis.command('PTTL', name));
    expect(left).toBeGreaterThan(89_000);
    expect(left).toBeLessThanOrEqual(90_000);
    const short = randomBytes(32);
    expect(await opened.insert(short, 0.2)).toBe('first');
    expect(await opened.insert(short, 0.2)).toBe('replayed');
    await Bun.sleep(250);
    expect(await opened.insert(short, 0.2)).toBe('first');
  });

  test('takes no key whose deadline has passed: it could not be kept', async () => {
    using opened = await openStore(redis.url);
    expect(await opened.insert(randomBytes(32), 0)).toBe('unavailable');
    expect(await opened.insert(randomBytes(32), -100)).toBe('unavailable');
  });

  test('two stores on one Redis accept none of a hundred keys twice', async () => {
    using one = await openStore(redis.url);
    using two = await openStore(redis.url);
    const keys = Array.from({ length: 100 }, () => randomBytes(32));
    const verdicts = await Promise.all(
      keys.map((key) => Promise.all([one, two, two, one].map((opened) => opened.insert(key)))),
    );
    for (const four of verdicts) expect(four.sort()).toEqual(['first', 'replayed', 'replayed', 'replayed']);
  });

  test('a hundred uses of one proof at once, over two services, give one token', async () => {
    using one = await openStore(redis.url);
    using two = await openStore(redis.url);
    const first = await createHarness({ replayStore: one.store });
    const { authorityKey, clientKey } = first;
    const second = await createHarness({ replayStore: two.store, authorityKey, clientKey });
    for (const harness of [first, second]) harness.clock.now = now();
    await Bun.sleep(1100);
    for (const harness of [first, second]) harness.clock.now = now();
    const opTok = first.opTok();
    const proof = first.proof(opTok);
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) => ask(index % 2 === 0 ? first : second, { opTok, proof })),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 401)).toHaveLength(99);
  });

  test('a proof from before Redis started needs a nonce', async () => {
    await using young = await startRedis();
    using opened = await openStore(young.url);
    const harness = await createHarness({ replayStore: opened.store });
    const { rememberedSince } = opened.store;
    expect(rememberedSince).toBeGreaterThan(now() - 5);
    expect(rememberedSince).toBeLessThanOrEqual(now());
    harness.clock.now = rememberedSince + 1;
    const opTok = harness.opTok();
    const withIat = (iat: number) =>
      ask(harness, { opTok, proof: harness.proof(opTok, { claims: { iat } }) });
    expectRefusal(await withIat(Math.floor(rememberedSince) - 1), 'proof-nonce');
    expectRefusal(await withIat(rememberedSince - 0.01), 'proof-nonce');
    expectToken(await withIat(rememberedSince + 0.01));
  });
});

describeWith(['redis-server', 'openssl'], 'the Redis replay store keeps its password to itself', () => {
  const password = 'p4ssw0rd/with:odd@signs';

  test('connects by password, and tells no part of a wrong one', async () => {
    await using redis = await startRedis({ password });
    using opened = await openStore(redis.url);
    expect(await opened.insert()).toBe('first');
    const wrong = redis.url.replace(encodeURIComponent(password), 'wr0ng-secret');
    for (const url of [wrong, `redis://127.0.0.1:${redis.port}`, wrong.replace(':wr0ng', 'user:wr0ng')]) {
      using refused = await openStore(url);
      expect(await refused.insert()).toBe('unavailable');
      const told = `${await refused.store.failing()} ${refused.changes}`;
      expect(told).toContain('are its address, user, password and TLS in senderConstraint.replay right?');
      expect(told).not.toMatch(/wr0ng|p4ssw0rd/);
    }
  });

  test('refuses a Redis over TLS whose certificate it has no authority for', async () => {
    await using folder = await createTemporaryFolder();
    const [keyPath, certificatePath] = [folder.at('redis.key'), folder.at('redis.crt')];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    const subject = ['-subj', '/CN=redis', '-addext', 'subjectAltName=IP:127.0.0.1'];
    await runOrFail([
      ...['openssl', 'req', '-x509', ...kind, ...subject],
      ...['-keyout', keyPath, '-out', certificatePath],
    ]);
    await using redis = await startRedis({ password, tls: { certificatePath, keyPath } });
    using opened = await openStore(redis.url);
    expect(await opened.insert()).toBe('unavailable');
    expect(`${await opened.store.failing()}`).not.toContain('p4ssw0rd');
  });
});
