/** Lines are written some at a time, in their order, and none waits for long. */
import { expect, test } from 'bun:test';
import { createLineBatch } from '../../src/telemetry/log.ts';

function collect() {
  const writes: string[] = [];
  return { writes, batch: createLineBatch((lines) => writes.push(lines)) };
}

test('lines that come together are written together, without being asked for', async () => {
  const { writes, batch } = collect();
  batch.write('a\n');
  batch.write('b\n');
  expect(writes).toEqual([]);
  await Bun.sleep(5);
  expect(writes).toEqual(['a\nb\n']);
  batch.write('c\n');
  await Bun.sleep(5);
  expect(writes).toEqual(['a\nb\n', 'c\n']);
});

test('no more than 64 KiB and a line wait', () => {
  const { writes, batch } = collect();
  const line = `${'x'.repeat(1023)}\n`;
  for (let count = 0; count < 130; count += 1) batch.write(line);
  expect(writes.map((text) => text.length)).toEqual([64 * 1024, 64 * 1024]);
  batch.flush();
  expect(writes.join('')).toBe(line.repeat(130));
});

test('a flush passes on what waits, once', async () => {
  const { writes, batch } = collect();
  batch.flush();
  batch.write('a\n');
  batch.flush();
  batch.flush();
  await Bun.sleep(5);
  expect(writes).toEqual(['a\n']);
});
