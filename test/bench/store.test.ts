/** The bench of the replay store: that it measures what it says; no timings. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { createTemporaryFolder, run, type TemporaryFolder } from '../support/processes.ts';
import type { StoreFigures } from './store-cell.ts';

setDefaultTimeout(60_000);

const SCRIPT = new URL('store.ts', import.meta.url).pathname;

let folder: TemporaryFolder;
beforeAll(async () => {
  folder = await createTemporaryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

const bench = (words: readonly string[]) =>
  run([process.execPath, SCRIPT, ...words], { env: { PATH: process.env.PATH ?? '' } });

test('prints a table and writes JSON, with the memory of each size and the times of its inserts', async () => {
  const file = folder.at('figures.json');
  const words = ['--entries', '20000,40000', '--inserts', '30000', '--json', file];
  const { exitCode, stdout, stderr } = await bench(words);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  const { rows } = JSON.parse(readFileSync(file, 'utf8')) as { rows: StoreFigures[] };
  expect(rows.map(({ entries }) => entries)).toEqual([20_000, 40_000]);
  for (const { entries, reserved, resident, steady, burst, nothing } of rows) {
    expect(reserved * 2 ** 20).toBeWithin(entries * 32, entries * 40 + 2e6);
    expect(resident).toBeGreaterThan(0);
    for (const { inserts, p50, p99, p999, max } of [steady, burst, nothing]) {
      expect(inserts).toBe(30_000);
      expect([p50, p99, p999, max]).toEqual([p50, p99, p999, max].sort((a, b) => a - b));
      expect(p50).toBeGreaterThan(0);
    }
  }
  expect(stdout).toMatch(/^ +20000 .* as many expire( +[\d.]+){4}$/m);
  expect(stdout.trim().split('\n')).toHaveLength(7);
});

test.each([
  [['--entries', '10'], '--entries is a whole number from 1000 to 50000000, not 10'],
  [['--entries', '1000,x'], '--entries is a whole number'],
  [['--inserts', '1.5'], '--inserts is a whole number'],
  [['--fast'], "Unknown option '--fast'"],
])('does not start with the words %p', async (words, message) => {
  const { exitCode, stderr, stdout } = await bench(words);
  expect([exitCode, stdout]).toEqual([2, '']);
  expect(stderr).toInclude(message);
  expect(stderr).toInclude('Usage: bun test/bench/store.ts');
});
