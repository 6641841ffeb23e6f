/** The JWT that a registry verifies offline. */
import { describe, expect, test } from 'bun:test';
import { createPublicKey, type JsonWebKeyInput, verify } from 'node:crypto';
import { createLocalJWKSet, type JWK, jwtVerify } from 'jose';
import { type Answer, ask } from '../support/ask.ts';
import { createHarness, createSigningKey, NOW, SIGNING_ISSUER } from '../support/service.ts';
import { decodePart, SERVICE } from '../support/tokens.ts';

const harness = await createHarness();
const tokenOf = ({ body }: Answer) => String(body.token);
const claimsOf = (answer: Answer) => decodePart(tokenOf(answer), 1);

const scopes = ['repository:public/b:pull', 'repository:public/a:pull'];

describe('the registry token', async () => {
  const answer = await ask(harness, { scopes });

  test('has the header members typ, alg and kid, and x5c only with a certificate', () => {
    const { keyId } = harness.signingKey;
    expect(decodePart(tokenOf(answer), 0)).toEqual({ typ: 'JWT', alg: 'ES256', kid: keyId });
  });

  test('has exactly the claims of the contract', () => {
    const claims = claimsOf(answer);
    expect(claims).toEqual({
      iss: SIGNING_ISSUER,
      sub: 'alice',
      aud: SERVICE,
      iat: NOW - 10,
      nbf: NOW - 10,
      exp: NOW + 300,
      jti: String(claims.jti),
      access: [
        { type: 'repository', name: 'public/a', actions: ['pull'] },
        { type: 'repository', name: 'public/b', actions: ['pull'] },
      ],
    });
  });

  test('has a jti that is new every time', async () => {
    const tokens = await Promise.all(Array.from({ length: 20 }, () => ask(harness)));
    const ids = tokens.map((token) => String(claimsOf(token).jti));
    expect(new Set(ids).size).toBe(20);
    expect(ids.every((id) => id.length >= 22)).toBe(true);
  });

  test('has access as an empty array where nothing was asked', async () => {
    expect(claimsOf(await ask(harness)).access).toEqual([]);
  });

  test('has integer times when the clock has fractions', async () => {
    const fractional = await createHarness();
    fractional.clock.now = NOW + 0.75;
    const { iat, nbf, exp } = claimsOf(await ask(fractional));
    expect([iat, nbf, exp]).toEqual([NOW - 10, NOW - 10, NOW + 300]);
  });

  test('copies nothing of the OpTok but sub', async () => {
    const claims = {
      sub: 'ünïcödé "sub"',
      scope: 'registry.token.issue',
      email: 'a@b',
      groups: ['g'],
      jti: 'mine',
      access: [1],
    };
    const { jti, ...rest } = claimsOf(await ask(harness, { opTok: harness.opTok({ claims }) }));
    expect(Object.keys(rest).sort()).toEqual(['access', 'aud', 'exp', 'iat', 'iss', 'nbf', 'sub']);
    expect([rest.sub, rest.access, jti === 'mine']).toEqual([claims.sub, [], false]);
  });

  test('has aud as a string, never an array', () => {
    expect(typeof claimsOf(answer).aud).toBe('string');
  });
});

describe('the signature', () => {
  test.each(['ES256', 'ES384', 'EdDSA', 'RS256'] as const)(
    'verifies with jose and with node:crypto: %s',
    async (algorithm) => {
      const signer = await createSigningKey(algorithm);
      const token = tokenOf(await ask(await createHarness({ signer }), { scopes }));
      const { payload, protectedHeader } = await jwtVerify(
        token,
        createLocalJWKSet({ keys: [signer.publicJwk] }),
        {
          issuer: SIGNING_ISSUER,
          audience: SERVICE,
          typ: 'JWT',
          algorithms: [algorithm],
          currentDate: new Date(NOW * 1000),
        },
      );
      expect([payload.sub, protectedHeader.kid]).toEqual(['alice', signer.keyId]);
      expect(verifyWithNode(token, algorithm, signer.publicJwk)).toBe(true);
      expect(verifyWithNode(token.replace(/\.[^.]+\./, '.e30.'), algorithm, signer.publicJwk)).toBe(false);
    },
  );
});

function verifyWithNode(token: string, algorithm: string, jwk: JWK): boolean {
  const [header, payload, signature = ''] = token.split('.');
  const key = createPublicKey({ key: jwk, format: 'jwk' } as JsonWebKeyInput);
  const digests: Record<string, string | null> = {
    ES256: 'sha256',
    ES384: 'sha384',
    RS256: 'sha256',
    EdDSA: null,
  };
  const input = Buffer.from(`${header}.${payload}`);
  const options = algorithm.startsWith('ES') ? ({ key, dsaEncoding: 'ieee-p1363' } as const) : key;
  return verify(digests[algorithm] ?? null, input, options, Buffer.from(signature, 'base64url'));
}
