/** `signing.keyPath` with a PFX container: its content tells what it is, and it brings its certificates. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { compactVerify, decodeProtectedHeader, importX509 } from 'jose';
import { loadConfiguration } from '../../src/config/load.ts';
import { describeWith } from '../support/debian-parts.ts';
import { runOrFail } from '../support/processes.ts';
import { keepSecret } from '../support/secret-watch.ts';
import { createInstallation, type Section } from './installation.ts';

const PASSWORD = 'Pässwörd: battery # staple';
const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

async function openssl(...args: string[]): Promise<void> {
  await runOrFail(['openssl', ...args], { cwd: site.folder.path });
}

/** `root.crt`, and `leaf.key` with a `leaf.crt` by that root; `self.crt` is of the same key. */
async function writeCertificates(): Promise<void> {
  const key = ['-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  await openssl('req', '-x509', ...key, '-subj', '/CN=root', '-keyout', 'root.key', '-out', 'root.crt');
  await openssl('req', ...key, '-subj', '/CN=leaf', '-keyout', 'leaf.key', '-out', 'leaf.csr');
  const by = ['-CA', 'root.crt', '-CAkey', 'root.key', '-CAcreateserial', '-days', '30'];
  await openssl('x509', '-req', '-in', 'leaf.csr', ...by, '-out', 'leaf.crt');
  await openssl('req', '-x509', '-key', 'leaf.key', '-subj', '/CN=self', '-out', 'self.crt');
}

async function writePfx(name: string, password: string, ...options: string[]): Promise<void> {
  keepSecret(password);
  const from = ['-inkey', 'leaf.key', '-in', 'leaf.crt', '-certfile', 'root.crt'];
  await openssl('pkcs12', '-export', ...from, '-out', name, '-passout', `pass:${password}`, ...options);
}

async function mistakesOf(signing: Section): Promise<string> {
  site.configure({ signing });
  return site.mistakes();
}

/** The `x5c` of a token that the service signs; its signature is verified by the first certificate. */
async function x5cOfToken(signing: Section): Promise<string[]> {
  site.configure({ signing });
  const jws = await (await site.open()).service.signingKey.sign({ sub: 'alice' });
  const { x5c = [] } = decodeProtectedHeader(jws);
  const [first] = x5c;
  if (first !== undefined)
    await compactVerify(
      jws,
      await importX509(`-----BEGIN CERTIFICATE-----\n${first}\n-----END CERTIFICATE-----`, 'ES256'),
    );
  return x5c;
}

function base64Of(name: string): string {
  const pem = readFileSync(site.folder.at(name), 'utf8');
  return pem.replace(/-----[^-]+-----|\s/g, '');
}

describeWith(['openssl'], 'a signing key in a PFX container', () => {
  beforeAll(async () => {
    await writeCertificates();
    await writePfx('signing.pfx', PASSWORD);
  });

  test.each([
    { age: 'today', options: [] },
    { age: 'yesterday', options: ['-legacy'] },
  ])('as written $age signs, and its certificates go along in order', async ({ options }) => {
    await writePfx('some.p12', PASSWORD, ...options);
    const x5c = await x5cOfToken({ keyPath: 'some.p12', keyPassword: PASSWORD });
    expect(x5c).toEqual([base64Of('leaf.crt'), base64Of('root.crt')]);
  });

  test('sends the certificates of certificatePath in place of its own', async () => {
    const signing = { keyPath: 'signing.pfx', keyPassword: PASSWORD, certificatePath: 'self.crt' };
    expect(await x5cOfToken(signing)).toEqual([base64Of('self.crt')]);
    expect(await mistakesOf({ ...signing, certificatePath: 'root.crt' })).toBe(
      'signing.certificatePath: The first certificate does not belong to the signing key: name the certificate of this key.',
    );
  });

  test('is known by its content, not by its name', async () => {
    site.write('wrong-name.pem', readFileSync(site.folder.at('signing.pfx')));
    site.write('wrong-name.pfx', readFileSync(site.folder.at('leaf.key')));
    expect(await mistakesOf({ keyPath: 'wrong-name.pem', keyPassword: PASSWORD })).toBe('');
    expect(await mistakesOf({ keyPath: 'wrong-name.pfx' })).toBe('');
  });

  test('takes its password from the key, from a file and from the environment', async () => {
    site.write('password.txt', `${PASSWORD}\n`);
    expect(await mistakesOf({ keyPath: 'signing.pfx', keyPassword: PASSWORD })).toBe('');
    expect(await mistakesOf({ keyPath: 'signing.pfx', keyPasswordPath: 'password.txt' })).toBe('');
    const env = { REGISTRY_TOKEN_SIGNING__KEY_PASSWORD: PASSWORD };
    site.configure({ signing: { keyPath: 'signing.pfx' } });
    const { configuration } = loadConfiguration(site.folder.at('registry-token.yaml'), env);
    expect(configuration.signing.keyPassword).toBe(PASSWORD);
  });

  test('is told apart from one whose password is wrong or missing', async () => {
    expect(await mistakesOf({ keyPath: 'signing.pfx', keyPassword: 'x' })).toBe(
      'signing.keyPath: The password does not open this PFX container, or the container was altered.',
    );
    expect(await mistakesOf({ keyPath: 'signing.pfx' })).toBe(
      'signing.keyPath: This PFX container is protected by a password, and neither signing.keyPassword nor signing.keyPasswordPath is set.',
    );
  });

  test('is refused where a certificate in it has ended, at the container', async () => {
    const { clock } = site;
    const { now } = clock;
    clock.now = now + 31 * 86_400;
    try {
      expect(await mistakesOf({ keyPath: 'signing.pfx', keyPassword: PASSWORD })).toMatch(
        /^signing\.keyPath: A certificate expired on /,
      );
    } finally {
      clock.now = now;
    }
  });

  test('is refused in the form of Java, with what makes a PFX container of it', async () => {
    for (const magic of ['feedfeed', 'cececece']) {
      site.write('signing.jks', Buffer.concat([Buffer.from(magic, 'hex'), new Uint8Array(1000)]));
      expect(await mistakesOf({ keyPath: 'signing.jks', keyPassword: PASSWORD })).toStartWith(
        'signing.keyPath: The file is a Java keystore: convert it to PKCS#12 with keytool -importkeystore',
      );
    }
  });

  test.each([
    ['RSA of 1024 bits', 'rsa:1024', 'An RSA key of 1024 bits is too short: use at least 2048.'],
    ['Ed448', 'ed448', 'The private key in this PFX container cannot be used'],
  ])('is refused where it is %s', async (_, kind, message) => {
    const subject = ['-subj', '/CN=x', '-keyout', 'x.key', '-out', 'x.crt'];
    await openssl('req', '-x509', '-nodes', '-newkey', kind, ...subject);
    await openssl('pkcs12', '-export', '-inkey', 'x.key', '-nocerts', '-out', 'x.p12', '-passout', 'pass:x');
    expect(await mistakesOf({ keyPath: 'x.p12', keyPassword: 'x' })).toStartWith(
      `signing.keyPath: ${message}`,
    );
  });
});
