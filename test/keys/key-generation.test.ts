/** The signing keys of `keygen`. */
import { expect, test } from 'bun:test';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { createRegistryJwks, generateSigningKey, hasShortCoordinate } from '../../src/keys/key-generation.ts';
import { libtrustId, thumbprintId } from '../../src/keys/key-ids.ts';
import { openSigningKey } from '../../src/keys/signing-key.ts';
import { NOW } from '../support/service.ts';

// Found among random keys: x of the first, y of the second begins with a zero byte.
const shortX = {
  kty: 'EC',
  crv: 'P-256',
  x: 'AEIgLbIYTqprp_xG9TpbMuNgSmEh0IYTg4bSLAaVHt8',
  y: 'Nxg41zTaJiX8jrm06dLj3xyahmbCeJPAVzr124SR5T8',
  d: 'mf8PoPu7ucS9dj3_VdfpdsSPbo8ivHFxsV2iRF-xYtA',
};
const shortY = {
  kty: 'EC',
  crv: 'P-384',
  x: '7piE1bLbXi3C0H4IGhyOKl_oslaUCDs_ozKub0pzMX4cg7hfaMlIi99Y0DlB-uJO',
  y: 'AKtrg_YxUOO6CirIHCl4I8qfxCFbfcUvR3ViBNm0_buTcHWVaVl0DgWH8hsydxDi',
  d: 'J5j_7YiecMzS9r-6av3r1ySOZNDcXUmfjLMlgrsTBtJClaTLQMDtHg1cj1anJwE1',
};

test.each([shortX, shortY])('an EC key whose x or y begins with a zero byte is noticed', (jwk) => {
  expect(hasShortCoordinate(createPrivateKey({ key: jwk, format: 'jwk' }))).toBe(true);
});

test('no key is made whose x or y begins with a zero byte', () => {
  const keys = Array.from({ length: 600 }, () => generateSigningKey('ES256'));
  expect(keys.filter(hasShortCoordinate)).toEqual([]);
});

test.each(['EdDSA', 'RS256'] as const)('an %s key has no such coordinate', (algorithm) => {
  expect(hasShortCoordinate(generateSigningKey(algorithm))).toBe(false);
});

test('an RSA key has 2048 bits', () => {
  expect(generateSigningKey('RS256').asymmetricKeyDetails?.modulusLength).toBe(2048);
});

test.each(['ES256', 'ES384', 'EdDSA', 'RS256'] as const)(
  'the key set has the %s key under both its names, and nothing private',
  async (algorithm) => {
    const privateKey = generateSigningKey(algorithm);
    const publicKey = createPublicKey(privateKey);
    const { keys } = await createRegistryJwks(publicKey);
    expect(keys.map(({ kid }) => kid ?? '')).toEqual([await thumbprintId(publicKey), libtrustId(publicKey)]);
    for (const { kid, alg, use, ...members } of keys) {
      expect({ alg, use }).toEqual({ alg: algorithm, use: 'sig' });
      expect(members).toEqual(publicKey.export({ format: 'jwk' }) as object);
    }
  },
);

test.each(['thumbprint', 'libtrust'])(
  'a token whose kid is the %s verifies with the key set',
  async (keyId) => {
    const privateKey = generateSigningKey('ES256');
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const signer = await openSigningKey({ key, password: null, certificates: null, keyId }, NOW);
    const claims = { iss: 'i', sub: 's', aud: 'a', iat: NOW, nbf: NOW, exp: NOW + 60, jti: 'j', access: [] };
    const keySet = (await createRegistryJwks(createPublicKey(privateKey))) as JSONWebKeySet;
    const verified = await jwtVerify(await signer.sign(claims), createLocalJWKSet(keySet), {
      currentDate: new Date(NOW * 1000),
    });
    expect(verified.payload.sub).toBe('s');
  },
);
