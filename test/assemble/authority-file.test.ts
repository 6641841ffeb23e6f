/** `authority.jwksPath`: the Authority's keys from a file, and files that hold none. */
import { afterAll, describe, expect, test } from 'bun:test';
import { createKey } from '../support/keys.ts';
import { createInstallation } from './installation.ts';

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

const { publicJwk, privateJwk } = await createKey('ES256');
const rsa = await createKey('RS256');

async function mistakesOf(jwks: string | Uint8Array): Promise<string> {
  site.write('jwks.json', jwks);
  site.configure();
  return site.mistakes();
}

describe('a key set of the Authority', () => {
  test.each([
    ['one key', { keys: [publicJwk] }],
    ['keys of several kinds', { keys: [publicJwk, rsa.publicJwk] }],
    [
      'a key for signatures among others',
      {
        keys: [
          { ...publicJwk, use: 'enc' },
          { kty: 'oct', k: 'AAAA' },
          { ...rsa.publicJwk, use: 'sig' },
        ],
      },
    ],
    ['members nobody knows', { keys: [{ ...publicJwk, x: publicJwk.x, comment: 'x' }], comment: 'x' }],
  ])('may hold %s', async (_, jwks) => {
    expect(await mistakesOf(JSON.stringify(jwks))).toBe('');
  });

  test.each([
    ['nothing', '', 'The key set is not JSON.'],
    ['words', 'keys: []', 'The key set is not JSON.'],
    ['half of it', JSON.stringify({ keys: [publicJwk] }).slice(0, -3), 'The key set is not JSON.'],
    ['null', 'null', 'The key set has no array "keys".'],
    ['a number', '7', 'The key set has no array "keys".'],
    ['a text', '"keys"', 'The key set has no array "keys".'],
    ['one bare key', JSON.stringify(publicJwk), 'The key set has no array "keys".'],
    ['a bare list', JSON.stringify([publicJwk]), 'The key set has no array "keys".'],
    ['no list', '{"keys": {}}', 'The key set has no array "keys".'],
    ['no keys', '{"keys": []}', 'The key set holds no public signature key.'],
    ['keys that are none', '{"keys": [null, 7, "x", [], {}]}', 'The key set holds no public signature key.'],
    [
      'a symmetric key',
      '{"keys": [{"kty": "oct", "k": "AAAA"}]}',
      'The key set holds no public signature key.',
    ],
    [
      'a key for encryption',
      JSON.stringify({ keys: [{ ...publicJwk, use: 'enc' }] }),
      'The key set holds no public signature key.',
    ],
    [
      'a key without its members',
      '{"keys": [{"kty": "EC", "crv": "P-256"}]}',
      'The key set holds no public signature key.',
    ],
    [
      '101 keys',
      JSON.stringify({ keys: Array(101).fill(publicJwk) }),
      'The key set holds more than 100 keys.',
    ],
    ['bytes', Uint8Array.from([0xff, 0xfe, 0]), 'is UTF-16; save it as UTF-8 (iconv -f UTF-16LE -t UTF-8)'],
  ])('is not a file with %s', async (_, content, message) => {
    expect(await mistakesOf(content)).toBe(`authority.jwksPath: ${message}`);
  });

  test('with the private part of a key shows nothing of it', async () => {
    const told = await mistakesOf(JSON.stringify({ keys: [{ ...privateJwk, use: 'enc' }] }));
    expect(told).not.toInclude(String(privateJwk.d));
  });

  test('from a file makes the service ready at once', async () => {
    expect(await mistakesOf(JSON.stringify({ keys: [publicJwk] }))).toBe('');
    const runtime = await site.open();
    const ready = await runtime.handle(new Request('http://localhost/readyz'), {
      address: '127.0.0.1',
      certificate: null,
    });
    expect([ready.status, await ready.text()]).toEqual([200, 'ready\n']);
    expect(runtime.service.observe().authorityKeysAges.size).toBe(0);
  });
});

describe('authority.caPath', () => {
  test.each(['', 'words\n', '-----BEGIN PUBLIC KEY-----\n'])('is no file that holds %j', async (content) => {
    site.write('jwks.json', JSON.stringify({ keys: [publicJwk] }));
    site.write('ca.pem', content);
    site.configure({ authority: { caPath: 'ca.pem' } });
    expect(await site.mistakes()).toBe('authority.caPath: holds no PEM certificate');
  });
});

describe('the lists and secrets beside them', () => {
  test('revokedLicensesPath is one a line, and that it is missing is a mistake', async () => {
    site.configure({ revokedLicensesPath: 'revoked.txt' });
    expect(await site.mistakes()).toBe(
      'revokedLicensesPath: revoked.txt cannot be read: no such file (ENOENT)',
    );
    site.write('revoked.txt', '# ended\n LIC-1 \r\n\nLIC-2\n');
    expect(await site.mistakes()).toBe('');
  });

  test('nonceSecretPath holds at least 32 bytes', async () => {
    const dpop = { nonce: 'required', nonceSecretPath: 'nonce.key' };
    site.configure({ senderConstraint: { dpop } });
    site.write('nonce.key', new Uint8Array(31));
    expect(await site.mistakes()).toBe(
      'senderConstraint.dpop.nonceSecretPath: has fewer than 32 bytes; create it with openssl rand -out nonce.key 32',
    );
    site.write('nonce.key', new Uint8Array(32));
    expect(await site.mistakes()).toBe('');
  });
});
