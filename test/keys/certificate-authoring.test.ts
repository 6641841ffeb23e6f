/** The certificate of `keygen`, read by others: BoringSSL in Bun, and openssl. */
import { describe, expect, test } from 'bun:test';
import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createSelfSignedCertificate } from '../../src/keys/certificate-authoring.ts';
import type { SigningAlgorithm } from '../../src/keys/key-algorithm.ts';
import { generateSigningKey } from '../../src/keys/key-generation.ts';
import { openSigningKey } from '../../src/keys/signing-key.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, runOrFail } from '../support/processes.ts';
import { NOW } from '../support/service.ts';

const algorithms = ['ES256', 'ES384', 'EdDSA', 'RS256'] as const;
const options = { commonName: 'registry-token signing', notBefore: NOW, notAfter: NOW + 86_400 };

function create(algorithm: SigningAlgorithm): { readonly pem: string; readonly privateKey: KeyObject } {
  const privateKey = generateSigningKey(algorithm);
  return { privateKey, pem: createSelfSignedCertificate(privateKey, algorithm, options) };
}

describe.each(algorithms)('the certificate of an %s key', (algorithm) => {
  const { pem, privateKey } = create(algorithm);
  const certificate = new X509Certificate(pem);

  test('is signed by its own key, and by no other', () => {
    expect(certificate.checkPrivateKey(privateKey)).toBe(true);
    expect(certificate.verify(createPublicKey(privateKey))).toBe(true);
    expect(certificate.verify(createPublicKey(generateSigningKey(algorithm)))).toBe(false);
  });

  test('has the name and the times that were asked for', () => {
    expect(certificate.subject).toBe('CN=registry-token signing');
    expect(certificate.issuer).toBe('CN=registry-token signing');
    expect(Date.parse(certificate.validFrom) / 1000).toBe(NOW);
    expect(Date.parse(certificate.validTo) / 1000).toBe(NOW + 86_400);
  });

  test('can sign no other certificate', () => {
    expect(certificate.ca).toBe(false);
  });

  test('is taken by the service for its key', async () => {
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const material = { key, password: null, certificates: pem, keyId: 'thumbprint' };
    expect((await openSigningKey(material, NOW)).algorithm).toBe(algorithm);
  });
});

test('two certificates of one key have different serial numbers of 16 bytes', () => {
  const privateKey = generateSigningKey('ES256');
  const serials = Array.from(
    { length: 50 },
    () => new X509Certificate(createSelfSignedCertificate(privateKey, 'ES256', options)).serialNumber,
  );
  expect(new Set(serials).size).toBe(50);
  expect(serials.filter((serial) => !/^[4-7][0-9A-F]{31}$/.test(serial))).toEqual([]);
});

describeWith(['openssl'], 'openssl', () => {
  test.each(algorithms)(
    'trusts the certificate of an %s key as root and as leaf at once',
    async (algorithm) => {
      await using folder = await createTemporaryFolder();
      const path = folder.at('signing.crt');
      await writeFile(path, create(algorithm).pem);
      const at = ['-attime', String(NOW + 1)];
      const strict = ['-x509_strict', '-check_ss_sig', ...at, '-CAfile', path];
      expect(await runOrFail(['openssl', 'verify', ...strict, path])).toBe(`${path}: OK\n`);
    },
  );

  test.each([
    ['ES256', 'ecdsa-with-SHA256'],
    ['ES384', 'ecdsa-with-SHA384'],
    ['EdDSA', 'ED25519'],
    ['RS256', 'sha256WithRSAEncryption'],
  ] as const)('reads the certificate of an %s key as X.509 version 3', async (algorithm, signature) => {
    await using folder = await createTemporaryFolder();
    const path = folder.at('signing.crt');
    await writeFile(path, create(algorithm).pem);
    const text = await runOrFail(['openssl', 'x509', '-noout', '-text', '-in', path]);
    expect(text).toContain('Version: 3 (0x2)');
    expect(text.match(/Signature Algorithm: (.*)/g)).toEqual([
      `Signature Algorithm: ${signature}`,
      `Signature Algorithm: ${signature}`,
    ]);
    expect(text).toMatch(/X509v3 Basic Constraints: critical\n\s+CA:FALSE/);
    expect(text).toMatch(/X509v3 Key Usage: critical\n\s+Digital Signature\n/);
    expect(text).toContain('X509v3 Subject Key Identifier:');
  });
});
