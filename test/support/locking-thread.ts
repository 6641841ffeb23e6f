/** A thread that counts in shared memory, in two steps that only a lock holds together. */
import { ThreadLock } from '../../src/platform/thread-lock.ts';

declare const self: Worker;

/** Words: the lock, the count, and how often the lock was not to be had. */
self.onmessage = ({ data: { memory, thread, rounds } }) => {
  const words = new Int32Array(memory);
  const lock = new ThreadLock(words.subarray(0, 1), thread);
  for (let round = 0; round < rounds; round += 1) {
    if (!lock.acquire()) {
      Atomics.add(words, 2, 1);
      continue;
    }
    const count = words[1] ?? 0;
    for (let pause = 0; pause < 20; pause += 1) Atomics.load(words, 0);
    words[1] = count + 1;
    lock.release();
  }
  process.exit();
};
