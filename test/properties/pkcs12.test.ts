/** Containers with any bytes altered: opened or refused in words, and before long, whatever is in them. */
import { expect, test } from 'bun:test';
import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { derSequence } from '../../src/keys/der.ts';
import { KeyFault } from '../../src/keys/key-algorithm.ts';
import { openPkcs12 } from '../../src/keys/pkcs12/pkcs12.ts';
import { craftPfx, craftPfxOf, encryptedSafe, keyBag, plainSafe, sealedKeyBag } from '../support/pfx.ts';

const password = 'secret';
const key = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'der' });
const safes = [plainSafe(sealedKeyBag(key, password, 100)), encryptedSafe(password, keyBag(key))];
const runs = { numRuns: 1500 };

const alterations = fc.array(fc.record({ at: fc.nat(), to: fc.nat(255) }), { minLength: 1, maxLength: 4 });
type Alterations = readonly { readonly at: number; readonly to: number }[];

function alter(bytes: Buffer, alterations: Alterations): Buffer {
  const altered = Buffer.from(bytes);
  for (const { at, to } of alterations) altered[at % altered.length] = to;
  return altered;
}

function expectAnswer(bytes: Buffer): void {
  const started = performance.now();
  try {
    openPkcs12(bytes, password);
  } catch (cause) {
    if (!(cause instanceof KeyFault)) throw cause;
    expect(cause.message).toEndWith('.');
    expect(cause.message).not.toInclude(password);
  }
  expect(performance.now() - started).toBeLessThan(2000);
}

test('a container with altered bytes is opened or refused in words', () => {
  const pfx = craftPfx(safes, { password, iterations: 100 });
  fc.assert(
    fc.property(alterations, (list) => expectAnswer(alter(pfx, list))),
    runs,
  );
});

test('a container with altered contents under a right MAC is opened or refused in words', () => {
  const contents = derSequence(...safes);
  fc.assert(
    fc.property(alterations, (list) => expectAnswer(craftPfxOf(alter(contents, list), { password }))),
    runs,
  );
});

test('any bytes are refused in words', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => expectAnswer(Buffer.from(bytes))),
    runs,
  );
});

test('a container that is cut off anywhere is refused in words', () => {
  const pfx = craftPfx(safes, { password });
  for (let length = 0; length < pfx.length; length++) expectAnswer(pfx.subarray(0, length));
});
