import { expect, test } from 'bun:test';
import { BoundedCache } from '../../src/authenticate/bounded-cache.ts';

test('never holds more than its capacity, whatever is put in and asked for', () => {
  const cache = new BoundedCache<number, number>(10);
  for (let key = 0; key < 1000; key += 1) {
    cache.set(key, key);
    cache.get(key - 3);
    cache.get(key >> 1);
    expect(cache.size).toBeLessThanOrEqual(10);
  }
});

test('keeps what is used and forgets what is not', () => {
  const cache = new BoundedCache<string, number>(10);
  cache.set('used', 1);
  cache.set('unused', 2);
  for (let key = 0; key < 100; key += 1) {
    cache.set(`new ${key}`, key);
    expect(cache.get('used')).toBe(1);
  }
  expect(cache.get('unused')).toBeUndefined();
  expect(cache.get('new 99')).toBe(99);
});

test('replaces a value without growing', () => {
  const cache = new BoundedCache<string, number>(4);
  cache.set('a', 1);
  cache.set('b', 2);
  cache.set('a', 3);
  expect([cache.size, cache.get('a'), cache.get('b')]).toEqual([2, 3, 2]);
});

test('gives the newest value of a key that was in the older generation', () => {
  const cache = new BoundedCache<string, number>(4);
  for (const key of ['a', 'b', 'c']) cache.set(key, 1);
  cache.set('a', 2);
  expect(cache.get('a')).toBe(2);
});

test('holds nothing after clear', () => {
  const cache = new BoundedCache<string, number>(4);
  for (const key of ['a', 'b', 'c']) cache.set(key, 1);
  cache.clear();
  expect([cache.size, cache.get('a')]).toEqual([0, undefined]);
});
