/** `server.tls`: the listener's files, and what is told of those that cannot be used. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { formatMistake } from '../../src/document/mistakes.ts';
import { describeWith } from '../support/debian-parts.ts';
import {
  type CertificateAuthority,
  createCertificateAuthority,
  createSelfSigned,
  type TlsIdentity,
} from '../support/tls-identities.ts';
import { createInstallation, type Section } from './installation.ts';

setDefaultTimeout(30_000);

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

describeWith(['openssl'], 'server.tls', () => {
  let authority: CertificateAuthority;
  let server: TlsIdentity;
  let other: TlsIdentity;

  beforeAll(async () => {
    authority = await createCertificateAuthority(site.folder, 'authority');
    server = await authority.issue('server');
    other = await createSelfSigned(site.folder, 'other');
    await authority.issue('expired', { days: -1 });
  });

  const files = { certPath: 'server.crt', keyPath: 'server.pem', clientCaPath: 'authority.crt' };

  function configureTls(tls: Section | undefined): void {
    site.configure({ server: { listen: '127.0.0.1:8085', ...(tls === undefined ? {} : { tls }) } });
  }

  async function mistakesOf(change: Section): Promise<string> {
    configureTls({ ...files, ...change });
    return site.mistakes();
  }

  test('gives the listener its certificate, its key and who may vouch for clients', async () => {
    configureTls(files);
    const { service } = await site.open();
    expect(service.tls).toEqual({
      certificates: server.certificate,
      key: server.key,
      clientAuthorities: authority.certificate,
    });
    for (const name of ['server.crt', 'server.pem', 'authority.crt'])
      expect(service.files).toContain(site.folder.at(name));
  });

  test('may be absent, and so may clientCaPath', async () => {
    configureTls(undefined);
    expect((await site.open()).service.tls).toBeNull();
    configureTls({ certPath: 'server.crt', keyPath: 'server.pem' });
    expect((await site.open()).service.tls).toMatchObject({ clientAuthorities: null });
  });

  test.each([
    [
      'a certificate that is not there',
      { certPath: 'no.crt' },
      /^server\.tls\.certPath: no\.crt cannot be read/,
    ],
    [
      'a key that is not there',
      { keyPath: 'no.pem' },
      /^server\.tls\.keyPath: no\.pem cannot be read: no such file \(ENOENT\)$/,
    ],
    [
      'authorities that are not there',
      { clientCaPath: 'no.crt' },
      /^server\.tls\.clientCaPath: no\.crt cannot/,
    ],
    [
      'a certificate that is none',
      { certPath: 'server.pem' },
      /^server\.tls\.certPath: holds no PEM certificate, but a PRIVATE KEY$/,
    ],
    [
      'a key that is none',
      { keyPath: 'server.crt' },
      /^server\.tls\.keyPath: holds no PEM private key, but a CERTIFICATE$/,
    ],
    [
      'a key of another certificate',
      { keyPath: 'other.pem' },
      /^server\.tls\.keyPath: is not the key of the first/,
    ],
    [
      'a certificate that has ended',
      { certPath: 'expired.crt', keyPath: 'expired.pem' },
      /certPath: .* expired on/,
    ],
    [
      'authorities that are none',
      { clientCaPath: 'jwks.json' },
      /^server\.tls\.clientCaPath: holds no PEM cert/,
    ],
  ])('with %s is refused at its key, and there alone', async (_, change, mistake) => {
    const mistakes = await mistakesOf(change);
    expect(mistakes).toMatch(mistake);
    expect(mistakes.split('\n')).toHaveLength(1);
  });

  test('has all its mistakes told at once', async () => {
    const mistakes = await mistakesOf({
      certPath: 'no.crt',
      keyPath: 'jwks.json',
      clientCaPath: 'server.pem',
    });
    expect(mistakes.split('\n').map((line) => line.split(':')[0])).toEqual([
      'server.tls.certPath',
      'server.tls.keyPath',
      'server.tls.clientCaPath',
    ]);
  });

  test('is read anew by a reload, and kept where it then has mistakes', async () => {
    configureTls(files);
    const runtime = await site.open();
    configureTls({ ...files, certPath: 'other.crt' });
    expect((await runtime.reload()).map(formatMistake).join('\n')).toContain(
      'server.tls.keyPath: is not the key',
    );
    expect(runtime.service.tls?.certificates).toBe(server.certificate);
    configureTls({ ...files, certPath: 'other.crt', keyPath: 'other.pem' });
    expect(await runtime.reload()).toEqual([]);
    expect(runtime.service.tls?.certificates).toBe(other.certificate);
  });

  test('neither comes nor goes while the service runs', async () => {
    for (const [before, after] of [
      [files, undefined],
      [undefined, files],
    ]) {
      configureTls(before);
      const runtime = await site.open();
      configureTls(after);
      const mistakes = (await runtime.reload()).map(({ key }) => key);
      expect(mistakes).toEqual(['server.tls']);
    }
  });
});
