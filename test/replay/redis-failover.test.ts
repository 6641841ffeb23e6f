/** Used proofs, while the Redis that knows them is replaced by another: Sentinels, a Cluster, replicas. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { describeWith } from '../support/debian-parts.ts';
import { startRedis } from '../support/redis.ts';
import {
  cutOffReplicas,
  isMaster,
  type RedisGroup,
  startCluster,
  startReplica,
  startSentinelGroup,
  until,
} from '../support/redis-groups.ts';
import {
  createProof,
  isAccepted,
  now,
  type OpenStore,
  openStore,
  type SentTwice,
  sendTwice,
  untilTaken,
} from '../support/redis-store.ts';

setDefaultTimeout(120_000);

/** None twice; and not because none was accepted at all, before the failover or after it. */
async function expectNoneTwice({ accepted }: SentTwice, opened: OpenStore): Promise<void> {
  expect(accepted.filter((times) => times > 1)).toEqual([]);
  const early = accepted.slice(0, accepted.length / 4);
  expect(early.filter((times) => times === 1).length).toBeGreaterThan(early.length / 2);
  await until('proofs are accepted again', () => isAccepted(opened, createProof()));
}

/** The master ends after its replicas are cut off, with writes that they do not have. */
async function expectNoneTwiceAroundLoss(group: RedisGroup): Promise<void> {
  const [master] = group.servers;
  using one = await openStore(group.target);
  using two = await openStore(group.target);
  const sent = await sendTwice(10_000, 20, [one, two], async () => {
    if (master === undefined) throw new Error('no master');
    await cutOffReplicas(master);
    await Bun.sleep(1500);
    await master.kill();
  });
  await expectNoneTwice(sent, one);
}

describeWith(['redis-server', 'redis-sentinel', 'redis-cli'], 'Redis behind Sentinels', () => {
  test('of 10,000 proofs that are sent twice around a failover that loses writes, none is accepted twice', async () => {
    await using group = await startSentinelGroup();
    await expectNoneTwiceAroundLoss(group);
  });

  test('a master that was cut off and comes back accepts nothing that its successor has accepted', async () => {
    await using group = await startSentinelGroup();
    const [master] = group.servers;
    if (master === undefined) throw new Error('no master');
    using one = await openStore(group.target, { minReplicas: 1 });
    using two = await openStore(group.target, { minReplicas: 1 });
    const sent = await sendTwice(3000, 20, [one, two], async () => {
      master.pause();
      await Bun.sleep(4000);
      master.resume();
    });
    await expectNoneTwice(sent, one);
    await until('the former master is a replica', async () => !(await isMaster(master)));
    expect(await one.insert()).toBe('first');
  });
});

describeWith(['redis-server', 'redis-cli'], 'a Redis Cluster', () => {
  test('of 10,000 proofs that are sent twice around a failover that loses writes, none is accepted twice', async () => {
    await using group = await startCluster();
    await expectNoneTwiceAroundLoss(group);
  });

  test('every master takes proofs, and each proof is accepted once', async () => {
    await using group = await startCluster();
    using opened = await openStore(group.target);
    const proofs = Array.from({ length: 300 }, () => createProof());
    for (const expected of [true, false])
      for (const proof of proofs) expect(await isAccepted(opened, proof)).toBe(expected);
    for (const server of group.servers)
      if (await isMaster(server)) expect(Number(await server.command('DBSIZE'))).toBeGreaterThan(20);
  });
});

describeWith(['redis-server'], 'minReplicas', () => {
  test('issues nothing that too few replicas have, says so, and goes on when they are back', async () => {
    await using master = await startRedis();
    await using replica = await startReplica(master);
    using opened = await openStore(master.url, { minReplicas: 1 });
    const proof = createProof();
    expect(await isAccepted(opened, proof)).toBe(true);
    expect(Number(await replica.command('DBSIZE'))).toBeGreaterThan(1);
    replica.pause();
    expect(await opened.insert()).toBe('unavailable');
    expect(await opened.store.failing()).toContain('0 of the 1 replicas that minReplicas asks for');
    replica.resume();
    await untilTaken(opened);
    expect(await opened.store.failing()).toBeNull();
    expect(await isAccepted(opened, proof)).toBe(false);
  });

  test('a Redis without replicas is none', async () => {
    await using redis = await startRedis();
    using opened = await openStore(redis.url, { minReplicas: 1 });
    expect(await opened.insert()).toBe('unavailable');
    expect(await opened.store.failing()).toContain("check Redis's replicas");
  });

  test('a thousand inserts at once share their acknowledgements', async () => {
    await using master = await startRedis();
    await using _ = await startReplica(master);
    using opened = await openStore(master.url, { minReplicas: 1 });
    const started = now();
    const verdicts = await Promise.all(Array.from({ length: 1000 }, () => opened.insert()));
    expect(new Set(verdicts)).toEqual(new Set(['first']));
    const waits = /cmdstat_wait:calls=(\d+)/.exec(String(await master.command('INFO', 'commandstats')))?.[1];
    expect(Number(waits)).toBeLessThan(100);
    expect(now() - started).toBeLessThan(10);
  });
});
