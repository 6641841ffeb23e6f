/** How a client shows the Authority who it is, and what it must have for that. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { jwtVerify } from 'jose';
import type { Authority } from '../../src/client/authority.ts';
import {
  type AuthenticatedRequest,
  authenticate,
  type ClientCredentials,
  chooseClientAuthentication,
  loadClientKey,
} from '../../src/client/client-authentication.ts';
import { createTemporaryFolder, type TemporaryFolder } from '../support/processes.ts';
import { decodePart } from '../support/tokens.ts';

const NOW = 1_800_000_000;
const authority: Authority = {
  issuer: 'https://authority.example.com',
  tokenEndpoint: 'https://authority.example.com/token',
  deviceAuthorizationEndpoint: null,
  revocationEndpoint: null,
  scopes: null,
  bindsToCertificates: false,
  dpopAlgorithms: null,
  authenticationMethods: null,
  assertionAlgorithms: null,
};
const nothing: ClientCredentials = {
  clientId: 'the builder',
  secret: null,
  key: null,
  hasCertificate: false,
  assertionAudience: null,
};
const withSecret = { ...nothing, secret: 'p&q' };

function choose(credentials: ClientCredentials, methods: readonly string[] | null, demanded = null) {
  return chooseClientAuthentication({ ...authority, authenticationMethods: methods }, credentials, demanded);
}

test.each([
  [null, 'client_secret_basic'],
  [['client_secret_post', 'client_secret_basic'], 'client_secret_basic'],
  [['client_secret_post', 'private_key_jwt'], 'client_secret_post'],
] as const)('a secret goes to an Authority that offers %j by %s', (methods, method) => {
  expect(choose(withSecret, methods).method).toBe(method);
});

test('an Authority that takes no secrets is told before the secret is sent', () => {
  expect(() => choose(withSecret, ['private_key_jwt'])).toThrow(
    'the Authority does not accept client secrets; it accepts private_key_jwt',
  );
});

test('a certificate beside a secret is not what authenticates, and alone it is', () => {
  expect(choose({ ...withSecret, hasCertificate: true }, null).method).toBe('client_secret_basic');
  expect(choose({ ...nothing, hasCertificate: true }, null).method).toBe('tls_client_auth');
});

test.each([
  ['client_secret_post', 'needs a client secret'],
  ['private_key_jwt', "needs the client's key"],
  ['self_signed_tls_client_auth', 'needs a client certificate'],
] as const)('%s that is demanded without what it needs is a fault', (demanded, message) => {
  expect(() => chooseClientAuthentication(authority, nothing, demanded)).toThrow(message);
});

test('a method that is demanded is taken whatever the Authority offers', () => {
  const offering = { ...authority, authenticationMethods: ['client_secret_basic'] };
  expect(chooseClientAuthentication(offering, withSecret, 'client_secret_post').method).toBe(
    'client_secret_post',
  );
});

test('client_secret_post puts the secret in the form alone', async () => {
  const client = { method: 'client_secret_post', clientId: 'b', secret: 'p&q' } as const;
  const { headers, form, secrets } = await authenticate(client, authority, NOW);
  expect({ headers, form }).toEqual({ headers: {}, form: { client_id: 'b', client_secret: 'p&q' } });
  expect(secrets).toContain('p&q');
});

describe('private_key_jwt', () => {
  let folder: TemporaryFolder;
  const keys = {
    ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
    p384: generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey,
    ed25519: generateKeyPairSync('ed25519').privateKey,
    rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
    weak: generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey,
    x25519: generateKeyPairSync('x25519').privateKey,
  };

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    for (const [name, key] of Object.entries(keys)) writePem(name, key);
    const jwk = keys.rsa.export({ format: 'jwk' });
    writeFileSync(folder.at('named.jwk'), JSON.stringify({ ...jwk, kid: 'k1', alg: 'PS256' }));
    writeFileSync(folder.at('wrong.jwk'), JSON.stringify({ ...jwk, alg: 'ES256' }));
    writeFileSync(folder.at('empty.pem'), '');
    const sealed = keys.ec.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'p' });
    writeFileSync(folder.at('sealed.pem'), sealed);
  });

  afterAll(async () => {
    await folder?.[Symbol.asyncDispose]();
  });

  function writePem(name: string, key: KeyObject): void {
    writeFileSync(folder.at(`${name}.pem`), key.export({ type: 'pkcs8', format: 'pem' }));
  }

  function partOf({ form }: Pick<AuthenticatedRequest, 'form'>, index: 0 | 1): Record<string, unknown> {
    return decodePart(form.client_assertion ?? '', index);
  }

  function assertionOf(
    file: string,
    accepted: readonly string[] | null = null,
    audience: string | null = null,
  ) {
    const key = loadClientKey(folder.at(file), null);
    const client = { method: 'private_key_jwt', clientId: 'the builder', key, audience } as const;
    return authenticate(client, { ...authority, assertionAlgorithms: accepted }, NOW);
  }

  test.each([
    ['ec.pem', 'ES256', keys.ec],
    ['p384.pem', 'ES384', keys.p384],
    ['ed25519.pem', 'EdDSA', keys.ed25519],
    ['rsa.pem', 'RS256', keys.rsa],
    ['named.jwk', 'PS256', keys.rsa],
  ])('sends an assertion that %s signed with %s, for the issuer and for a minute', async (file, alg, key) => {
    const { headers, form, secrets } = await assertionOf(file);
    const { client_assertion: assertion = '', ...rest } = form;
    expect(headers).toEqual({});
    expect(rest).toEqual({
      client_id: 'the builder',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    });
    expect(secrets).toEqual([assertion]);
    const { payload, protectedHeader } = await jwtVerify(assertion, createPublicKey(key), {
      currentDate: new Date(NOW * 1000),
    });
    expect(payload).toEqual({
      iss: 'the builder',
      sub: 'the builder',
      aud: 'https://authority.example.com',
      iat: NOW,
      exp: NOW + 60,
      jti: expect.any(String),
    });
    const kid = file === 'named.jwk' ? { kid: 'k1' } : {};
    expect(protectedHeader).toEqual({ alg, typ: 'JWT', ...kid });
  });

  test('no two assertions have the same jti', async () => {
    const [first, second] = [await assertionOf('ec.pem'), await assertionOf('ec.pem')];
    expect(partOf(first, 1).jti).not.toEqual(partOf(second, 1).jti);
  });

  test('the assertion is for whom it is told to be, with the kid that it is told', async () => {
    const key = loadClientKey(folder.at('named.jwk'), 'k2');
    expect(key.keyId).toBe('k2');
    const { form } = await assertionOf('ec.pem', null, authority.tokenEndpoint);
    const payload = partOf({ form }, 1);
    expect(payload.aud).toBe(authority.tokenEndpoint);
  });

  test('an RSA key signs with what the Authority takes', async () => {
    const { form } = await assertionOf('rsa.pem', ['ES256', 'PS256']);
    const header = partOf({ form }, 0);
    expect(header.alg).toBe('PS256');
  });

  test('a key that the Authority does not take is told with what it takes', async () => {
    await expect(assertionOf('ec.pem', ['RS256', 'PS256'])).rejects.toThrow(
      "the client's key signs with ES256, but the Authority accepts RS256, PS256; use another kind of key",
    );
  });

  test.each([
    ['weak.pem', 'holds an RSA key of 1024 bits; at least 2048 are needed'],
    ['x25519.pem', 'holds a key of type x25519'],
    ['empty.pem', 'is not a PEM file'],
    ['sealed.pem', 'holds an encrypted private key; decrypt it first'],
    ['wrong.jwk', 'has alg ES256; this key can only sign with RS256 or PS256'],
    ['missing.pem', "cannot read the client's key from"],
  ])('%s is refused with the reason', (file, message) => {
    expect(() => loadClientKey(folder.at(file), null)).toThrow(message);
  });
});
