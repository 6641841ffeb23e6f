/** The Authority's keys: which documents are a key set, and which key is found in one. */
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
  (await keySet.find(algorithm, keyId)).length > 0;

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
      expect(first).toHaveLength(1);
      expect((await keySet.find(key.algorithm, key.thumbprint))[0]).toBe(first[0]);
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

  test('finds two different keys under one kid, each for its algorithm, and four at most', async () => {
    const keys = await Promise.all(Array.from({ length: 5 }, () => createKey('ES256')));
    const same = [...keys, rsa].map(({ publicJwk }) => ({ ...publicJwk, kid: 'same' }));
    expect(await setOf(...same.slice(3)).find('ES256', 'same')).toHaveLength(2);
    expect(await setOf(...same).find('ES256', 'same')).toHaveLength(4);
    expect(await setOf(...same).find('RS256', 'same')).toHaveLength(1);
  });
});

describe('key sets as real servers write them', () => {
  const named = { ...ec.publicJwk, kid: 'a' };

  test.each([
    ['key_ops of both halves', { ...named, key_ops: ['sign', 'verify'] }],
    ['key_ops of a vault', { ...named, key_ops: 'sign verify wrapKey unwrapKey encrypt decrypt'.split(' ') }],
    ['key_ops with words that nobody knows', { ...named, key_ops: ['verify', 'notarize'] }],
    ['no use', named],
    ['a use of its own', { ...named, use: 'signature' }],
    ['an x5t and an x5c that is none', { ...named, x5t: 'AA', x5c: ['AA'] }],
    ['ext and an alg', { ...named, ext: true, alg: 'ES256' }],
    ['its private part', { ...ec.privateJwk, kid: 'a' }],
    ['its private part and the key_ops of it', { ...ec.privateJwk, kid: 'a', key_ops: ['sign', 'verify'] }],
  ])('verifies with a key that has %s', async (_, key) => {
    const [imported, ...more] = await setOf(key).find('ES256', 'a');
    expect(more).toEqual([]);
    expect(imported?.type).toBe('public');
    expect(imported?.usages).toEqual(['verify']);
  });

  test.each([
    ['is listed for encryption', { ...named, use: 'enc' }],
    ['has key_ops without verify', { ...named, key_ops: ['sign'] }],
    ['has no key_ops at all', { ...named, key_ops: [] }],
    ['is for another algorithm', { ...rsa.publicJwk, kid: 'a', alg: 'RSA-OAEP' }],
  ])('does not verify with a key that %s', async (_, key) => {
    const keySet = setOf(key, ...keySetOf([otherEc]).keys);
    expect(await found(keySet, 'ES256', 'a')).toBe(false);
    expect(await found(keySet, 'RS256', 'a')).toBe(false);
  });

  test('takes a key that is listed twice for one, with and without a kid', async () => {
    const twice = setOf(named, named, { ...named, x5t: 'AA' });
    expect(await twice.find('ES256', 'a')).toHaveLength(1);
    expect(await twice.find('ES256', null)).toHaveLength(1);
  });

  test.each([
    ['EdDSA', 'Ed25519'],
    ['Ed25519', 'EdDSA'],
    [undefined, 'EdDSA'],
    [undefined, 'Ed25519'],
  ])('finds a key whose alg is %p for a token that says %s', async (alg, algorithm) => {
    expect(await found(setOf({ ...ed.publicJwk, kid: 'ed', alg }), algorithm, 'ed')).toBe(true);
  });

  test('an Ed448 key beside others harms nothing, not even without a kid', async () => {
    const ed448 = { kty: 'OKP', crv: 'Ed448', x: 'A'.repeat(76), alg: 'EdDSA' };
    const keySet = setOf({ ...ed448, kid: 'ed448' }, { ...ed.publicJwk, kid: 'ed' });
    expect(await found(keySet, 'EdDSA', 'ed448')).toBe(false);
    expect(await found(keySet, 'EdDSA', null)).toBe(true);
  });

  test('a byte order mark in front is skipped', async () => {
    const keySet = parseKeySet(`\ufeff${JSON.stringify({ keys: [named] })}`);
    expect(await found(keySet, 'ES256', 'a')).toBe(true);
  });

  test('tells of private and of secret keys', () => {
    expect(setOf(named).warnings).toEqual([]);
    for (const secret of [{ ...ec.privateJwk }, { kty: 'oct', k: 'AA' }]) {
      const { warnings } = setOf(named, secret);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain('private or secret keys');
      expect(warnings[0]).not.toContain(ec.privateJwk.d ?? '-');
    }
  });
});
