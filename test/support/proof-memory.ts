/** A process that verifies many proofs and tells its resident memory: `proof-memory.ts COUNT JUNK_BYTES`. */
import { randomBytes } from 'node:crypto';
import { ask } from './ask.ts';
import { signBytes } from './keys.ts';
import { createHarness } from './service.ts';
import { encode, proofMembers } from './tokens.ts';

const [count, junkBytes] = process.argv.slice(2).map(Number) as [number, number];
const { MemoryReplayStore } = await import('../../src/replay/memory-replay-store.ts');
const harness = await createHarness({ replayStore: MemoryReplayStore.create(count + 1000, 0) });
const opTok = harness.opTok();
for (let index = 0; index < count; index += 1) {
  const { header, claims } = proofMembers(harness.clientKey, opTok, harness.clock.now);
  // Another text each time, in a member that nobody knows.
  const junk = { ...header, junk: randomBytes(junkBytes / 2).toString('hex') };
  const input = `${encode(JSON.stringify(junk))}.${encode(JSON.stringify(claims))}`;
  const proof = `${input}.${signBytes(input, harness.clientKey).toString('base64url')}`;
  const { status } = await ask(harness, { opTok, proof });
  if (status !== 200) throw new Error(`A proof was refused with ${status}.`);
  harness.decisions.length = 0;
}
Bun.gc(true);
process.stdout.write(`${process.memoryUsage.rss()}\n`);
