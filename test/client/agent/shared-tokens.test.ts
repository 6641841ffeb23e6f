/** How long a token is used, by how many, and what happens if one cannot be obtained. */
import { expect, test } from 'bun:test';
import { type RemainingLife, SharedTokens } from '../../../src/client/agent/shared-tokens.ts';

function create(lifetime: number) {
  const clock = { now: 1000 };
  const tokens = new SharedTokens<string>(() => clock.now);
  let made = 0;
  const obtain = async () => {
    made += 1;
    const value = `token ${made}`;
    await Bun.sleep(1);
    return { value, lifetime };
  };
  const get = async (life: RemainingLife = 'moment', key = 'a') =>
    (await tokens.get(key, life, obtain)).value;
  return { clock, tokens, get, made: () => made };
}

test('who asks while a token is under way gets the same one', async () => {
  const { get, made } = create(300);
  expect(new Set(await Promise.all(Array.from({ length: 20 }, () => get())))).toEqual(new Set(['token 1']));
  expect(made()).toBe(1);
  expect(await get('moment', 'b')).toBe('token 2');
});

test.each([
  [300, 'moment', 270],
  [300, 'upload', 150],
  [3600, 'moment', 3570],
  [40, 'moment', 30],
  [40, 'upload', 20],
] as const)('a token of %d s is used for an %s until %d s have passed', async (lifetime, life, seconds) => {
  const { clock, get } = create(lifetime);
  await get();
  clock.now += seconds;
  expect(await get(life)).toBe('token 1');
  clock.now += 0.001;
  expect(await get(life)).toBe('token 2');
});

test('the life of a token counts from when it was asked for', async () => {
  const clock = { now: 0 };
  const tokens = new SharedTokens<string>(() => clock.now);
  const slow = async () => {
    clock.now += 100;
    return { value: 'slow', lifetime: 120 };
  };
  await tokens.get('a', 'moment', slow);
  expect((await tokens.get('a', 'moment', async () => ({ value: 'next', lifetime: 1 }))).value).toBe('next');
});

test('a failure is for all who wait, and the next one tries again', async () => {
  const tokens = new SharedTokens<string>(() => 0);
  const fail = async () => {
    throw new Error('no token');
  };
  const waiting = [tokens.get('a', 'moment', fail), tokens.get('a', 'moment', fail)];
  const outcomes = await Promise.allSettled(waiting);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect((await tokens.get('a', 'moment', async () => ({ value: 'x', lifetime: 9 }))).value).toBe('x');
});

test('a refused token is let go of, but not the one that came after it', async () => {
  const { tokens, get } = create(300);
  tokens.forget('a', await get());
  expect(await get()).toBe('token 2');
  tokens.forget('a', 'token 1');
  expect(await get()).toBe('token 2');
});

test('of very many names the oldest token goes first', async () => {
  const { get, made } = create(300);
  for (let index = 0; index <= 1000; index += 1) void get('moment', `name ${index}`);
  await Bun.sleep(50);
  expect(made()).toBe(1001);
  await get('moment', 'name 1000');
  await get('moment', 'name 1');
  expect(made()).toBe(1001);
  await get('moment', 'name 0');
  expect(made()).toBe(1002);
});
