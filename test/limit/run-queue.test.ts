/** The bound on requests under way: who comes too late is told at once, and a place is free again when its request is answered. */

import { heapStats } from 'bun:jsc';
import { describe, expect, test } from 'bun:test';
import { RunQueue } from '../../src/limit/run-queue.ts';
import { Refusal } from '../../src/refusal.ts';
import { ask, expectProblem, expectRefusal, expectToken } from '../support/ask.ts';
import { createHarness, type Harness } from '../support/service.ts';

function heapAfterCollection(): number {
  Bun.gc(true);
  return heapStats().heapSize;
}

async function isRefused(entering: Promise<unknown>): Promise<boolean> {
  return entering.then(
    () => false,
    (cause) => cause instanceof Refusal && cause.status === 503,
  );
}

describe('a queue of three', () => {
  test('lets three in, in their order, and refuses the fourth at once', async () => {
    const queue = new RunQueue(3);
    const order: number[] = [];
    const entering = [0, 1, 2].map(async (number) => {
      const place = await queue.enter();
      order.push(number);
      return place;
    });
    expect(await isRefused(queue.enter())).toBe(true);
    expect(order).toEqual([]);
    const places = await Promise.all(entering);
    expect(order).toEqual([0, 1, 2]);
    expect(await isRefused(queue.enter())).toBe(true);
    places[0]?.[Symbol.dispose]();
    using _fourth = await queue.enter();
    expect(await isRefused(queue.enter())).toBe(true);
  });

  test('counts a request until it has left, however many turns that takes', async () => {
    const queue = new RunQueue(3);
    for (let round = 0; round < 50; round += 1) {
      const places = await Promise.all([queue.enter(), queue.enter(), queue.enter()]);
      await Bun.sleep(0);
      expect(await isRefused(queue.enter())).toBe(true);
      for (const place of places) place[Symbol.dispose]();
    }
  });
});

test('others get their turn between the requests that wait', async () => {
  const queue = new RunQueue(1000);
  let done = 0;
  let turns = 0;
  const waiting = Array.from({ length: 100 }, async () => {
    using _place = await queue.enter();
    done += 1;
  });
  const other = async () => {
    while (done < 100) {
      await new Promise((resolve) => setImmediate(resolve));
      turns += 1;
    }
  };
  await Promise.all([...waiting, other()]);
  expect(turns).toBeGreaterThan(5);
});

test('a queue that is never empty does not grow', async () => {
  const queue = new RunQueue(100);
  let served = 0;
  const work = async () => {
    while (served < 200_000) {
      using _place = await queue.enter();
      served += 1;
    }
  };
  const before = heapAfterCollection();
  await Promise.all([
    ...Array.from({ length: 50 }, work),
    (async () => {
      while (served < 190_000) await new Promise((resolve) => setImmediate(resolve));
      // Eighty bytes and more for each that was served would be 15 MB.
      expect(heapAfterCollection() - before).toBeLessThan(5_000_000);
    })(),
  ]);
});

test('without a bound nobody waits and nobody is refused', async () => {
  const queue = new RunQueue(Number.POSITIVE_INFINITY);
  await Promise.all(Array.from({ length: 5000 }, () => queue.enter()));
});

describe('a service with a bound', () => {
  const askMany = (harness: Harness, count: number) =>
    Promise.all(Array.from({ length: count }, () => ask(harness, { opTok: harness.opTok() })));

  test('answers as many as it may, and the rest with 503 and Retry-After', async () => {
    const harness = await createHarness({ queue: new RunQueue(5) });
    const answers = await askMany(harness, 12);
    const issued = answers.filter(({ status }) => status === 200);
    const refused = answers.filter(({ status }) => status !== 200);
    expect(issued).toHaveLength(5);
    for (const answer of refused) {
      expect(answer.decision.refusal?.reason).toBe('overloaded');
      expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
      expect(answer.headers.get('retry-after')).toBe('1');
      expectProblem(answer);
    }
    for (const answer of await askMany(harness, 5)) expectToken(answer);
  });

  test('a request that is refused, or fails, leaves its place too', async () => {
    const harness = await createHarness({
      queue: new RunQueue(1),
      signer: {
        sign: () => {
          throw new Error('broken');
        },
      },
    });
    for (let count = 0; count < 5; count += 1) {
      expectRefusal(await ask(harness, { opTok: 'none' }), 'token-malformed');
      expect(await ask(harness, { opTok: harness.opTok() })).toMatchObject({ status: 500 });
    }
  });

  test('a request that is no token request takes no place', async () => {
    const harness = await createHarness({ queue: new RunQueue(1) });
    const answers = await Promise.all([
      ask(harness, { service: null }),
      ask(harness, { scopes: ['nonsense'] }),
      ask(harness, { opTok: harness.opTok() }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([400, 400, 200]);
  });
});
