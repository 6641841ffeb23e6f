import { expect, test } from 'bun:test';
import { BoundedCache } from '../../src/authenticate/bounded-cache.ts';

test('never holds more than its capacity, whatever is put in and asked for', () => {
  const cache = new BoundedCache<number, number>(100);
  for (let key = 0; key < 1000; key += 1) {
    cache.set(key, key, 1 + (key % 40));
    cache.get(key - 3);
    cache.get(key >> 1);
    expect(cache.bytes).toBeLessThanOrEqual(100);
  }
});

test('keeps what is used and forgets what is not', () => {
  const cache = new BoundedCache<string, number>(100);
  cache.set('used', 1, 10);
  cache.set('unused', 2, 10);
  for (let key = 0; key < 100; key += 1) {
    cache.set(`new ${key}`, key, 10);
    expect(cache.get('used')).toBe(1);
  }
  expect(cache.get('unused')).toBeUndefined();
  expect(cache.get('new 99')).toBe(99);
});

test('replaces a value without growing', () => {
  const cache = new BoundedCache<string, number>(40);
  cache.set('a', 1, 10);
  cache.set('b', 2, 5);
  cache.set('a', 3, 10);
  expect([cache.bytes, cache.get('a'), cache.get('b')]).toEqual([15, 3, 2]);
});

test('gives the newest value of a key that was in the older generation', () => {
  const cache = new BoundedCache<string, number>(40);
  for (const key of ['a', 'b', 'c']) cache.set(key, 1, 10);
  cache.set('a', 2, 10);
  expect(cache.get('a')).toBe(2);
});

test('does not keep what is larger than half of it, and keeps everything else', () => {
  const cache = new BoundedCache<string, number>(40);
  cache.set('a', 1, 10);
  cache.set('large', 2, 21);
  expect([cache.get('large'), cache.get('a')]).toEqual([undefined, 1]);
});
