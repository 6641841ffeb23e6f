/** Where keys end up is not for strangers to choose. */
import { describe, expect, test } from 'bun:test';
import { fillSecret, SECRET_WORDS, secretHash } from '../../src/platform/secret-hash.ts';

type Words = readonly [number, number, number, number];

const BITS = 10;
const COUNT = 4096;
const random = () => Math.floor(Math.random() * 2 ** 32);
const half = () => Math.floor(Math.random() * 2 ** 16) * 2 ** 16 + 0x1234;

function createSecret(): Uint32Array {
  const secret = new Uint32Array(SECRET_WORDS);
  fillSecret(secret);
  return secret;
}

/** The most that one of 1024 places gets. */
function fullest(secret: Uint32Array, keys: readonly Words[]): number {
  const counts = new Uint32Array(2 ** BITS);
  for (const key of keys) {
    const place = secretHash(secret, BITS, ...key);
    counts[place] = (counts[place] ?? 0) + 1;
  }
  return Math.max(...counts);
}

describe('4096 keys in 1024 places: none gets more than chance would give it', () => {
  const ground: readonly (readonly [string, () => Words])[] = [
    ['by chance', () => [random(), random(), random(), random()]],
    ['with the same first word', () => [7, random(), random(), random()]],
    ['with the same last word', () => [random(), random(), random(), 7]],
    ['with three words the same', () => [7, 7, random(), 7]],
    ['with the same lower half of each word', () => [half(), half(), half(), half()]],
  ];
  test.each(ground)('%s', (_, create) => {
    // Chance gives 4 and, in a thousand places, hardly ever more than 16.
    for (let round = 0; round < 20; round += 1)
      expect(fullest(createSecret(), Array.from({ length: COUNT }, create))).toBeLessThan(24);
  });
});

test('keys that share a place under one secret do not under another', () => {
  const secret = createSecret();
  const together: Words[] = [];
  while (together.length < 200) {
    const key: Words = [random(), random(), random(), random()];
    if (secretHash(secret, BITS, ...key) === 5) together.push(key);
  }
  expect(fullest(secret, together)).toBe(200);
  expect(fullest(createSecret(), together)).toBeLessThan(20);
});

test('a place has as many bits as were asked for', () => {
  const secret = createSecret();
  for (const bits of [1, 2, 20, 26, 31])
    for (let round = 0; round < 1000; round += 1)
      expect(secretHash(secret, bits, random(), random(), random(), random())).toBeWithin(0, 2 ** bits);
});

test('two secrets are different, and odd', () => {
  const [one, two] = [createSecret(), createSecret()];
  expect(one).not.toEqual(two);
  expect([...one, ...two].every((word) => word % 2 === 1)).toBe(true);
});
