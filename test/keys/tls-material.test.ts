/** What is wrong with the TLS listener's files is told before it listens, each at its file. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { findTlsFaults, type TlsMaterial } from '../../src/keys/tls-material.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, runOrFail, type TemporaryFolder, wallClock } from '../support/processes.ts';
import {
  type CertificateAuthority,
  createCertificateAuthority,
  createSelfSigned,
  type TlsIdentity,
} from '../support/tls-identities.ts';

setDefaultTimeout(30_000);

describeWith(['openssl'], 'TLS material', () => {
  let folder: TemporaryFolder;
  let authority: CertificateAuthority;
  let server: TlsIdentity;
  let other: TlsIdentity;
  let good: TlsMaterial;
  const now = wallClock();

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    authority = await createCertificateAuthority(folder, 'authority');
    server = await authority.issue('server');
    other = await createSelfSigned(folder, 'other');
    good = {
      certificates: `${server.certificate}${authority.certificate}`,
      key: server.key,
      clientAuthorities: `# clients\n${authority.certificate}\n${other.certificate}`,
    };
  });

  afterAll(async () => {
    await folder?.[Symbol.asyncDispose]();
  });

  test('has no faults where a listener can use it, with a chain, with several authorities, with none', () => {
    expect(findTlsFaults(good, now)).toEqual([]);
    expect(findTlsFaults({ ...good, clientAuthorities: null }, now)).toEqual([]);
  });

  test.each([
    ['ed25519', ['-newkey', 'ed25519']],
    ['rsa', ['-newkey', 'rsa:2048']],
    ['p384', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384']],
  ])('may be of %s', async (name, newKey) => {
    const [key, certificate] = [folder.at(`${name}.pem`), folder.at(`${name}.crt`)];
    const outputs = ['-nodes', '-keyout', key, '-out', certificate, '-subj', `/CN=${name}`];
    await runOrFail(['openssl', 'req', '-x509', ...newKey, ...outputs]);
    const [pem, certificates] = await Promise.all([Bun.file(key).text(), Bun.file(certificate).text()]);
    expect(findTlsFaults({ certificates, key: pem, clientAuthorities: null }, now)).toEqual([]);
  });

  test('has its fault told at the file that has it', async () => {
    const encrypted = await runOrFail([
      'openssl',
      'pkey',
      '-aes256',
      '-passout',
      'pass:secret',
      '-in',
      server.keyPath,
    ]);
    const damaged = server.certificate.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA');
    const cases: readonly (readonly [Partial<TlsMaterial>, keyof TlsMaterial, string])[] = [
      [{ certificates: '' }, 'certificates', 'holds no PEM certificate'],
      [{ certificates: server.key }, 'certificates', 'holds no PEM certificate'],
      [{ certificates: damaged }, 'certificates', 'is damaged'],
      [{ certificates: `${server.certificate}${damaged}` }, 'certificates', 'is damaged'],
      [{ key: server.certificate }, 'key', 'holds no PEM private key'],
      [{ key: server.key.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA') }, 'key', 'is damaged'],
      [{ key: encrypted }, 'key', 'encrypted'],
      [{ key: other.key }, 'key', 'not the key of the first certificate'],
      [{ certificates: `${authority.certificate}${server.certificate}` }, 'key', 'not the key of the first'],
      [{ clientAuthorities: 'nobody' }, 'clientAuthorities', 'holds no PEM certificate'],
      [{ clientAuthorities: `${authority.certificate}${damaged}` }, 'clientAuthorities', 'is damaged'],
    ];
    for (const [change, source, message] of cases)
      expect(findTlsFaults({ ...good, ...change }, now)).toEqual([
        { source, message: expect.stringContaining(message) },
      ]);
  });

  test('is no use when its certificate has ended', async () => {
    const expired = await authority.issue('expired', { days: -1 });
    const material = { ...good, certificates: expired.certificate, key: expired.key };
    expect(findTlsFaults(material, now)).toEqual([
      { source: 'certificates', message: expect.stringMatching(/expired on .*GMT/) },
    ]);
    expect(findTlsFaults(good, now + 31 * 86_400)).toHaveLength(1);
    expect(findTlsFaults(good, now + 29 * 86_400)).toEqual([]);
  });

  test('has all its faults told at once, and what could not be read is not judged', () => {
    const bad = { certificates: 'x', key: 'y', clientAuthorities: 'z' };
    expect(findTlsFaults(bad, now).map(({ source }) => source)).toEqual([
      'certificates',
      'key',
      'clientAuthorities',
    ]);
    expect(findTlsFaults({ ...bad, certificates: null, clientAuthorities: null }, now)).toHaveLength(1);
  });

  test('is never shown in a fault', () => {
    const texts = [
      server.key,
      other.key,
      server.certificate,
      server.key.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA'),
    ];
    const faults = texts.flatMap((certificates) =>
      texts.flatMap((key) => findTlsFaults({ certificates, key, clientAuthorities: key }, now)),
    );
    expect(faults.length).toBeGreaterThan(20);
    for (const { message } of faults) expect(message).not.toMatch(/BEGIN|[A-Za-z0-9+/]{40}/);
  });
});
