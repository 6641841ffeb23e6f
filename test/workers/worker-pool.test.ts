/** Workers that share a port: all started or none, changed together, replaced when they die, stopped with their last answer. */
import { afterEach, describe, expect, test } from 'bun:test';
import { startWorkers, type WorkerPool } from '../../src/workers/worker-pool.ts';
import type { PoolWorkerSetup } from '../support/pool-worker.ts';

const WORKER = new URL('../support/pool-worker.ts', import.meta.url);

interface Site {
  readonly pool: WorkerPool<string>;
  readonly state: { word: string; generation: number; answer: string | Error };
  readonly change: (word: string) => Promise<void>;
  readonly lines: string[];
  readonly deaths: [number, string][];
  readonly ended: number[];
  /** Asks over a connection of its own. */
  readonly get: (path: string) => Promise<Response>;
  /** What so many connections were told, each answer once. */
  readonly words: () => Promise<string[]>;
  readonly threads: () => Promise<number[]>;
}

let running: WorkerPool<string> | null = null;
afterEach(async () => {
  await running?.stop(0);
  running = null;
});

async function startPool(count: number, word = 'first'): Promise<Site> {
  const state: Site['state'] = { word, generation: 1, answer: 'an answer' };
  const lines: string[] = [];
  const deaths: [number, string][] = [];
  const ended: number[] = [];
  const pool = await startWorkers<PoolWorkerSetup, string, string>({
    count,
    create: () => new Worker(WORKER),
    setup: (thread, port) => ({ generation: state.generation, thread, port: port ?? 0, word: state.word }),
    answer: async () => {
      if (state.answer instanceof Error) throw state.answer;
      return state.answer;
    },
    onLines: (text, to) => lines.push(`${to}: ${text}`),
    onDeath: (thread, fault) => deaths.push([thread, fault]),
    onEnd: (thread) => ended.push(thread),
  });
  running = pool;
  const get = (path: string) => fetch(`${pool.url}${path}`, { keepalive: false });
  const look = async () => {
    const answers = await Promise.all(Array.from({ length: 60 }, () => get('/')));
    return Promise.all(answers.map((answer) => answer.json() as Promise<{ thread: number; word: string }>));
  };
  return {
    pool,
    state,
    lines,
    deaths,
    ended,
    get,
    change: (next) => {
      state.word = next;
      state.generation += 1;
      return pool.change();
    },
    words: async () => [...new Set((await look()).map(({ word }) => word))],
    threads: async () => [...new Set((await look()).map(({ thread }) => thread))].sort(),
  };
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries += 1) {
    if (await condition()) return;
    await Bun.sleep(10);
  }
  throw new Error('It did not come about within 4 s.');
}

test('all of them answer on one port', async () => {
  const site = await startPool(3);
  expect(await site.threads()).toEqual([1, 2, 3]);
  expect(await site.pool.isAlive()).toBe(true);
});

test('a change and news reach each of them', async () => {
  const site = await startPool(3);
  await site.change('second');
  expect(await site.words()).toEqual(['second']);
  site.pool.tell('third');
  await until(async () => (await site.words()).join() === 'third');
});

test('a worker that cannot take a change is replaced by one that is made of it', async () => {
  const site = await startPool(2);
  await site.change('cannot change');
  expect(await site.words()).toEqual(['cannot change']);
  expect(site.deaths.map(([thread]) => thread).sort()).toEqual([1, 2]);
});

test('changes close together are taken in their order, however long an earlier one takes', async () => {
  const site = await startPool(2);
  const slow = site.change('slow');
  await Bun.sleep(2);
  await Promise.all([slow, site.change('newest')]);
  expect(await site.words()).toEqual(['newest']);
});

test('a worker keeps a newer setup than the one that it is given', async () => {
  const site = await startPool(2);
  await site.change('newest');
  site.state.generation = 1;
  site.state.word = 'older';
  await site.pool.change();
  expect(await site.words()).toEqual(['newest']);
});

test.each(['hangs', 'blocks'])(
  'a worker that %s over a change is ended, and replaced by one that has it, before the change is told to be done',
  async (word) => {
    const site = await startPool(2);
    const changed = site.change(word);
    // What the replacement is made of.
    await Bun.sleep(100);
    await changed;
    expect(await site.words()).toEqual([word]);
    expect(site.ended.sort()).toEqual([1, 2]);
    expect(site.deaths[0]?.[1]).toBe('it did not apply a change within 10 s');
  },
  30_000,
);

test('a change of a worker that has died and does not start again is told, and it goes on trying', async () => {
  const site = await startPool(2);
  site.state.word = 'only the first starts';
  site.state.generation = 2;
  await site.pool.change();
  await Promise.all(Array.from({ length: 20 }, () => site.get('/throw').catch(() => {})));
  await until(() => site.deaths.length >= 2);
  const fault = await site.pool.change().then(
    () => null,
    (cause: Error) => cause.message,
  );
  expect(fault).toBe('worker 2 does not start: it was told not to');
  site.state.word = 'last';
  await until(async () => (await site.threads()).length === 2);
}, 60_000);

test('a question of a worker is answered by the main thread, with a fault too', async () => {
  const site = await startPool(2);
  expect(await (await site.get('/ask')).text()).toBe('an answer');
  site.state.answer = new Error('a fault');
  expect(await (await site.get('/ask')).text()).toBe('a fault');
});

test('lines of a worker come to the main thread, the last ones at its stop', async () => {
  const site = await startPool(1);
  await site.get('/log');
  await until(() => site.lines.length === 1);
  await site.pool.stop(1000);
  expect(site.lines).toEqual(['decisions: line of 1\n', 'log: last line of 1\n']);
});

describe('a worker that dies', () => {
  test.each(['/throw', '/reject'])(
    'by %s is told, without the text of its error, and replaced',
    async (path) => {
      const site = await startPool(2);
      await site.get(path).catch(() => {});
      await until(() => site.deaths.length === 1);
      expect(JSON.stringify(site.deaths)).not.toContain('secret');
      await until(async () => (await site.threads()).length === 2);
      expect(await site.pool.isAlive()).toBe(true);
      expect(site.deaths).toHaveLength(1);
    },
  );

  test('leaves the others to answer meanwhile', async () => {
    const site = await startPool(3);
    await site.get('/throw').catch(() => {});
    await until(() => site.deaths.length === 1);
    expect(await site.threads()).toHaveLength(2);
  });

  test('and is not yet replaced makes the pool no less able to change and to stop', async () => {
    const site = await startPool(2);
    await site.get('/throw').catch(() => {});
    await until(() => site.deaths.length === 1);
    await site.change('second');
    expect(await site.words()).toEqual(['second']);
    await site.pool.stop(1000);
    await expect(site.get('/')).rejects.toThrow();
  });
});

test('where the first cannot start nothing runs, and the fault is told', async () => {
  await expect(startPool(3, 'cannot start')).rejects.toThrow('it was told not to');
});

test('where a later one cannot start nothing runs either', async () => {
  await expect(startPool(3, 'only the first starts')).rejects.toThrow('it was told not to');
});

test('running requests get their answer before a stop ends', async () => {
  const site = await startPool(2);
  const slow = Promise.all(Array.from({ length: 6 }, () => site.get('/slow')));
  await Bun.sleep(100);
  await site.pool.stop(5000);
  expect((await slow).map(({ status }) => status)).toEqual(Array(6).fill(200));
});

test('a stop takes no longer than its grace and a second, and tells of each end', async () => {
  const site = await startPool(2);
  const slow = site.get('/slow').catch(() => null);
  await Bun.sleep(50);
  await site.pool.stop(10);
  await slow;
  await expect(site.get('/')).rejects.toThrow();
  await until(() => site.ended.length === 2);
  expect(site.deaths).toEqual([]);
});
