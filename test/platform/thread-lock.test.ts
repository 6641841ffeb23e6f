/** The lock: one thread at a time, never for ever, and taken back from the dead alone. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { ThreadLock } from '../../src/platform/thread-lock.ts';

setDefaultTimeout(30_000);

const COUNTER = new URL('../support/locking-thread.ts', import.meta.url);
const createWord = () => new Int32Array(new SharedArrayBuffer(4));

test('what one thread does under it no other sees half done', async () => {
  const words = new Int32Array(new SharedArrayBuffer(12));
  const rounds = 50_000;
  const ended = [1, 2, 3].map((thread) => {
    const worker = new Worker(COUNTER);
    worker.postMessage({ memory: words.buffer, thread, rounds });
    return new Promise((resolve) => worker.addEventListener('close', resolve, { once: true }));
  });
  await Promise.all(ended);
  const [lock, count, missed] = words;
  expect([lock, (count ?? 0) + (missed ?? 0)]).toEqual([0, 3 * rounds]);
  expect(count).toBeGreaterThan(rounds);
});

test('a thread waits a while for it, and then is told that it is not to be had', () => {
  const word = createWord();
  const [one, two] = [new ThreadLock(word, 0), new ThreadLock(word, 1)];
  expect(one.acquire()).toBe(true);
  expect(two.acquire()).toBe(false);
  one.release();
  expect(two.acquire()).toBe(true);
});

test('it is taken from the thread that is named, and from no other', () => {
  const word = createWord();
  const [one, two] = [new ThreadLock(word, 0), new ThreadLock(word, 1)];
  one.acquire();
  two.release();
  two.releaseFor(1);
  expect(two.acquire()).toBe(false);
  two.releaseFor(0);
  expect(two.acquire()).toBe(true);
  // It lost the lock and does not know it.
  one.release();
  expect(one.acquire()).toBe(false);
});
