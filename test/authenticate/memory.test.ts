/** What is remembered of proofs does not grow with what stands in them beside the key. */
import { expect, test } from 'bun:test';
import { runOrFail } from '../support/processes.ts';

const PROGRAM = new URL('../support/proof-memory.ts', import.meta.url).pathname;
/** More than twice as many as are remembered in one generation; a proof has at most 8 KiB. */
const PROOFS = 12_000;
const JUNK_BYTES = 5000;

async function memoryAfter(junkBytes: number): Promise<number> {
  const words = [process.execPath, 'run', PROGRAM, String(PROOFS), String(junkBytes)];
  return Number(await runOrFail(words, { timeoutMs: 200_000 }));
}

test('thousands of proofs with 7 KB of junk in each header take no more memory than without it', async () => {
  const plain = await memoryAfter(0);
  const withJunk = await memoryAfter(JUNK_BYTES);
  expect(withJunk / plain).toBeLessThan(1.15);
}, 450_000);
