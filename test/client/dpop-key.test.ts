/** The files in which a client keeps its DPoP key. */
import { expect, test } from 'bun:test';
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { openDpopKey, parseDpopKey } from '../../src/client/dpop.ts';
import { createKey } from '../support/keys.ts';
import { createTemporaryFolder, runOrFail } from '../support/processes.ts';

test('a key that does not exist is made, for its owner alone, and read again the next time', async () => {
  await using folder = await createTemporaryFolder();
  const path = folder.at('dpop.pem');
  const made = await openDpopKey(path);
  expect(made.isNew).toBe(true);
  expect(made.key.algorithm).toBe('ES256');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readFileSync(path, 'utf8')).toStartWith('-----BEGIN PRIVATE KEY-----\n');
  const found = await openDpopKey(path);
  expect(found.isNew).toBe(false);
  expect(found.key.thumbprint).toBe(made.key.thumbprint);
  expect(readdirSync(folder.path)).toEqual(['dpop.pem']);
});

test.each(['dpop.jwk', 'dpop.json'])('a key is made as a JWK where the file is called %s', async (name) => {
  await using folder = await createTemporaryFolder();
  const made = await openDpopKey(folder.at(name));
  expect(JSON.parse(readFileSync(folder.at(name), 'utf8'))).toMatchObject({ kty: 'EC', crv: 'P-256' });
  expect((await openDpopKey(folder.at(name))).key.thumbprint).toBe(made.key.thumbprint);
});

test('clients that start at once end with the same key', async () => {
  await using folder = await createTemporaryFolder();
  const script = `import { openDpopKey } from ${JSON.stringify(import.meta.resolve('../../src/client/dpop.ts'))};
    process.stdout.write((await openDpopKey(${JSON.stringify(folder.at('dpop.pem'))})).key.thumbprint)`;
  const children = Array.from({ length: 3 }, () => runOrFail([process.execPath, '-e', script]));
  const thumbprints = await Promise.all(children);
  const { key } = await openDpopKey(folder.at('dpop.pem'));
  expect(thumbprints).toEqual([key.thumbprint, key.thumbprint, key.thumbprint]);
});

test('a file that is there is never written to, whatever it holds', async () => {
  await using folder = await createTemporaryFolder();
  writeFileSync(folder.at('notes.txt'), 'hello');
  await expect(openDpopKey(folder.at('notes.txt'))).rejects.toThrow('notes.txt is not a PEM file');
  expect(readFileSync(folder.at('notes.txt'), 'utf8')).toBe('hello');
});

test('a link that leads nowhere is not followed to a new key', async () => {
  await using folder = await createTemporaryFolder();
  symlinkSync(folder.at('elsewhere'), folder.at('dpop.pem'));
  await expect(openDpopKey(folder.at('dpop.pem'))).rejects.toThrow(
    'dpop.pem is a link to a file that does not exist',
  );
  expect(readdirSync(folder.path)).toEqual(['dpop.pem']);
});

test('a folder that does not exist is named with the system’s reason', async () => {
  await using folder = await createTemporaryFolder();
  await expect(openDpopKey(folder.at('none/dpop.pem'))).rejects.toThrow(
    /none\/dpop\.pem: no such file or folder \(ENOENT\)$/,
  );
});

test.each([
  ['ES256', 'sec1'],
  ['ES256', 'pkcs8'],
  ['EdDSA', 'pkcs8'],
  ['RS256', 'pkcs1'],
  ['RS256', 'pkcs8'],
] as const)('reads an %s key from %s', async (algorithm, type) => {
  const { privateKey, thumbprint } = await createKey(algorithm);
  const pem = privateKey.export({ type, format: 'pem' } as { type: 'pkcs8'; format: 'pem' }).toString();
  expect(await parseDpopKey(pem, 'key')).toMatchObject({ algorithm, thumbprint });
});

test.each(['ES256', 'EdDSA', 'RS256'] as const)('reads an %s key from a JWK', async (algorithm) => {
  const { privateJwk, publicJwk, thumbprint } = await createKey(algorithm);
  const key = await parseDpopKey(JSON.stringify({ ...privateJwk, kid: 'mine', use: 'sig' }), 'key');
  expect(key).toMatchObject({ algorithm, thumbprint });
  expect(key.publicJwk).toEqual(publicJwk);
});

test('the thumbprint is that of RFC 7638', async () => {
  const { privateJwk, publicJwk } = await createKey('ES256');
  const { crv, kty, x, y } = publicJwk;
  const expected = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
  expect((await parseDpopKey(JSON.stringify(privateJwk), 'key')).thumbprint).toBe(expected);
});

const refused: readonly (readonly [what: string, text: () => Promise<string>, message: string])[] = [
  ['a P-384 key', async () => toPem((await createKey('ES384')).privateKey), 'on the curve secp384r1'],
  ['an RSA key of 1024 bits', async () => toPem((await createKey('RS256', 1024)).privateKey), '1024 bits'],
  ['an X25519 key', async () => toPem(generateKeyPairSync('x25519').privateKey), 'of type x25519'],
  [
    'a public JWK',
    async () => JSON.stringify((await createKey('ES256')).publicJwk),
    'holds JSON that is not a private JWK',
  ],
  ['a key set', async () => JSON.stringify({ keys: [] }), 'holds JSON that is not a private JWK'],
  ['JSON that is cut', async () => '{"kty":', 'holds JSON that is not a private JWK'],
  ['an encrypted key', encrypted, 'holds an encrypted private key; name'],
];

test.each(refused)('refuses %s', async (_what, text, message) => {
  const key = await text();
  const fault = await parseDpopKey(key, 'client.key').catch((cause: Error) => cause.message);
  expect(fault).toStartWith('client.key ');
  expect(fault).toContain(message);
});

function toPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

async function encrypted(): Promise<string> {
  const { privateKey } = await createKey('ES256');
  const options = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' } as const;
  return privateKey.export(options).toString();
}
