/** `signing.certificatePath`: what becomes `x5c`, and certificates that no registry would take. */
import { afterAll, expect, test } from 'bun:test';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { decodeProtectedHeader } from 'jose';
import { describeWith } from '../support/debian-parts.ts';
import { runOrFail } from '../support/processes.ts';
import { createInstallation } from './installation.ts';

const DAY = 86_400;
const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

const openssl = (...args: string[]) => runOrFail(['openssl', ...args], { cwd: site.folder.path });
const read = (name: string) => readFileSync(site.folder.at(name), 'utf8');
const p256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

async function createSelfSigned(name: string, newKey: readonly string[], days = 30): Promise<void> {
  const files = ['-keyout', `${name}.pem`, '-out', `${name}.crt`];
  await openssl('req', '-x509', ...newKey, '-nodes', '-subj', `/CN=${name}`, '-days', String(days), ...files);
}

/** `NAME.crt`, signed by `issuer.pem`. */
async function createIssued(name: string, issuer: string, days: number): Promise<void> {
  await openssl(
    'req',
    '-new',
    ...p256,
    '-subj',
    `/CN=${name}`,
    '-keyout',
    `${name}.pem`,
    '-out',
    `${name}.csr`,
  );
  const from = ['-in', `${name}.csr`, '-CA', `${issuer}.crt`, '-CAkey', `${issuer}.pem`, '-CAcreateserial'];
  await openssl('x509', '-req', ...from, '-days', String(days), '-out', `${name}.crt`);
}

async function mistakesWith(key: string, certificates: string): Promise<string> {
  site.write('chain.crt', certificates);
  site.configure({ signing: { keyPath: `${key}.pem`, certificatePath: 'chain.crt' } });
  return site.mistakes();
}

describeWith(['openssl'], 'a signing certificate', () => {
  test('that begins only tomorrow is refused, and one that begins in a moment is not', async () => {
    await createSelfSigned('early', p256);
    const now = site.clock.now;
    try {
      site.clock.now = now - 86_400;
      expect(await mistakesWith('early', read('early.crt'))).toMatch(
        /^signing\.certificatePath: A certificate is not valid before /,
      );
      site.clock.now = now - 30;
      expect(await mistakesWith('early', read('early.crt'))).toBe('');
    } finally {
      site.clock.now = now;
    }
  });

  test.each([
    ['RS256', ['-newkey', 'rsa:2048']],
    ['ES256', p256],
    ['ES384', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384']],
    ['EdDSA', ['-newkey', 'ed25519']],
  ])('of the key is the x5c of an %s token', async (algorithm, newKey) => {
    await createSelfSigned('own', newKey);
    expect(await mistakesWith('own', read('own.crt'))).toBe('');
    const { signingKey } = (await site.open()).service;
    const { alg, x5c } = decodeProtectedHeader(await signingKey.sign({}));
    expect({ alg, x5c }).toEqual({
      alg: algorithm,
      x5c: [new X509Certificate(read('own.crt')).raw.toString('base64')],
    });
  });

  test('with its chain is the x5c in the order of the file', async () => {
    await createSelfSigned('root', p256);
    await createIssued('leaf', 'root', 30);
    expect(await mistakesWith('leaf', `words\n${read('leaf.crt')}${read('root.crt')}`)).toBe('');
    const { signingKey } = (await site.open()).service;
    const { x5c = [] } = decodeProtectedHeader(await signingKey.sign({}));
    const subjects = x5c.map((der) => new X509Certificate(Buffer.from(der, 'base64')).subject);
    expect(subjects).toEqual(['CN=leaf', 'CN=root']);
    expect(await mistakesWith('leaf', `${read('root.crt')}${read('leaf.crt')}`)).toBe(
      'signing.certificatePath: The first certificate does not belong to the signing key: name the certificate of this key.',
    );
  });

  test('of another key is refused', async () => {
    await createSelfSigned('one', p256);
    await createSelfSigned('two', p256);
    await createSelfSigned('rsa', ['-newkey', 'rsa:2048']);
    for (const certificate of ['two.crt', 'rsa.crt'])
      expect(await mistakesWith('one', read(certificate))).toBe(
        'signing.certificatePath: The first certificate does not belong to the signing key: name the certificate of this key.',
      );
  });

  test('that has ended keeps no revocation from entering', async () => {
    await createSelfSigned('ended', p256, 1);
    const sections = { signing: { keyPath: 'ended.pem', certificatePath: 'ended.crt' } };
    site.configure({ ...sections, revokedLicensesPath: 'revoked.txt' });
    site.write('revoked.txt', 'LIC-1\n');
    const { now } = site.clock;
    try {
      const runtime = await site.open();
      site.clock.now = Date.parse(new X509Certificate(read('ended.crt')).validTo) / 1000 + 1;
      site.write('revoked.txt', 'LIC-1\nLIC-2\n');
      expect((await runtime.reload()).map(({ key }) => key)).toEqual(['signing.certificatePath']);
      expect(runtime.service).toMatchObject({ generation: 2, revokedLicenses: 2 });
    } finally {
      site.clock.now = now;
    }
  });

  test('that has ended is refused, to the second', async () => {
    await createSelfSigned('old', p256, 1);
    const end = Date.parse(new X509Certificate(read('old.crt')).validTo) / 1000;
    const { now } = site.clock;
    try {
      site.clock.now = end - 1;
      expect(await mistakesWith('old', read('old.crt'))).toBe('');
      site.clock.now = end;
      expect(await mistakesWith('old', read('old.crt'))).toMatch(
        /^signing\.certificatePath: A certificate expired on /,
      );
    } finally {
      site.clock.now = now;
    }
  });

  test('whose chain has ended before it is refused', async () => {
    await createSelfSigned('short', p256, 1);
    await createIssued('long', 'short', 30);
    const { now } = site.clock;
    try {
      site.clock.now = now + 2 * DAY;
      expect(await mistakesWith('long', read('long.crt'))).toBe('');
      expect(await mistakesWith('long', `${read('long.crt')}${read('short.crt')}`)).toInclude(
        'A certificate expired on',
      );
    } finally {
      site.clock.now = now;
    }
  });

  test.each([
    ['empty', '', 'The file holds no PEM certificate.'],
    ['words', 'words\n', 'The file holds no PEM certificate.'],
    ['a certificate of nothing', '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n', ''],
    [
      'a certificate of words',
      '-----BEGIN CERTIFICATE-----\nd29yZHM=\n-----END CERTIFICATE-----\n',
      'The file holds a certificate that is damaged.',
    ],
    [
      'half a certificate',
      '-----BEGIN CERTIFICATE-----\nMIIB',
      'The file holds a certificate that is cut off.',
    ],
  ])('is not a file that holds %s', async (_, content, message) => {
    await createSelfSigned('own', p256);
    expect(await mistakesWith('own', content)).toStartWith(`signing.certificatePath: ${message}`);
    expect(await mistakesWith('own', content)).not.toBe('');
  });

  test('is not the file of the key', async () => {
    await createSelfSigned('own', p256);
    expect(await mistakesWith('own', read('own.pem'))).toBe(
      'signing.certificatePath: The file holds no PEM certificate, but a PRIVATE KEY.',
    );
  });

  test('that is missing leaves the token without x5c', async () => {
    await createSelfSigned('own', p256);
    site.configure({ signing: { keyPath: 'own.pem' } });
    const { signingKey } = (await site.open()).service;
    expect(decodeProtectedHeader(await signingKey.sign({})).x5c).toBeUndefined();
  });

  test('ends at the time that the metric tells: the first of the chain', async () => {
    await createSelfSigned('near', p256, 5);
    await createIssued('far', 'near', 30);
    expect(await mistakesWith('far', `${read('far.crt')}${read('near.crt')}`)).toBe('');
    const end = Date.parse(new X509Certificate(read('near.crt')).validTo) / 1000;
    expect((await site.open()).service.observe().signingCertificateExpiry).toBe(end);
  });
});

describeWith(['openssl'], 'a key that is published beside the signing key', () => {
  test.each(['next.crt', 'next.pem', 'public.pem'])(
    'may be %s, and stands in the JWKS without its private part',
    async (file) => {
      await createSelfSigned('next', p256);
      await openssl('pkey', '-in', 'next.pem', '-pubout', '-out', 'public.pem');
      site.configure({ signing: { additionalKeys: [file] } });
      const runtime = await site.open();
      const response = await runtime.handle(new Request('http://localhost/.well-known/jwks.json'), {
        address: '127.0.0.1',
        certificate: null,
      });
      const { keys } = (await response.json()) as { keys: Record<string, unknown>[] };
      expect(keys).toHaveLength(2);
      expect(keys[0]?.kid).toBe(runtime.service.signingKey.keyId);
      for (const key of keys)
        expect(Object.keys(key).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    },
  );

  test('that cannot be read is told with its index', async () => {
    site.write('words.pem', 'words\n');
    site.configure({ signing: { additionalKeys: ['signing.pem', 'words.pem'] } });
    expect(await site.mistakes()).toStartWith('signing.additionalKeys[1]: The file holds no PEM certificate');
  });
});
