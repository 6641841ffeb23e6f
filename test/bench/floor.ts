/**
 * The floor: the CPU time of the signatures of one request, made and verified by synchronous node:crypto with nothing
 * around them, while the other cores are kept busy as they are under the load: cores may share a clock and a cache.
 */
import { constants, verify } from 'node:crypto';
import { createKey, signBytes, type TestAlgorithm, type TestKey } from '../support/keys.ts';
import { keepOtherCoresBusy } from './busy-cores.ts';
import type { FloorOperation } from './cells.ts';

/** Measures once, and resolves to microseconds of CPU time, user and system, for one request. */
export type Floor = () => Promise<number>;

/** What the service does as well: 256 bytes, about the size of a proof's or token's input. */
const input = Buffer.alloc(256, 'a');
/** Before each look, so that what is measured is compiled. */
const WARM_UP_MS = 30;

/** Prepares keys and signatures; each measurement then takes about `milliseconds`. */
export async function prepareFloor(
  operations: readonly FloorOperation[],
  milliseconds: number,
): Promise<Floor> {
  const steps = await Promise.all(
    operations.map(async ({ operation, algorithm }) => prepareStep(operation, await createKey(algorithm))),
  );
  const runFor = (ms: number) => {
    const end = performance.now() + ms;
    let requests = 0;
    for (; performance.now() < end; requests += 1) for (const step of steps) step();
    return requests;
  };
  return async () => {
    await using _ = await keepOtherCoresBusy();
    Bun.gc(true);
    runFor(WARM_UP_MS);
    const before = process.cpuUsage();
    const requests = runFor(milliseconds);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / requests;
  };
}

function prepareStep(operation: FloorOperation['operation'], key: TestKey): () => void {
  const text = input.toString('latin1');
  if (operation === 'sign') return () => void signBytes(text, key);
  const signature = signBytes(text, key);
  return () => verifyBytes(signature, key);
}

const digests: Readonly<Record<TestAlgorithm, string | null>> = {
  ES256: 'sha256',
  ES384: 'sha384',
  EdDSA: null,
  PS256: 'sha256',
  RS256: 'sha256',
};

function verifyBytes(signature: Buffer, { algorithm, publicKey }: TestKey): void {
  const options = algorithm.startsWith('ES')
    ? ({ key: publicKey, dsaEncoding: 'ieee-p1363' } as const)
    : algorithm === 'PS256'
      ? { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
      : publicKey;
  if (!verify(digests[algorithm], input, options, signature))
    throw new Error('The signature does not verify.');
}
