/** Several threads on one store: exact, whoever comes first, and whoever dies. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import type { ReplayVerdict } from '../../src/authenticate/replay-store.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { viewReplayMemory } from '../../src/replay/replay-memory.ts';
import { keyOf } from '../support/replay-reference.ts';
import { LIFE, PER_SECOND, type ReplayTask, verdicts } from '../support/replay-thread.ts';

setDefaultTimeout(60_000);

const SCRIPT = new URL('../support/replay-thread.ts', import.meta.url);

interface Running {
  readonly thread: number;
  readonly worker: Worker;
  readonly ended: Promise<unknown>;
  readonly answers: Uint8Array;
}

function startThread(
  store: MemoryReplayStore,
  { proofs, ...more }: Omit<ReplayTask, 'memory' | 'answers'> & { readonly proofs: number },
): Running {
  const worker = new Worker(SCRIPT);
  const answers = new SharedArrayBuffer(proofs);
  worker.postMessage({ ...more, memory: store.memory, answers } satisfies ReplayTask);
  const ended = new Promise((resolve) => worker.addEventListener('close', resolve, { once: true }));
  return { thread: more.thread, worker, ended, answers: new Uint8Array(answers) };
}

const createClock = () => new SharedArrayBuffer(8);

function startThreads(
  store: MemoryReplayStore,
  bring: ReplayTask['bring'],
  clock: SharedArrayBuffer,
  proofs: number,
): Running[] {
  return [1, 2, 3].map((thread) => startThread(store, { thread, threads: 3, bring, clock, proofs }));
}

/** What each thread was answered for this proof. */
function answersTo(proof: number, running: readonly Running[]): ReplayVerdict[] {
  return running.flatMap(({ answers }) => verdicts[(answers[proof] ?? 0) - 1] ?? []);
}

test('of threads that bring the same proofs, one is the first with each and the others are told so', async () => {
  const proofs = 30_000;
  const store = MemoryReplayStore.create(proofs, 0);
  const running = startThreads(store, 'once', createClock(), proofs);
  await Promise.all(running.map(({ ended }) => ended));
  for (let proof = 0; proof < proofs; proof += 1)
    expect(answersTo(proof, running).sort()).toEqual(['first', 'replayed', 'replayed']);
  expect(store.count(0)).toBe(proofs);
  const firsts = running.map(({ answers }) => answers.filter((answer) => answer === 1).length);
  // Each had its share: a thread that came when all was over proves nothing.
  for (const count of firsts) expect(count).toBeGreaterThan(0);
});

test('they fill the store to its last entry, and not beyond', async () => {
  const [proofs, capacity] = [12_000, 9000];
  const store = MemoryReplayStore.create(capacity, 0);
  const running = startThreads(store, 'once', createClock(), proofs);
  await Promise.all(running.map(({ ended }) => ended));
  let firsts = 0;
  for (let proof = 0; proof < proofs; proof += 1) {
    const answers = answersTo(proof, running);
    expect(answers).not.toContain('unavailable');
    const accepted = answers.filter((answer) => answer === 'first').length;
    expect(accepted).toBeLessThanOrEqual(1);
    if (accepted === 0) expect(answers).toEqual(['full', 'full', 'full']);
    firsts += accepted;
  }
  expect(firsts).toBe(capacity);
  expect(store.count(0)).toBe(capacity);
});

test('while entries expire under them, no proof is accepted twice and none is refused for another', async () => {
  const seconds = 300;
  const clock = createClock();
  // Room for a few seconds of the three hundred: what has expired must be had again.
  const store = MemoryReplayStore.create(3 * PER_SECOND * (LIFE + 1), 0);
  const proofs = seconds * PER_SECOND;
  const running = startThreads(store, 'by the clock', clock, proofs);
  await until(() => running.every(({ answers }) => answers.some((answer) => answer !== 0)));
  for (let now = 1; now <= seconds; now += 1) {
    Atomics.store(new Int32Array(clock), 0, now);
    await Bun.sleep(2);
  }
  await Promise.all(running.map(({ ended }) => ended));
  const brought = Array.from({ length: proofs }, (_, proof) => answersTo(proof, running)).filter(
    (answers) => answers.length > 0,
  );
  expect(brought.length).toBeGreaterThan(proofs / 2);
  for (const answers of brought) {
    const accepted = answers.filter((answer) => answer === 'first').length;
    expect(accepted).toBeLessThanOrEqual(1);
    // A thread that was stopped between reading the clock and bringing a proof may be told that it is too late.
    if (!answers.includes('unavailable')) expect([accepted, answers.includes('full')]).toEqual([1, false]);
  }
  expect(brought.filter((answers) => answers.includes('unavailable')).length).toBeLessThan(
    brought.length / 2,
  );
});

test('threads that are killed at work cost an entry each at most, and free nothing that was accepted', async () => {
  const [proofs, capacity] = [200_000, 150_000];
  const store = MemoryReplayStore.create(capacity, 0);
  const { lock } = viewReplayMemory(store.memory);
  const killed: Running[] = [];
  let diedWithTheLock = 0;
  for (let thread = 1; thread <= 25; thread += 1) {
    const running = startThread(store, { thread, threads: 1, bring: 'once', clock: createClock(), proofs });
    await until(() => running.answers.some((answer) => answer !== 0));
    await Bun.sleep(Math.random() * 4);
    running.worker.terminate();
    await running.ended;
    if (lock[0] === thread + 1) diedWithTheLock += 1;
    store.releaseLockOf(thread);
    killed.push(running);
  }
  expect(diedWithTheLock).toBeGreaterThan(0);
  let firsts = 0;
  for (let proof = 0; proof < proofs; proof += 1) {
    const answers = answersTo(proof, killed);
    if (!answers.includes('first')) continue;
    firsts += 1;
    if (answers.filter((answer) => answer === 'first').length > 1)
      throw new Error(`accepted twice: ${proof}`);
    if (store.insert(keyOf(proof), 1000, 1) !== 'replayed') throw new Error(`forgotten: ${proof}`);
  }
  expect(firsts).toBeGreaterThan(1000);
  let taken = 0;
  while (store.insert(keyOf(`new ${taken}`), 3000, 2000) === 'first') taken += 1;
  expect(taken).toBeWithin(capacity - killed.length, capacity + 1);
});

test('while a dead thread holds the lock nothing is vouched for, until its death is told', async () => {
  const store = MemoryReplayStore.create(10, 0);
  const { lock } = viewReplayMemory(store.memory);
  lock[0] = 8;
  expect(store.insert(keyOf('a'), 10, 0)).toBe('unavailable');
  expect(store.count(0)).toBeNull();
  store.releaseLockOf(6);
  expect(store.insert(keyOf('a'), 10, 0)).toBe('unavailable');
  store.releaseLockOf(7);
  expect(store.insert(keyOf('a'), 10, 0)).toBe('first');
  expect(store.count(0)).toBe(1);
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await Bun.sleep(1);
}
