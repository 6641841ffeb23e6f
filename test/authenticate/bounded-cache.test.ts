import { expect, test } from 'bun:test';
import { BoundedCache } from '../../src/authenticate/bounded-cache.ts';

test('holds at most its capacity and forgets what was used longest ago', () => {
  const cache = new BoundedCache<string, number>(2);
  cache.set('a', 1);
  cache.set('b', 2);
  expect(cache.get('a')).toBe(1);
  cache.set('c', 3);
  expect([cache.size, cache.get('a'), cache.get('b'), cache.get('c')]).toEqual([2, 1, undefined, 3]);
});

test('replaces a value without growing', () => {
  const cache = new BoundedCache<string, number>(2);
  cache.set('a', 1);
  cache.set('b', 2);
  cache.set('a', 3);
  expect([cache.size, cache.get('a'), cache.get('b')]).toEqual([2, 3, 2]);
});

test('holds nothing after clear', () => {
  const cache = new BoundedCache<string, number>(2);
  cache.set('a', 1);
  cache.clear();
  expect([cache.size, cache.get('a')]).toEqual([0, undefined]);
});
