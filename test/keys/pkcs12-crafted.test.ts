/** PKCS#12 containers that no tool writes by itself: several keys, bombs, other encodings, other contents. */
import { describe, expect, test } from 'bun:test';
import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { createSelfSignedCertificate } from '../../src/keys/certificate-authoring.ts';
import { derNull, derObjectIdentifier, derOctetString, derSequence } from '../../src/keys/der.ts';
import { KeyFault } from '../../src/keys/key-algorithm.ts';
import { openPkcs12 } from '../../src/keys/pkcs12/pkcs12.ts';
import {
  bag,
  certificateBag,
  contentInfo,
  craftPfx,
  craftPfxOf,
  derInteger,
  encryptedSafe,
  keyBag,
  oldSealedKeyBag,
  plainSafe,
  sealedKeyBag,
} from '../support/pfx.ts';
import { NOW } from '../support/service.ts';

const password = 'correct horse: battery # staple';
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const der = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'der' });
const certificate = certificateOf(p256, 'one');

function certificateOf(key: KeyObject, commonName: string, notAfter = NOW): Buffer {
  const pem = createSelfSignedCertificate(key, 'ES256', { commonName, notBefore: NOW - 86_400, notAfter });
  return new X509Certificate(pem).raw;
}

function expectOpens(pfx: Buffer, ...names: string[]): void {
  const { privateKey, certificates } = openPkcs12(pfx, password);
  expect(privateKey.equals(p256)).toBe(true);
  expect(certificates.map(({ subject }) => subject)).toEqual(names.map((name) => `CN=${name}`));
}

function faultOf(pfx: Buffer): string {
  const started = performance.now();
  try {
    openPkcs12(pfx, password);
    return '';
  } catch (cause) {
    if (!(cause instanceof KeyFault)) throw cause;
    return cause.message;
  } finally {
    expect(performance.now() - started).toBeLessThan(2000);
  }
}

describe('a container with one key', () => {
  test.each([
    ['in the clear', [plainSafe(keyBag(der(p256)), certificateBag(certificate))]],
    ['encrypted', [plainSafe(sealedKeyBag(der(p256), password), certificateBag(certificate))]],
    ['encrypted with all else', [encryptedSafe(password, certificateBag(certificate), keyBag(der(p256)))]],
    [
      'encrypted twice',
      [encryptedSafe(password, sealedKeyBag(der(p256), password), certificateBag(certificate))],
    ],
    [
      'in parts of its own',
      [plainSafe(), plainSafe(certificateBag(certificate)), plainSafe(keyBag(der(p256)))],
    ],
    [
      'in bags within a bag',
      [plainSafe(bag(6, derSequence(keyBag(der(p256)), bag(6, derSequence(certificateBag(certificate))))))],
    ],
    [
      'beside a revocation list, a secret and a bag that nobody knows',
      [
        plainSafe(bag(4, derNull()), keyBag(der(p256)), bag(5, derNull()), bag(99, derNull())),
        plainSafe(certificateBag(certificate)),
      ],
    ],
  ])('%s opens', (_, safes) => expectOpens(craftPfx(safes, { password }), 'one'));

  test('opens in BER, with lengths left open and octets in pieces', () => {
    const safes = derSequence(plainSafe(keyBag(der(p256))), plainSafe(certificateBag(certificate)));
    const pfx = craftPfxOf(safes, { password });
    const macData = pfx.subarray(pfx.lastIndexOf(safes) + safes.length);
    const open = (tag: number, ...contents: Buffer[]) =>
      Buffer.concat([Buffer.of(tag, 0x80), ...contents, Buffer.of(0, 0)]);
    const pieces = [safes.subarray(0, 100), safes.subarray(100)].map((piece) => derOctetString(piece));
    const content = open(
      0x30,
      derObjectIdentifier('1.2.840.113549.1.7.1'),
      open(0xa0, open(0x24, ...pieces)),
    );
    expectOpens(open(0x30, derInteger(3), content, macData), 'one');
  });

  test('opens without a password where it was made with none, which is not an empty one', () => {
    for (const made of [null, '']) {
      const pfx = craftPfx([plainSafe(keyBag(der(p256)))], { password: made });
      for (const configured of [null, '']) expect(openPkcs12(pfx, configured).certificates).toEqual([]);
    }
  });

  test('takes the certificate that lasts longest, where several are its own', () => {
    const bags = [
      certificateBag(certificateOf(p256, 'old', NOW + 1)),
      certificateBag(certificateOf(p256, 'new', NOW + 3)),
      certificateBag(certificateOf(p256, 'older', NOW + 2)),
    ];
    expectOpens(craftPfx([plainSafe(keyBag(der(p256)), ...bags)], { password }), 'new');
  });

  test('passes over certificates that do not belong to it, but not over there being no other', () => {
    const stranger = certificateBag(certificateOf(other, 'stranger'));
    const both = plainSafe(stranger, certificateBag(certificate), keyBag(der(p256)));
    expectOpens(craftPfx([both], { password }), 'one');
    expect(faultOf(craftPfx([plainSafe(stranger, keyBag(der(p256)))], { password }))).toBe(
      'No certificate in this PFX container belongs to the private key in it.',
    );
  });
});

describe('a container is refused', () => {
  test('with several keys, and they are counted', () => {
    const keys = [keyBag(der(p256)), sealedKeyBag(der(other), password)];
    for (const [safes, count] of [
      [[plainSafe(...keys)], 2],
      [[plainSafe(keyBag(der(p256))), encryptedSafe(password, ...keys)], 3],
      [[plainSafe(keyBag(der(p256)), keyBag(der(p256)))], 2],
    ] as const)
      expect(faultOf(craftPfx(safes, { password }))).toStartWith(
        `This PFX container holds ${count} private keys, and it is unclear which one signs`,
      );
  });

  test.each([
    ['of the MAC', [plainSafe(keyBag(der(p256)))], 2_000_000_000],
    ['of the MAC, more than a number can hold', [plainSafe(keyBag(der(p256)))], 2 ** 60],
    ['of the key', [plainSafe(sealedKeyBag(der(p256), password, 1, 2_000_000_000))], 1],
    [
      'of a key that is encrypted twice',
      [encryptedSafe(password, sealedKeyBag(der(p256), password, 1, 2_000_000_000))],
      1,
    ],
    [
      'of all together',
      [plainSafe(...Array.from({ length: 11 }, () => sealedKeyBag(der(p256), password, 1, 100_000)))],
      1,
    ],
  ])('for its many iterations: those %s', (_, safes, claimedIterations) => {
    const told = faultOf(craftPfx(safes, { password, claimedIterations }));
    expect(told).toBe(
      'This PFX container asks for more than 1000000 rounds of key derivation, which takes too long: export it again with fewer iterations.',
    );
  });

  test('with no iterations at all', () => {
    const damaged = 'This PFX container is damaged or incomplete.';
    const key = der(p256);
    expect(faultOf(craftPfx([plainSafe(keyBag(key))], { password, claimedIterations: 0 }))).toBe(damaged);
    expect(faultOf(craftPfx([plainSafe(sealedKeyBag(key, password, 1, 0))], { password }))).toBe(damaged);
  });

  test('with a MAC by PBMAC1', () => {
    const pbmac1 = { password, macAlgorithm: '1.2.840.113549.1.5.14' };
    expect(faultOf(craftPfx([plainSafe(keyBag(der(p256)))], pbmac1))).toStartWith(
      'The MAC of this PFX container is PBMAC1 (RFC 9579), which is not supported',
    );
  });

  test.each([
    ['that is encrypted by a public key', [contentInfo('1.2.840.113549.1.7.3', derSequence())]],
    ['that is signed by a public key', null],
  ])('%s', (_, safes) => {
    const version = derInteger(3);
    const signed = derSequence(version, contentInfo('1.2.840.113549.1.7.2', derSequence()));
    const told = faultOf(safes === null ? signed : craftPfx(safes, { password }));
    expect(told).toMatch(
      /^This PFX container is (?:encrypted|signed) by a public key, which is not supported/,
    );
  });

  test.each([
    ['whose key has another password', [plainSafe(sealedKeyBag(der(p256), 'x'))]],
    ['whose key has another password, in the old form', [plainSafe(oldSealedKeyBag(der(p256), 'x'))]],
    ['whose contents have another password', [encryptedSafe('x', keyBag(der(p256)))]],
  ])('%s', (_, safes) => {
    expect(faultOf(craftPfx(safes, { password }))).toStartWith(
      'The password is correct for the MAC of this PFX container, but does not decrypt its content',
    );
  });

  test.each([
    ['a certificate that is none', [certificateBag(derNull()), keyBag(der(p256))], 'A certificate in this'],
    ['a key that is none', [keyBag(derNull())], 'The private key in this PFX container cannot be used'],
    ['nothing', [], 'This PFX container holds no private key.'],
    ['a bag that is none', [derNull()], 'This PFX container is damaged or incomplete.'],
  ])('that holds %s', (_, bags, message) => {
    expect(faultOf(craftPfx([plainSafe(...bags)], { password }))).toStartWith(message);
  });

  test('that is larger than 1 MiB', () => {
    expect(faultOf(Buffer.alloc(1024 * 1024 + 1, 0x30))).toBe(
      'This PFX container is larger than 1048576 bytes.',
    );
  });

  test.each([
    ['values in values', Buffer.alloc(1024 * 1024, Buffer.of(0x30, 0x80))],
    ['empty values', derSequence(Buffer.alloc(1024 * 1024 - 8, Buffer.of(0x30, 0)))],
    [
      'bit strings of bit strings',
      derSequence(Buffer.alloc(1024 * 1024 - 8, Buffer.of(3, 5, 0, 0x30, 2, 5, 0))),
    ],
    [
      'pieces in pieces',
      derSequence(derInteger(3), Buffer.concat([Buffer.alloc(500_000, Buffer.of(0x24, 0x80))])),
    ],
  ])('that is made of %s, before long', (_, bytes) => {
    expect(faultOf(bytes)).toContain('PFX container');
  });

  test('that has a huge salt, before long', () => {
    const pfx = craftPfx([plainSafe(keyBag(der(p256)))], { password });
    const salt = derOctetString(Buffer.alloc(900_000));
    const sha256 = derSequence(derObjectIdentifier('2.16.840.1.101.3.4.2.1'), derNull());
    const mac = derSequence(
      derSequence(sha256, derOctetString(Buffer.alloc(32))),
      salt,
      derInteger(1_000_000),
    );
    const content = contentInfo('1.2.840.113549.1.7.1', derOctetString(derSequence()));
    expect(pfx.length).toBeLessThan(1000);
    expect(faultOf(derSequence(derInteger(3), content, mac))).toInclude('is damaged or incomplete');
  });
});
