/** `signing.keyPath`: the kinds and forms of keys that sign, and what is told of those that do not. */
import { afterAll, describe, expect, test } from 'bun:test';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { compactVerify, importJWK } from 'jose';
import type { Runtime } from '../../src/assemble/runtime.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createKey } from '../support/keys.ts';
import { runOrFail } from '../support/processes.ts';
import { keepSecret } from '../support/secret-watch.ts';
import { createInstallation, pemOf, type Section } from './installation.ts';

const PASSWORD = keepSecret('correct horse: battery # staple');
const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
const ed25519 = generateKeyPairSync('ed25519').privateKey;

const pem = (key: KeyObject, type: 'pkcs1' | 'sec1' | 'pkcs8', password?: string) =>
  key
    .export({
      type,
      format: 'pem',
      ...(password === undefined ? {} : { cipher: 'aes-256-cbc', passphrase: password }),
    })
    .toString();

async function mistakesOf(key: string | Uint8Array, signing: Section = {}): Promise<string> {
  site.write('key.pem', key);
  site.configure({ signing: { keyPath: 'key.pem', ...signing } });
  return site.mistakes();
}

/** A token of the service is signed by its published key under this algorithm. */
async function expectSigns(runtime: Runtime, algorithm: string): Promise<void> {
  const { signingKey } = runtime.service;
  expect(signingKey.algorithm as string).toBe(algorithm);
  const jws = await signingKey.sign({ sub: 'alice' });
  const published = await importJWK(signingKey.publicJwk, algorithm);
  const { protectedHeader } = await compactVerify(jws, published);
  expect(protectedHeader).toMatchObject({ typ: 'JWT', alg: algorithm, kid: signingKey.keyId });
  expect(Object.keys(signingKey.publicJwk)).not.toContain('d');
}

describe('a private key', () => {
  test.each([
    ['RSA as PKCS#1', pem(rsa, 'pkcs1'), 'RS256'],
    ['RSA as PKCS#8', pem(rsa, 'pkcs8'), 'RS256'],
    ['P-256 as SEC1', pem(p256, 'sec1'), 'ES256'],
    ['P-256 as PKCS#8', pem(p256, 'pkcs8'), 'ES256'],
    ['P-384 as SEC1', pem(p384, 'sec1'), 'ES384'],
    ['P-384 as PKCS#8', pem(p384, 'pkcs8'), 'ES384'],
    ['Ed25519 as PKCS#8', pem(ed25519, 'pkcs8'), 'EdDSA'],
    ['with the line ends of Windows', pem(p256, 'pkcs8').replaceAll('\n', '\r\n'), 'ES256'],
    ['after words of its own', `Bag Attributes\n    localKeyID: 01\n${pem(p256, 'pkcs8')}`, 'ES256'],
    ['without a line end at its end', pem(p256, 'sec1').trimEnd(), 'ES256'],
  ])('%s signs', async (_, key, algorithm) => {
    expect(await mistakesOf(key)).toBe('');
    await expectSigns(await site.open(), algorithm);
  });

  test.each([
    ['P-256 as PKCS#8', p256, 'pkcs8', 'ES256'],
    ['Ed25519 as PKCS#8', ed25519, 'pkcs8', 'EdDSA'],
    ['RSA as PKCS#8', rsa, 'pkcs8', 'RS256'],
  ] as const)('%s, encrypted, signs with its password', async (_, key, type, algorithm) => {
    const encrypted = pem(key, type, PASSWORD);
    expect(await mistakesOf(encrypted, { keyPassword: PASSWORD })).toBe('');
    await expectSigns(await site.open(), algorithm);
    for (const content of [PASSWORD, `${PASSWORD}\n`, `${PASSWORD}\r\n`]) {
      site.write('password.txt', content);
      expect(await mistakesOf(encrypted, { keyPasswordPath: 'password.txt' })).toBe('');
    }
  });

  test('that is encrypted is told apart from a wrong password, and no password is shown', async () => {
    const encrypted = pem(p256, 'pkcs8', PASSWORD);
    expect(await mistakesOf(encrypted)).toBe(
      'signing.keyPath: The file holds an encrypted private key, and signing.keyPassword is not set.',
    );
    site.write('password.txt', 'wrong words\n');
    for (const signing of [
      { keyPassword: 'wrong words' },
      { keyPassword: '' },
      { keyPasswordPath: 'password.txt' },
    ])
      expect(await mistakesOf(encrypted, signing)).toBe(
        'signing.keyPath: The file holds an encrypted private key that the password does not open.',
      );
  });

  test('that needs no password is taken with one', async () => {
    expect(await mistakesOf(pem(p256, 'pkcs8'), { keyPassword: PASSWORD })).toBe('');
  });
});

describeWith(['openssl'], 'a private key as openssl writes it', () => {
  const openssl = async (...args: string[]) => {
    await runOrFail(['openssl', ...args], { cwd: site.folder.path });
    return readFileSync(site.folder.at('out.pem'));
  };

  test('with its curve in a block of its own signs', async () => {
    expect(
      await mistakesOf(await openssl('ecparam', '-name', 'prime256v1', '-genkey', '-out', 'out.pem')),
    ).toBe('');
    await expectSigns(await site.open(), 'ES256');
  });

  test('encrypted in the old form signs with its password', async () => {
    site.write('in.pem', pem(rsa, 'pkcs1'));
    const old = await openssl(
      'rsa',
      '-in',
      'in.pem',
      '-traditional',
      '-aes128',
      '-passout',
      `pass:${PASSWORD}`,
      '-out',
      'out.pem',
    );
    expect(old.toString()).toInclude('Proc-Type: 4,ENCRYPTED');
    expect(await mistakesOf(old, { keyPassword: PASSWORD })).toBe('');
    await expectSigns(await site.open(), 'RS256');
    expect(await mistakesOf(old)).toInclude('an encrypted private key, and signing.keyPassword is not set');
    expect(await mistakesOf(old, { keyPassword: 'x' })).toInclude('that the password does not open');
  });

  test('with its certificate in the same file signs', async () => {
    const subject = ['-subj', '/CN=test', '-days', '1', '-nodes', '-keyout', 'out.pem', '-out', 'out.pem'];
    const both = await openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      ...subject,
    );
    expect(both.toString()).toMatch(/PRIVATE KEY-----\n[\s\S]*BEGIN CERTIFICATE/);
    expect(await mistakesOf(both)).toBe('');
    expect(await mistakesOf(both, { certificatePath: 'out.pem' })).toBe('');
  });

  test.each([
    [
      'RSA of 1024 bits',
      ['genrsa', '-out', 'out.pem', '1024'],
      'An RSA key of 1024 bits is too short: use at least 2048.',
    ],
    [
      'P-521',
      ['ecparam', '-name', 'secp521r1', '-genkey', '-out', 'out.pem'],
      'The curve secp521r1 is not supported',
    ],
    ['secp256k1', ['ecparam', '-name', 'secp256k1', '-genkey', '-out', 'out.pem'], ''],
    ['Ed448', ['genpkey', '-algorithm', 'ed448', '-out', 'out.pem'], ''],
    ['X25519', ['genpkey', '-algorithm', 'x25519', '-out', 'out.pem'], 'A key of type x25519 cannot sign'],
    [
      'RSA-PSS',
      ['genpkey', '-algorithm', 'rsa-pss', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', 'out.pem'],
      '',
    ],
  ])('%s is refused', async (_, command, message) => {
    const told = await mistakesOf(await openssl(...command));
    expect(told).toStartWith(`signing.keyPath: ${message}`);
    expect(told).toEndWith('.');
  });
});

describe('a file that holds no private key', () => {
  test.each([
    ['words', 'registry-token\n', 'The file is not a PEM file: it has no BEGIN line.'],
    [
      'a JWK',
      JSON.stringify(p256.export({ format: 'jwk' })),
      'The file is not a PEM file: it has no BEGIN line.',
    ],
    [
      'a public key',
      generateKeyPairSync('ec', { namedCurve: 'P-256' })
        .publicKey.export({ type: 'spki', format: 'pem' })
        .toString(),
      'The file holds no PEM private key, but a PUBLIC KEY.',
    ],
    ['half a key', pem(p256, 'pkcs8').slice(0, 100), ''],
    [
      'a key with a wrong letter',
      pem(rsa, 'pkcs8').replace(/^MII/m, 'MIA'),
      'The file holds a private key that is damaged or cut off.',
    ],
    [
      'a key of nothing',
      '-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n',
      'The file holds a private key that is damaged or cut off.',
    ],
    [
      'zeroes',
      new Uint8Array(4096),
      'The file is not a PEM file: it is binary; if it is DER, openssl pkey -inform DER converts it.',
    ],
  ])('but %s is refused', async (_, content, message) => {
    const told = await mistakesOf(content);
    expect(told).toStartWith(`signing.keyPath: ${message}`);
    expect(told.split('\n')).toHaveLength(1);
  });

  test.each([
    ['does not exist', null],
    ['is empty', '\n'],
  ])('because the file %s is told with the command that makes one', async (what, content) => {
    const path = content === null ? 'nothing.pem' : 'empty.pem';
    if (content !== null) site.write(path, content);
    site.configure({ signing: { keyPath: path } });
    const advice = `no signing key: run registry-token keygen --out ${site.folder.path}`;
    expect(await site.mistakes()).toBe(`signing.keyPath: ${path} ${what}; ${advice}`);
  });

  test('because the credential of systemd is empty is told with the folder of the configuration', async () => {
    site.configure({ signing: { keyPath: '/run/credentials/registry-token.service/signing.pem' } });
    expect(await site.mistakes()).toEndWith(`run registry-token keygen --out ${site.folder.path}`);
  });

  test.each([
    ['keyPath', '.', 'cannot be read: it is a directory (EISDIR)'],
    ['keyPasswordPath', 'hunter2', 'the file cannot be read: no such file (ENOENT)'],
    ['certificatePath', 'nothing.crt', 'nothing.crt cannot be read: no such file (ENOENT)'],
  ])(
    'because %s is %s is told, but for a password that stands where its path belongs',
    async (key, path, message) => {
      site.configure({ signing: { [key]: path } });
      expect(await site.mistakes()).toMatch(new RegExp(`^signing\\.${key}: .*${RegExp.escape(message)}$`));
    },
  );

  test('is told beside every other file that is missing', async () => {
    site.configure({
      signing: {
        keyPath: 'a.pem',
        certificatePath: 'b.crt',
        keyPasswordPath: 'c.txt',
        additionalKeys: ['d.pem', 'e.pem'],
      },
      authority: { jwksPath: 'f.json', caPath: 'g.pem' },
    });
    const told = (await site.mistakes()).split('\n').map((line) => line.split(':', 1)[0] ?? '');
    expect(told.sort()).toEqual([
      'authority.caPath',
      'authority.jwksPath',
      'signing.additionalKeys[0]',
      'signing.additionalKeys[1]',
      'signing.certificatePath',
      'signing.keyPasswordPath',
      'signing.keyPath',
    ]);
  });
});

describe('the kid', () => {
  test.each([
    ['thumbprint', /^[\w-]{43}$/],
    ['libtrust', /^(?:[A-Z2-7]{4}:){11}[A-Z2-7]{4}$/],
    ['my key', /^my key$/],
  ])('is by signing.keyId %s', async (keyId, form) => {
    site.configure({ signing: { keyId } });
    const { signingKey } = (await site.open()).service;
    expect(signingKey.keyId).toMatch(form);
    expect(signingKey.publicJwk).toMatchObject({ kid: signingKey.keyId, use: 'sig', alg: 'ES256' });
  });

  test('that is a thumbprint is that of RFC 7638', async () => {
    const key = await createKey('ES384');
    site.write('key.pem', pemOf(key.privateKey));
    site.configure({ signing: { keyPath: 'key.pem' } });
    expect((await site.open()).service.signingKey.keyId).toBe(key.thumbprint);
  });
});
