/** SENDER-CONSTRAINT, "The Authority's keys", rule 3: which documents are a key set, and which key is found in one. */
import { describe, expect, test } from 'bun:test';
import { type AuthorityKeySet, parseKeySet } from '../../src/authority/key-set.ts';
import { keySetOf } from '../support/faulty-authority.ts';
import { createKey } from '../support/keys.ts';

const [ec, rsa, ed, otherEc] = await Promise.all([
  createKey('ES256'),
  createKey('RS256'),
  createKey('EdDSA'),
  createKey('ES256'),
]);

const setOf = (...keys: readonly unknown[]) => parseKeySet(JSON.stringify({ keys }));
const found = async (keySet: AuthorityKeySet, algorithm: string, keyId: string | null) =>
  (await keySet.find(algorithm, keyId)) !== null;

describe("Authority's keys rule 3: what holds no usable key is no key set", () => {
  test.each(['', '{', 'null', '1', '"keys"', '[]', '{}', '{"keys":null}', '{"keys":{}}', '{"keys":"[]"}'])(
    'refuses the document %p',
    (text) => {
      expect(() => parseKeySet(text)).toThrow(/^The key set (?:is not JSON|has no array "keys")\.$/);
    },
  );

  test.each([
    ['nothing', []],
    ['no objects', [null, 1, 'key', [], true]],
    ['symmetric keys', [{ kty: 'oct', k: 'c2VjcmV0', kid: 'a' }]],
    ['encryption keys', [{ ...ec.publicJwk, use: 'enc' }]],
    ['keys of unknown types', [{ kty: 'ec' }, { kty: 'AKP', pub: 'AA' }, { kty: ['EC'] }, {}]],
    [
      'names of keys without their members',
      [{ kty: 'RSA' }, { kty: 'EC', crv: 'P-256' }, { kty: 'OKP', kid: 'a' }],
    ],
    [
      'members that are no strings',
      [
        { ...rsa.publicJwk, n: 5 },
        { ...ec.publicJwk, x: null },
      ],
    ],
  ])('refuses a key set of %s', (_, keys) => {
    expect(() => setOf(...keys)).toThrow('The key set holds no public signature key.');
  });

  test('takes 100 keys, and no more', () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, kid) => ({ ...ec.publicJwk, kid: `${kid}` }));
    expect(() => setOf(...many(100))).not.toThrow();
    expect(() => setOf(...many(101))).toThrow('The key set holds more than 100 keys.');
  });

  test('an unusable key beside a good one harms only itself', async () => {
    const broken = { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', kid: 'broken' };
    const notOnCurve = { ...ec.publicJwk, y: ec.publicJwk.x, kid: 'not-on-curve' };
    const keySet = setOf(null, { kty: 'oct', k: 'AA' }, broken, notOnCurve, ...keySetOf([ec]).keys);
    expect(await found(keySet, 'ES256', ec.thumbprint)).toBe(true);
    expect(await found(keySet, 'ES256', 'broken')).toBe(false);
    expect(await found(keySet, 'ES256', 'not-on-curve')).toBe(false);
  });
});

describe("Authority's keys rule 2: kid is a map key, and alg must fit the key", () => {
  const keySet = parseKeySet(JSON.stringify(keySetOf([ec, rsa, ed])));

  test('finds each key by its kid and its algorithm, always the same', async () => {
    for (const key of [ec, rsa, ed]) {
      const first = await keySet.find(key.algorithm, key.thumbprint);
      expect(first).not.toBeNull();
      expect(await keySet.find(key.algorithm, key.thumbprint)).toBe(first);
    }
  });

  test.each([
    ['ES256', rsa.thumbprint],
    ['RS256', ec.thumbprint],
    ['PS256', rsa.thumbprint],
    ['ES384', ec.thumbprint],
    ['EdDSA', ec.thumbprint],
    ['HS256', rsa.thumbprint],
    ['none', ec.thumbprint],
    ['', ec.thumbprint],
    ['ES256', 'unknown'],
    ['ES256', ''],
    ['ES256', '__proto__'],
    ['ES256', 'constructor'],
    ['ES256', ec.thumbprint.toUpperCase()],
  ])('finds no key for %p and the kid %p', async (algorithm, keyId) => {
    expect(await found(keySet, algorithm, keyId)).toBe(false);
  });

  test('without a kid finds the only key that fits, and none where two do', async () => {
    expect(await found(keySet, 'ES256', null)).toBe(true);
    const two = parseKeySet(JSON.stringify(keySetOf([ec, otherEc])));
    expect(await found(two, 'ES256', null)).toBe(false);
    expect(await found(two, 'ES256', otherEc.thumbprint)).toBe(true);
  });

  test('finds none of two keys under one kid', async () => {
    const twice = setOf({ ...ec.publicJwk, kid: 'same' }, { ...otherEc.publicJwk, kid: 'same' });
    expect(await found(twice, 'ES256', 'same')).toBe(false);
  });

  test('a private key that the Authority published by mistake verifies nothing', async () => {
    const keySet = setOf({ ...ec.privateJwk, kid: 'private' }, ...keySetOf([otherEc]).keys);
    const key = await keySet.find('ES256', 'private');
    expect(key === null || !key.usages.includes('verify')).toBe(true);
  });
});
