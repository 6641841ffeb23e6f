/**
 * The floor: the CPU time of one signature made and one verified with nothing around it. That of synchronous
 * node:crypto counts as the floor; that of jose, which works on WebCrypto's threads, is told beside it.
 */
import { constants, verify } from 'node:crypto';
import { CompactSign, compactVerify, importJWK } from 'jose';
import { createKey, signBytes, type TestAlgorithm, type TestKey } from '../support/keys.ts';
import type { FloorOperation } from './cells.ts';

/** Microseconds of CPU time, user and system, for one operation. */
export interface OperationCost {
  readonly nodeCrypto: number;
  readonly jose: number;
}

export interface FloorOptions {
  readonly rounds: number;
  readonly perRound: number;
}

export type FloorCosts = ReadonlyMap<string, OperationCost>;

export function operationName({ operation, algorithm }: FloorOperation): string {
  return `${algorithm} ${operation}`;
}

/** Measures each distinct operation once. */
export async function measureFloor(
  operations: readonly FloorOperation[],
  options: FloorOptions,
): Promise<FloorCosts> {
  const distinct = new Map(operations.map((operation) => [operationName(operation), operation]));
  const costs = new Map<string, OperationCost>();
  for (const [name, { operation, algorithm }] of distinct) {
    const key = await createKey(algorithm);
    costs.set(name, {
      nodeCrypto: await measureCpu(nodeCryptoOperation(operation, key), options),
      jose: await measureCpu(await joseOperation(operation, key), options),
    });
  }
  return costs;
}

/** The sum for one request. Throws where an operation was not measured. */
export function sumFloor(operations: readonly FloorOperation[], costs: FloorCosts): OperationCost {
  return operations.reduce(
    (sum, operation) => {
      const cost = costs.get(operationName(operation));
      if (cost === undefined) throw new Error(`${operationName(operation)} was not measured.`);
      return { nodeCrypto: sum.nodeCrypto + cost.nodeCrypto, jose: sum.jose + cost.jose };
    },
    { nodeCrypto: 0, jose: 0 },
  );
}

/** What the service does as well: 256 bytes, about the size of a proof's or token's input. */
const input = Buffer.alloc(256, 'a');

type Operation = () => unknown;

function nodeCryptoOperation(operation: FloorOperation['operation'], key: TestKey): Operation {
  if (operation === 'sign') return () => signBytes(input.toString('latin1'), key);
  const signature = signBytes(input.toString('latin1'), key);
  return () => verifyBytes(signature, key);
}

async function joseOperation(operation: FloorOperation['operation'], key: TestKey): Promise<Operation> {
  const { algorithm } = key;
  const privateKey = await importJWK(key.privateJwk, algorithm);
  const makeJws = () => new CompactSign(input).setProtectedHeader({ alg: algorithm }).sign(privateKey);
  if (operation === 'sign') return makeJws;
  const jws = await makeJws();
  const publicKey = await importJWK(key.publicJwk, algorithm);
  return () => compactVerify(jws, publicKey);
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

/** The median of several rounds, so that neither the first, which compiles, nor a disturbed one counts. */
async function measureCpu(operation: Operation, { rounds, perRound }: FloorOptions): Promise<number> {
  const costs: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const before = process.cpuUsage();
    for (let count = 0; count < perRound; count += 1) await operation();
    const { user, system } = process.cpuUsage(before);
    costs.push((user + system) / perRound);
  }
  return costs.sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? Number.NaN;
}
