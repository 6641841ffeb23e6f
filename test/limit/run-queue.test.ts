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
  test('lets three in, in their order, and refuses the fourth', async () => {
    const queue = new RunQueue(3);
    const order: number[] = [];
    const entering = [0, 1, 2].map(async (number) => {
      const place = await queue.enter();
      order.push(number);
      return place;
    });
    expect(await isRefused(queue.enter())).toBe(true);
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

describe('without a bound in numbers', () => {
  const nextTurn = () => new Promise((resolve) => setImmediate(resolve));
  const busyQueue = () => {
    let now = 5000;
    const queue = new RunQueue(Number.POSITIVE_INFINITY, () => now);
    return {
      queue,
      /** Eight requests of each turn go on; `ms` pass with every turn. */
      work: async (turns: number, ms: number) => {
        for (let turn = 0; turn < turns; turn += 1) {
          now += ms;
          await nextTurn();
        }
      },
      add: (count: number) => Array.from({ length: count }, () => queue.enter()),
    };
  };

  test('a burst of any size is served, however long its last request waits', async () => {
    const { queue, work, add } = busyQueue();
    const burst = add(5000);
    await work(99, 10);
    const more = add(100);
    await work(700, 10);
    await Promise.all([...burst, ...more]);
    expect(await isRefused(queue.enter())).toBe(false);
  });

  test('after a second without an empty queue, nobody is let in while the first has waited for 5 ms', async () => {
    const { queue, work, add } = busyQueue();
    add(2000);
    await work(50, 21);
    expect(await isRefused(queue.enter())).toBe(true);
    await work(200, 21);
    // All have had their turn.
    expect(await isRefused(queue.enter())).toBe(false);
  });

  test('a queue that is busy all the time is no overload while its requests wait for less', async () => {
    const { queue, work, add } = busyQueue();
    add(16);
    for (let round = 0; round < 700; round += 1) {
      await work(1, 2);
      // Eight of sixteen are left, which have waited for two turns.
      queue.checkRoom();
      add(8);
    }
  });
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
