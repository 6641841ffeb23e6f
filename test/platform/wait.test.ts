/** A wait ends: with what was awaited, or at its time. */
import { expect, test } from 'bun:test';
import { settleWithin, waitAtMost } from '../../src/platform/wait.ts';

const never = new Promise<string>(() => {});

test('what comes in time is the result, and its fault is the fault', async () => {
  expect(await settleWithin(10_000, Promise.resolve('here'), () => 'late')).toBe('here');
  await expect(waitAtMost(10_000, Promise.reject(new Error('broken')))).rejects.toThrow('broken');
});

test('what does not come in time is given up', async () => {
  expect(await settleWithin(1, never, () => 'late')).toBe('late');
  await waitAtMost(1, never);
  const late = settleWithin(1, never, () => {
    throw new Error('no answer');
  });
  await expect(late).rejects.toThrow('no answer');
});
