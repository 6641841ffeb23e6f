import { expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';

const key = (name: string) => createHash('sha256').update(name).digest();

test('a proof is never accepted twice though the clock was ahead in between', () => {
  const store = new MemoryReplayStore(1000, 0);
  expect(store.insert(key('a'), 190, 100)).toBe('first');
  expect(store.insert(key('b'), 890, 800)).toBe('first');
  expect(store.insert(key('a'), 190, 105)).toBe('unavailable');
});

test('after the clock was ahead, proofs that end later than all that was freed are accepted', () => {
  const store = new MemoryReplayStore(1000, 0);
  expect(store.insert(key('a'), 190, 100)).toBe('first');
  expect(store.insert(key('b'), 890, 800)).toBe('first');
  expect(store.insert(key('c'), 195, 105)).toBe('first');
  expect(store.insert(key('c'), 195, 105)).toBe('replayed');
});
