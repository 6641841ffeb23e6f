/** What shows that Redis may have forgotten used proofs: lost or restored data, a clock that is set, an eviction policy. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { ask } from '../support/ask.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createMovableClock } from '../support/movable-clock.ts';
import { startRedis } from '../support/redis.ts';
import { startReplica, until } from '../support/redis-groups.ts';
import {
  createProof,
  isAccepted,
  now,
  type OpenStore,
  openStore,
  type SentProof,
  untilTaken,
} from '../support/redis-store.ts';
import { createHarness } from '../support/service.ts';

setDefaultTimeout(60_000);

/** Tries each proof again at each store, over and over: accepts none. */
async function expectNoneAccepted(
  stores: readonly OpenStore[],
  proofs: readonly SentProof[],
  seconds: number,
): Promise<void> {
  const end = now() + seconds;
  while (now() < end) {
    for (const store of stores)
      for (const proof of proofs) expect(await isAccepted(store, proof)).toBe(false);
    await Bun.sleep(20);
  }
}

async function untilAccepted(opened: OpenStore): Promise<void> {
  await until('proofs are accepted', () => isAccepted(opened, createProof()));
}

describeWith(['redis-server'], 'used proofs that Redis has forgotten are not accepted again', () => {
  test.concurrent('when its data are deleted while it runs', async () => {
    await using redis = await startRedis();
    using one = await openStore(redis.url);
    using two = await openStore(redis.url);
    const proofs = [createProof(), createProof()];
    for (const proof of proofs) expect(await isAccepted(one, proof)).toBe(true);
    await redis.command('FLUSHALL');
    await expectNoneAccepted([two, one], proofs, 4);
    await untilAccepted(one);
    await untilAccepted(two);
  });

  test.concurrent('by a process that has not noticed yet what another one has', async () => {
    await using redis = await startRedis();
    using one = await openStore(redis.url);
    using two = await openStore(redis.url);
    for (let round = 0; round < 5; round += 1) {
      await untilAccepted(two);
      const proof = createProof();
      expect(await isAccepted(one, proof)).toBe(true);
      await redis.command('FLUSHALL');
      // The first makes a new marker.
      expect(await one.store.failing()).toBeNull();
      expect(await isAccepted(two, proof)).toBe(false);
    }
  });

  test.concurrent('nor those that another process had recorded, dated ahead', async () => {
    await using redis = await startRedis();
    using one = await openStore(redis.url);
    using two = await openStore(redis.url);
    const proofs = [createProof(8), createProof(0)];
    for (const proof of proofs) expect(await isAccepted(one, proof)).toBe(true);
    await redis.command('FLUSHALL');
    await expectNoneAccepted([two, one], proofs, 10);
    await untilAccepted(two);
  });

  test.concurrent('when an older snapshot is restored', async () => {
    await using redis = await startRedis();
    using one = await openStore(redis.url);
    await redis.command('SAVE');
    await Bun.sleep(1100);
    const proof = createProof();
    expect(await isAccepted(one, proof)).toBe(true);
    await redis.kill();
    await redis.start();
    using two = await openStore(redis.url);
    await expectNoneAccepted([two, one], [proof], 4);
    await untilAccepted(one);
    await untilAccepted(two);
  });

  test.concurrent('when an older snapshot is restored, and all processes are started anew with it', async () => {
    await using redis = await startRedis();
    using one = await openStore(redis.url);
    await redis.command('SAVE');
    const proof = createProof();
    expect(await isAccepted(one, proof)).toBe(true);
    one[Symbol.dispose]();
    await redis.kill();
    await redis.start();
    using two = await openStore(redis.url);
    await expectNoneAccepted([two], [proof], 3);
    await untilAccepted(two);
  });

  test.concurrent('when another server takes the place of the last one without a restart of its own', async () => {
    await using redis = await startRedis();
    await using other = await startRedis();
    using opened = await openStore(redis.url);
    const proof = createProof();
    expect(await isAccepted(opened, proof)).toBe(true);
    // Its data are those of the other one, and its run is the same as before.
    await redis.command('REPLICAOF', '127.0.0.1', String(other.port));
    await until('the data are replaced', async () => (await redis.command('DBSIZE')) === 0);
    await redis.command('REPLICAOF', 'NO', 'ONE');
    await expectNoneAccepted([opened], [proof], 4);
    await untilAccepted(opened);
  });

  test.concurrent('when the data are those of a pause in which nobody looked', async () => {
    await using redis = await startRedis();
    using first = await openStore(redis.url);
    const proof = createProof();
    expect(await isAccepted(first, proof)).toBe(true);
    first[Symbol.dispose]();
    await Bun.sleep(5500);
    using later = await openStore(redis.url);
    expect(later.store.rememberedSince).toBeGreaterThan(now() - 3);
  });
});

describeWith(['redis-server'], 'what every process knows of a Redis that it shares', () => {
  test.concurrent('one that starts later vouches for as much as the others do', async () => {
    await using redis = await startRedis();
    using one = await openStore(redis.url);
    await Bun.sleep(2500);
    using two = await openStore(redis.url);
    expect(two.store.rememberedSince).toBe(one.store.rememberedSince);
    one[Symbol.dispose]();
    using three = await openStore(redis.url);
    expect(three.store.rememberedSince).toBe(two.store.rememberedSince);
  });

  test.concurrent('a proof that one of a short maxAge has accepted is refused by one of a long maxAge', async () => {
    await using redis = await startRedis();
    using one = await openStore(redis.url);
    using two = await openStore(redis.url);
    const short = await createHarness({ replayStore: one.store, dpop: { maxAge: 2, clockSkew: 0 } });
    const { authorityKey, clientKey } = short;
    const long = await createHarness({ replayStore: two.store, authorityKey, clientKey });
    short.clock.now = now();
    const opTok = short.opTok();
    const proof = short.proof(opTok, { claims: { iat: short.clock.now } });
    expect((await ask(short, { opTok, proof })).status).toBe(200);
    const [name] = (await redis.command('KEYS', '*:proof:*')) as string[];
    expect(Number(await redis.command('PTTL', name ?? ''))).toBeGreaterThan(595_000);
    await Bun.sleep(3000);
    long.clock.now = now();
    expect((await ask(long, { opTok, proof })).status).toBe(401);
  });
});

describeWith(['redis-server', 'faketime'], 'the clocks of Redis and of this machine', () => {
  test.concurrent('a step by more than clockSkew is noticed with the next proof, and those used before are not accepted again', async () => {
    await using clock = await createMovableClock();
    await using redis = await startRedis({ environment: clock.environment });
    using opened = await openStore(redis.url, { clockSkew: 30 });
    const proofs = [createProof(), createProof(2)];
    for (const proof of proofs) expect(await isAccepted(opened, proof)).toBe(true);
    for (const offset of [700, -700]) {
      clock.move(offset);
      expect(await opened.insert()).toBe('unavailable');
      await until('the fault is told', async () => {
        const fault = await opened.store.failing();
        return fault?.includes(`700 s ${offset > 0 ? 'ahead of' : 'behind'} this machine's`) === true;
      });
      expect(await opened.store.failing()).toContain('synchronize both clocks');
      await expectNoneAccepted([opened], proofs, 1);
      clock.move(0);
      await untilTaken(opened);
      await expectNoneAccepted([opened], proofs, 4);
      await untilAccepted(opened);
    }
  });

  test.concurrent('that were behind when Redis started: once they are corrected, proofs from before that are in doubt', async () => {
    await using clock = await createMovableClock();
    // Less than the marker lives.
    let behind = 900;
    clock.move(-behind);
    await using redis = await startRedis({ environment: clock.environment });
    using opened = await openStore(redis.url, { clock: () => now() - behind });
    await untilTaken(opened, 5000);
    expect(opened.store.rememberedSince).toBeLessThan(now() - 800);
    behind = 0;
    clock.move(0);
    const corrected = now();
    // With no proof sent, only the look of every second can notice it.
    await until('it is noticed', async () => opened.store.rememberedSince > corrected - 1);
    await expectNoneAccepted([opened], [{ ...createProof(), issuedAt: corrected - 1 }], 4);
    await untilAccepted(opened);
  });

  test.concurrent('a difference within clockSkew is none', async () => {
    await using clock = await createMovableClock();
    clock.move(25);
    await using redis = await startRedis({ environment: clock.environment });
    using opened = await openStore(redis.url, { clockSkew: 30 });
    await untilTaken(opened);
    using strict = await openStore(redis.url, { clockSkew: 20 });
    expect(await strict.insert()).toBe('unavailable');
    expect(strict.changes.concat(await strict.store.failing())).toContainEqual(
      expect.stringContaining('25 s ahead'),
    );
  });
});

describeWith(['redis-server'], 'a Redis that is changed while it is used', () => {
  test.concurrent('is none from the look after its eviction policy was set, and what was used before is not accepted again', async () => {
    await using redis = await startRedis();
    using opened = await openStore(redis.url);
    const proof = createProof();
    expect(await isAccepted(opened, proof)).toBe(true);
    await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    await until('it is noticed', async () => (await opened.insert()) === 'unavailable');
    expect(opened.changes.at(-1)).toContain('set maxmemory-policy noeviction');
    // As an eviction would.
    await redis.command('DEL', ...((await redis.command('KEYS', '*:proof:*')) as string[]));
    await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    await untilTaken(opened);
    await expectNoneAccepted([opened], [proof], 3);
    await untilAccepted(opened);
  });

  test.concurrent('is none from the look after it was made a replica, though no proof was sent', async () => {
    await using master = await startRedis();
    await using replica = await startReplica(master);
    using opened = await openStore(replica.url);
    expect(await opened.insert()).toBe('unavailable');
    expect(await opened.store.failing()).toContain('name its master, or Sentinels');
  });
});
