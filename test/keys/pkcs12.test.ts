/** PKCS#12 containers as openssl writes them, of every age; and what is told of those that do not open. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { KeyFault } from '../../src/keys/key-algorithm.ts';
import { openPkcs12 } from '../../src/keys/pkcs12/pkcs12.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, runOrFail } from '../support/processes.ts';

const PASSWORD = 'correct horse: battery # staple';
const NON_ASCII = 'Pässwörd € пароль 😀';

const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());

async function openssl(...args: string[]): Promise<void> {
  await runOrFail(['openssl', ...args], { cwd: folder.path });
}

const kinds = {
  rsa: ['-newkey', 'rsa:2048'],
  p256: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  p384: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  ed25519: ['-newkey', 'ed25519'],
} as const;
type Kind = keyof typeof kinds;

/** A root, an intermediate, and a leaf for each kind of key: `NAME.key` and `NAME.crt`. */
async function writeChain(): Promise<void> {
  const root = ['-subj', '/CN=root', '-keyout', 'root.key', '-out', 'root.crt'];
  await openssl('req', '-x509', '-nodes', ...kinds.p256, ...root);
  writeFileSync(folder.at('ca.ext'), 'basicConstraints=critical,CA:TRUE\n');
  await issue('between', kinds.rsa, 'root', '-extfile', 'ca.ext');
  for (const [kind, options] of Object.entries(kinds)) await issue(kind, options, 'between');
  const files = ['between.crt', 'root.crt'].map((name) => readFileSync(folder.at(name)));
  writeFileSync(folder.at('chain.pem'), Buffer.concat(files));
}

async function issue(name: string, key: readonly string[], issuer: string, ...more: string[]): Promise<void> {
  const request = ['-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`];
  await openssl('req', '-nodes', ...key, ...request);
  const by = ['-CA', `${issuer}.crt`, '-CAkey', `${issuer}.key`, '-CAcreateserial'];
  await openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-out', `${name}.crt`, ...more);
}

async function exportPfx(kind: Kind, password: string, ...options: string[]): Promise<Buffer> {
  const from = ['-inkey', `${kind}.key`, '-in', `${kind}.crt`, '-certfile', 'chain.pem'];
  return exportFrom(from, password, ...options);
}

async function exportFrom(from: readonly string[], password: string, ...options: string[]): Promise<Buffer> {
  await openssl('pkcs12', '-export', ...from, '-out', 'out.p12', '-passout', `pass:${password}`, ...options);
  return readFileSync(folder.at('out.p12'));
}

/** The key and the certificates are those that openssl was given. */
function expectContents(bytes: Buffer, password: string | null, kind: Kind): void {
  const { privateKey, certificates } = openPkcs12(bytes, password);
  const original = createPrivateKey(readFileSync(folder.at(`${kind}.key`)));
  expect(privateKey.equals(original)).toBe(true);
  expect(certificates.map(({ subject }) => subject)).toEqual([`CN=${kind}`, 'CN=between', 'CN=root']);
  expect(certificates[0]?.publicKey.equals(createPublicKey(original))).toBe(true);
  const pem = certificates.map((certificate) => certificate.toString().trim());
  expect(pem).toEqual(
    [`${kind}.crt`, 'between.crt', 'root.crt'].map((name) => readFileSync(folder.at(name), 'utf8').trim()),
  );
}

function faultOf(bytes: Buffer, password: string | null): string {
  try {
    openPkcs12(bytes, password);
    return '';
  } catch (cause) {
    if (!(cause instanceof KeyFault) || cause.source !== 'key') throw cause;
    expect(cause.message).not.toInclude(PASSWORD);
    return cause.message;
  }
}

const forms: readonly (readonly [name: string, ...options: string[]])[] = [
  ['of today (AES-256, HMAC-SHA256)'],
  ['of yesterday (3DES, RC2-40, HMAC-SHA1)', '-legacy'],
  ['all in 3DES', '-keypbe', 'PBE-SHA1-3DES', '-certpbe', 'PBE-SHA1-3DES', '-macalg', 'sha1'],
  ['3DES for the key, AES for the rest', '-keypbe', 'PBE-SHA1-3DES'],
  ['AES-128, AES-192', '-keypbe', 'AES-128-CBC', '-certpbe', 'AES-192-CBC', '-macalg', 'sha384'],
  ['PBES2 with 3DES', '-keypbe', 'DES-EDE3-CBC', '-macalg', 'sha512'],
  ['with a MAC alone', '-keypbe', 'NONE', '-certpbe', 'NONE'],
  ['of one iteration', '-noiter', '-nomaciter'],
  ['with names', '-name', 'Schlüssel', '-caname', 'one', '-caname', 'two', '-CSP', 'provider'],
];

describeWith(['openssl'], 'a PFX container as openssl writes it', () => {
  beforeAll(writeChain);

  test.each(Object.keys(kinds) as Kind[])('opens with a key of %s in every form', async (kind) => {
    for (const [, ...options] of forms)
      expectContents(await exportPfx(kind, PASSWORD, ...options), PASSWORD, kind);
  });

  test.each(forms)('%s tells a wrong password from a missing one', async (_, ...options) => {
    const bytes = await exportPfx('p256', PASSWORD, ...options);
    const wrong = 'The password does not open this PFX container, or the container was altered.';
    for (const password of ['x', '', `${PASSWORD} `, PASSWORD.toUpperCase(), NON_ASCII])
      expect(faultOf(bytes, password)).toBe(wrong);
    expect(faultOf(bytes, null)).toBe(
      'This PFX container is protected by a password, and neither signing.keyPassword nor signing.keyPasswordPath is set.',
    );
  });

  test.each([...forms])('%s opens with a password that is not ASCII', async (_, ...options) => {
    const bytes = await exportPfx('p384', NON_ASCII, ...options);
    expectContents(bytes, NON_ASCII, 'p384');
    expect(faultOf(bytes, 'Passwort')).toInclude('The password does not open');
  });

  test.each([...forms])('%s opens without a password where it has an empty one', async (_, ...options) => {
    const bytes = await exportPfx('p256', '', ...options);
    expectContents(bytes, null, 'p256');
    expectContents(bytes, '', 'p256');
    expect(faultOf(bytes, 'x')).toInclude('The password does not open');
  });

  test('puts the chain in order, whatever its order in the container', async () => {
    const names = ['root.crt', 'ed25519.crt', 'p384.crt', 'between.crt', 'p256.crt'];
    writeFileSync(folder.at('mixed.pem'), Buffer.concat(names.map((name) => readFileSync(folder.at(name)))));
    const from = ['-inkey', 'p384.key', '-in', 'mixed.pem'];
    expectContents(await exportFrom(from, PASSWORD), PASSWORD, 'p384');
  });

  test('ends the chain where certificates vouch for each other', async () => {
    await openssl('req', '-new', '-key', 'root.key', '-subj', '/CN=root', '-out', 'root.csr');
    const by = ['-CA', 'between.crt', '-CAkey', 'between.key', '-CAcreateserial', '-extfile', 'ca.ext'];
    await openssl('x509', '-req', '-in', 'root.csr', ...by, '-out', 'cross.crt');
    const files = ['between.crt', 'cross.crt'].map((name) => readFileSync(folder.at(name)));
    writeFileSync(folder.at('circle.pem'), Buffer.concat(files));
    const from = ['-inkey', 'p256.key', '-in', 'p256.crt', '-certfile', 'circle.pem'];
    const { certificates } = openPkcs12(await exportFrom(from, PASSWORD), PASSWORD);
    expect(certificates.map(({ subject }) => subject)).toEqual(['CN=p256', 'CN=between', 'CN=root']);
  });

  test('with no certificate has none', async () => {
    const bytes = await exportFrom(['-inkey', 'p256.key', '-nocerts'], PASSWORD);
    expect(openPkcs12(bytes, PASSWORD).certificates).toEqual([]);
  });

  test('without a MAC is refused, with the right password and the wrong one', async () => {
    for (const options of [['-nomac'], ['-nomac', '-legacy'], ['-nomac', '-keypbe', 'NONE']]) {
      const bytes = await exportPfx('p256', PASSWORD, ...options);
      for (const password of [PASSWORD, 'x', null])
        expect(faultOf(bytes, password)).toStartWith('This PFX container has no MAC');
    }
  });

  test('without a key is refused', async () => {
    const bytes = await exportFrom(['-nokeys', '-in', 'chain.pem'], PASSWORD);
    expect(faultOf(bytes, PASSWORD)).toBe('This PFX container holds no private key.');
  });

  test('asking for more than a million rounds is refused before the password is tried', async () => {
    for (const options of [
      ['-iter', '400000'],
      ['-iter', '180000', '-macalg', 'sha512'],
    ]) {
      const bytes = await exportPfx('p256', PASSWORD, ...options);
      for (const password of [PASSWORD, 'x', null])
        expect(faultOf(bytes, password)).toStartWith('This PFX container asks for more than 1000000 rounds');
    }
    expectContents(await exportPfx('p256', PASSWORD, '-iter', '100000'), PASSWORD, 'p256');
  });

  test.each([
    ['RC4', 'PBE-SHA1-RC4-128'],
    ['RC2 of 128 bits', 'PBE-SHA1-RC2-128'],
    ['Camellia', 'CAMELLIA-256-CBC'],
  ])('encrypted by %s is refused with the algorithm', async (_, algorithm) => {
    const told = faultOf(await exportPfx('p256', PASSWORD, '-legacy', '-certpbe', algorithm), PASSWORD);
    expect(told).toMatch(
      /^This PFX container is encrypted by an algorithm \([\d.]+\) that is not supported: /,
    );
  });

  test('with a MAC of another hash is refused with the hash', async () => {
    const told = faultOf(await exportPfx('p256', PASSWORD, '-macalg', 'sha224'), PASSWORD);
    expect(told).toStartWith(
      'The MAC of this PFX container is of a kind (2.16.840.1.101.3.4.2.4) that is not supported',
    );
  });

  test('cut off anywhere, altered anywhere or longer than it says, is refused', async () => {
    const bytes = await exportPfx('p256', PASSWORD);
    for (let length = 0; length < bytes.length; length += 50)
      expect(faultOf(bytes.subarray(0, length), PASSWORD)).toBe(
        'This PFX container is damaged or incomplete.',
      );
    // The last 100 bytes are the MAC itself, which nothing vouches for.
    for (let at = 0; at < bytes.length - 100; at += 25) {
      const altered = Buffer.from(bytes);
      altered.writeUInt8(altered.readUInt8(at) ^ 0x01, at);
      expect(faultOf(altered, PASSWORD)).not.toBe('');
    }
    expect(faultOf(Buffer.concat([bytes, Buffer.of(0)]), PASSWORD)).toInclude('damaged');
  });

  test('that is a key or a certificate in DER is refused as such', async () => {
    await openssl('pkcs8', '-topk8', '-in', 'rsa.key', '-nocrypt', '-outform', 'DER', '-out', 'key.der');
    await openssl('rsa', '-in', 'rsa.key', '-traditional', '-outform', 'DER', '-out', 'rsa.der');
    await openssl('x509', '-in', 'rsa.crt', '-outform', 'DER', '-out', 'crt.der');
    for (const name of ['key.der', 'rsa.der', 'crt.der'])
      expect(faultOf(readFileSync(folder.at(name)), PASSWORD)).toStartWith(
        'This is a DER file, but not a PFX container (PKCS#12);',
      );
  });
});
