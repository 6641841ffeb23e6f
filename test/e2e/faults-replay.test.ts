/** What a running service does while its replay store is down, hanging, full or restarted, and after its own restart. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { rm, writeFile } from 'node:fs/promises';
import { describeWith } from '../support/debian-parts.ts';
import { startFaultyAuthority } from '../support/faulty-authority.ts';
import { createKey } from '../support/keys.ts';
import { createTemporaryFolder, isPortFree, runOrFail, settled } from '../support/processes.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { startCluster, startReplica, startSentinelGroup } from '../support/redis-groups.ts';
import {
  createProcessClient,
  createServiceProcess,
  metricOf,
  type ProcessOptions,
  type Reply,
  type ServiceProcess,
  untilStatus,
} from '../support/service-process.ts';

setDefaultTimeout(60_000);

const PASSWORD = 's3cret-of-redis';

const authorityKey = await createKey('ES256');
const client = await createProcessClient(authorityKey);
const authority = await startFaultyAuthority([authorityKey]);
afterAll(() => authority[Symbol.asyncDispose]());

async function startService(options: Omit<ProcessOptions, 'authority'> = {}): Promise<ServiceProcess> {
  const service = await createServiceProcess({ authority, ...options });
  await service.start();
  return service;
}

const onRedis = ({ url }: RedisServer) => ({ senderConstraint: { replay: { store: 'redis', url } } });

function askAnew(service: ServiceProcess): Promise<Reply> {
  const opTok = client.opTok();
  return service.ask(opTok, client.proof(opTok));
}

const untilIssued = (service: ServiceProcess, limitMs = 5000) =>
  untilStatus(200, limitMs, () => askAnew(service));

/** Asks for some thousand tokens, as fast as they come, until one is refused. */
async function askUntilRefused(service: ServiceProcess): Promise<Reply> {
  for (let batch = 0; batch < 60; batch += 1) {
    const replies = await Promise.all(Array.from({ length: 50 }, () => askAnew(service)));
    const refused = replies.find(({ status }) => status !== 200);
    if (refused !== undefined) return refused;
  }
  throw new Error('Every request got a token.');
}

/** A proof that has got its token, and how to send it again. */
async function useProof(service: ServiceProcess): Promise<() => Promise<Reply>> {
  const opTok = client.opTok();
  const proof = client.proof(opTok);
  expect((await service.ask(opTok, proof)).status).toBe(200);
  return () => service.ask(opTok, proof);
}

function expectUnavailable(reply: Reply): void {
  expect([reply.status, reply.error]).toEqual([503, 'temporarily_unavailable']);
  expect(reply.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  expect(reply.text).not.toContain('"token"');
}

function expectUsedUp(reply: Reply): void {
  expect([reply.status, reply.error]).toEqual([401, 'invalid_dpop_proof']);
}

async function expectReplayStoreNamed(service: ServiceProcess): Promise<void> {
  const readiness = await service.get('/readyz');
  expect(readiness.status).toBe(503);
  expect(readiness.text).toContain('replay-store: ');
  expect(readiness.text).not.toContain(PASSWORD);
  expect((await service.get('/healthz')).status).toBe(200);
}

describeWith(['redis-server', 'openssl'], 'several processes on one Redis', () => {
  test.concurrent('a hundred uses of one proof at once, over two processes, give one token', async () => {
    await using redis = await startRedis();
    await using one = await startService(onRedis(redis));
    await using two = await startService(onRedis(redis));
    await Promise.all([untilIssued(one), untilIssued(two)]);
    const opTok = client.opTok();
    const proof = client.proof(opTok);
    const replies = await Promise.all(
      Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? one : two).ask(opTok, proof)),
    );
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
    for (const reply of replies) if (reply.status !== 200) expectUsedUp(reply);
    await one.kill();
    await one.start();
    await untilIssued(one);
    expectUsedUp(await one.ask(opTok, proof));
  });

  test.concurrent('a Redis over TLS with a password is used where the process trusts its certificate', async () => {
    await using folder = await createTemporaryFolder();
    const [keyPath, certificatePath] = [folder.at('redis.key'), folder.at('redis.crt')];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    const subject = ['-subj', '/CN=redis', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const files = ['-keyout', keyPath, '-out', certificatePath];
    await runOrFail(['openssl', 'req', '-x509', ...kind, ...subject, ...files]);
    await using redis = await startRedis({ password: PASSWORD, tls: { certificatePath, keyPath } });
    await using trusting = await startService({
      ...onRedis(redis),
      env: { NODE_EXTRA_CA_CERTS: certificatePath },
    });
    await untilIssued(trusting);
    const passwordPath = folder.at('redis.password');
    await writeFile(passwordPath, `${PASSWORD}\n`);
    const url = redis.url.replace(`:${encodeURIComponent(PASSWORD)}@`, '');
    const replay = { store: 'redis', url, passwordPath, caPath: certificatePath };
    await using configured = await startService({ senderConstraint: { replay } });
    await untilIssued(configured);
    await using other = await startService(onRedis(redis));
    await expectReplayStoreNamed(other);
    expectUnavailable(await askAnew(other));
    expect(`${trusting.output()}${other.output()}`).not.toContain(PASSWORD);
  });
});

/** Asks one service and then another with the same proof, while `fail` happens; returns how many got two tokens. */
async function askTwice(
  count: number,
  services: readonly ServiceProcess[],
  fail: () => Promise<void>,
): Promise<{ readonly once: number; readonly twice: number }> {
  const issued = await Promise.all([
    ...Array.from({ length: count }, async (_, number) => {
      await Bun.sleep((number / count) * 10_000);
      const opTok = client.opTok();
      const proof = client.proof(opTok);
      const order = number % 2 === 0 ? services : [...services].reverse();
      let tokens = 0;
      for (const service of order) {
        if ((await service.ask(opTok, proof)).status === 200) tokens += 1;
        await Bun.sleep(Math.random() * 6000);
      }
      return tokens;
    }),
    Bun.sleep(4000).then(async () => {
      await fail();
      return 0;
    }),
  ]);
  return {
    once: issued.filter((tokens) => tokens === 1).length,
    twice: issued.filter((tokens) => tokens > 1).length,
  };
}

describeWith(['redis-server', 'redis-sentinel', 'redis-cli'], 'fault: the master of Redis is lost', () => {
  test('behind Sentinels another takes its place, no proof gets two tokens, and the former master comes back as a replica', async () => {
    await using group = await startSentinelGroup();
    const [master] = group.servers;
    if (master === undefined) throw new Error('no master');
    const senderConstraint = { replay: { ...group.replay, minReplicas: 1 } };
    await using one = await startService({ senderConstraint });
    await using two = await startService({ senderConstraint, server: { workers: 2 } });
    await Promise.all([untilIssued(one), untilIssued(two)]);
    const { once, twice } = await askTwice(300, [one, two], async () => {
      master.pause();
      await Bun.sleep(4000);
      master.resume();
    });
    expect(twice).toBe(0);
    expect(once).toBeGreaterThan(60);
    await Promise.all([untilIssued(one, 30_000), untilIssued(two, 30_000)]);
    expect(await settled(one.output)).toContain('"replay store lost"');
  });

  test('in a Cluster its replica takes its place, and no proof gets two tokens', async () => {
    await using group = await startCluster();
    const senderConstraint = { replay: group.replay };
    await using one = await startService({ senderConstraint });
    await using two = await startService({ senderConstraint });
    await Promise.all([untilIssued(one), untilIssued(two)]);
    const { once, twice } = await askTwice(300, [one, two], async () => {
      await group.servers[0]?.kill();
    });
    expect(twice).toBe(0);
    expect(once).toBeGreaterThan(60);
    await Promise.all([untilIssued(one, 30_000), untilIssued(two, 30_000)]);
  });

  test.concurrent('where too few replicas acknowledge a proof, requests are 503 and readyz says what to do', async () => {
    await using master = await startRedis();
    await using replica = await startReplica(master);
    const replay = { store: 'redis', url: master.url, minReplicas: 1 };
    await using service = await startService({ senderConstraint: { replay } });
    await untilIssued(service);
    replica.pause();
    expectUnavailable(await askAnew(service));
    await expectReplayStoreNamed(service);
    expect((await service.get('/readyz')).text).toContain("check Redis's replicas");
    replica.resume();
    await untilIssued(service);
  });
});

describeWith(['redis-server'], 'fault: Redis loses its data, or may lose them', () => {
  test.concurrent('deleted entries: proofs used before get no second token from any worker', async () => {
    await using redis = await startRedis();
    await using service = await startService({ ...onRedis(redis), server: { workers: 2 } });
    await untilIssued(service);
    const uses = await Promise.all(Array.from({ length: 10 }, () => useProof(service)));
    await redis.command('FLUSHALL');
    for (let round = 0; round < 10; round += 1) {
      for (const again of uses) expect((await again()).status).not.toBe(200);
      await Bun.sleep(300);
    }
    await untilIssued(service);
  });

  test.concurrent('an evicting policy that is set while it is used: requests are 503, and readyz says what to set', async () => {
    await using redis = await startRedis();
    await using service = await startService(onRedis(redis));
    await untilIssued(service);
    await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    await untilStatus(503, 5000, () => service.get('/readyz'));
    expect((await service.get('/readyz')).text).toContain('set maxmemory-policy noeviction');
    expectUnavailable(await askAnew(service));
    await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    await untilIssued(service);
  });
});

describeWith(['redis-server'], 'fault: Redis is down', () => {
  test.concurrent('requests are 503 with Retry-After, readyz names replay-store, and it recovers within a second of its return', async () => {
    await using redis = await startRedis({ password: PASSWORD });
    await redis.stop();
    await using service = await startService(onRedis(redis));
    await expectReplayStoreNamed(service);
    expectUnavailable(await askAnew(service));
    await redis.start();
    expect(await untilIssued(service)).toBeLessThan(3000);
    await redis.stop();
    for (let asked = 0; asked < 10; asked += 1) expectUnavailable(await askAnew(service));
    await expectReplayStoreNamed(service);
    await redis.start();
    expect(await untilStatus(200, 5000, () => service.get('/readyz'))).toBeLessThan(2000);
    await untilIssued(service);
    expect(await settled(service.output)).toContain('"replay store lost"');
    expect(await settled(service.output)).toContain('"replay store connected"');
    expect(service.output()).not.toContain(PASSWORD);
  });
});

describeWith(['redis-server'], 'fault: Redis hangs', () => {
  test.concurrent('requests are 503 after a second and then at once, readyz names replay-store, and it recovers within a second', async () => {
    await using redis = await startRedis({ password: PASSWORD });
    await using service = await startService(onRedis(redis));
    await untilIssued(service);
    redis.pause();
    const replies = await Promise.all(Array.from({ length: 20 }, () => askAnew(service)));
    for (const reply of replies) {
      expectUnavailable(reply);
      expect(reply.milliseconds).toBeLessThan(2500);
    }
    for (let asked = 0; asked < 20; asked += 1) {
      const reply = await askAnew(service);
      expectUnavailable(reply);
      expect(reply.milliseconds).toBeLessThan(900);
    }
    await expectReplayStoreNamed(service);
    redis.resume();
    expect(await untilIssued(service)).toBeLessThan(3000);
    expect((await service.get('/readyz')).status).toBe(200);
  });

  test.concurrent('readyz names replay-store though nobody has asked for a token', async () => {
    await using redis = await startRedis();
    await using service = await startService(onRedis(redis));
    await untilStatus(200, 5000, () => service.get('/readyz'));
    redis.pause();
    await expectReplayStoreNamed(service);
    redis.resume();
    await untilStatus(200, 2000, () => service.get('/readyz'));
  });
});

describeWith(['redis-server'], 'fault: Redis is restarted', () => {
  test.concurrent('proofs used before are refused though Redis has forgotten them, and new ones are taken', async () => {
    await using redis = await startRedis();
    await using service = await startService(onRedis(redis));
    await untilIssued(service);
    const again = await useProof(service);
    expectUsedUp(await again());
    await redis.stop();
    await redis.start();
    expect(await redis.command('DBSIZE')).toBe(0);
    expect(await untilIssued(service)).toBeLessThan(3000);
    const reply = await again();
    expect([reply.status, reply.error]).toEqual([401, 'use_dpop_nonce']);
    expect(await settled(service.output)).toContain('"proof-nonce"');
  });
});

describeWith(['redis-server'], 'fault: Redis is full', () => {
  test.concurrent('requests are 503 until it has room, and no proof is accepted twice meanwhile', async () => {
    await using redis = await startRedis();
    const { senderConstraint } = onRedis(redis);
    await using service = await startService({
      clockSkew: 0,
      senderConstraint: { ...senderConstraint, dpop: { maxAge: 3 } },
    });
    await untilIssued(service);
    const used = /used_memory:(\d+)/.exec(String(await redis.command('INFO', 'memory')))?.[1];
    await redis.command('CONFIG', 'SET', 'maxmemory', String(Number(used) + 60_000));
    const again = await useProof(service);
    const refused = await askUntilRefused(service);
    expectUnavailable(refused);
    expect((await again()).status).not.toBe(200);
    expect(await settled(service.output)).toContain('"replay-full"');
    await redis.command('CONFIG', 'SET', 'maxmemory', '0');
    expect(await untilIssued(service, 10_000)).toBeLessThan(5000);
    expect((await again()).status).not.toBe(200);
  });
});

describe('fault: the replay memory is full', () => {
  test.concurrent('requests are 503 until entries have expired, and no proof is accepted twice meanwhile', async () => {
    const replay = { store: 'memory', capacity: 1000 };
    await using service = await startService({
      clockSkew: 0,
      senderConstraint: { replay, dpop: { maxAge: 5 } },
    });
    await untilIssued(service);
    const again = await useProof(service);
    expectUnavailable(await askUntilRefused(service));
    expectUsedUp(await again());
    expect(await metricOf(service, 'registry_token_replay_entries')).toBe(1000);
    expect(await metricOf(service, 'registry_token_replay_capacity')).toBe(1000);
    expect(await metricOf(service, 'registry_token_rejected_total{reason="replay-full"}')).toBeGreaterThan(0);
    expect(await untilIssued(service, 10_000)).toBeLessThan(7000);
    expectUsedUp(await again());
  });
});

describe('fault: the service is restarted, with its replay memory empty', () => {
  test.concurrent('proofs from before the start need a nonce, used or not, and new ones are accepted', async () => {
    await using service = await startService();
    await untilIssued(service);
    const again = await useProof(service);
    const opTok = client.opTok();
    const unused = client.proof(opTok);
    await service.kill();
    await service.start();
    await untilIssued(service);
    expect((await again()).error).toBe('use_dpop_nonce');
    expect((await service.ask(opTok, unused)).error).toBe('use_dpop_nonce');
    expect(await settled(service.output)).toContain('"proof-nonce"');
  });
});

describe('fault: the signing key is missing at the start', () => {
  test.concurrent('the service does not start: exit 78, with the file, the key of the configuration and its line', async () => {
    await using service = await createServiceProcess({ authority });
    await rm(service.folder.at('signing.pem'));
    expect(await service.startAndFail()).toBe(78);
    expect(service.output()).toContain('signing.keyPath');
    expect(service.output()).toContain(service.folder.at('signing.pem'));
    expect(service.output()).toMatch(/registry-token\.yaml:\d+:\d+/);
    expect(await isPortFree(Number(new URL(service.url).port))).toBe(true);
  });
});
