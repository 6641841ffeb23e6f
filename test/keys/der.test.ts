/** DER at the lengths and numbers where its form changes, as X.690 and openssl have it. */
import { expect, test } from 'bun:test';
import {
  derBitString,
  derObjectIdentifier,
  derOctetString,
  derPositiveInteger,
  derSequence,
  derTime,
} from '../../src/keys/der.ts';

test.each([
  [0, '0400'],
  [127, '047f'],
  [128, '048180'],
  [255, '0481ff'],
  [256, '04820100'],
  [65536, '0483010000'],
])('contents of %i bytes have the shortest length', (length, start) => {
  const encoded = derOctetString(new Uint8Array(length));
  expect(encoded.subarray(0, start.length / 2).toString('hex')).toBe(start);
  expect(encoded).toHaveLength(start.length / 2 + length);
});

test.each([
  ['00', '020100'],
  ['02', '020102'],
  ['7f', '02017f'],
  ['80', '02020080'],
  ['00ff', '020200ff'],
  ['000001', '020101'],
])('the bytes %s as a positive number', (bytes, encoded) => {
  expect(derPositiveInteger(Buffer.from(bytes, 'hex')).toString('hex')).toBe(encoded);
});

test.each([
  ['2.5.4.3', '0603550403'],
  ['1.2.840.113549.1.1.11', '06092a864886f70d01010b'],
  ['1.2.840.10045.4.3.2', '06082a8648ce3d040302'],
  ['1.3.101.112', '06032b6570'],
])('the object identifier %s', (dotted, encoded) => {
  expect(derObjectIdentifier(dotted).toString('hex')).toBe(encoded);
});

test.each([
  ['2026-11-23T20:26:52Z', 0x17, '261123202652Z'],
  ['2049-12-31T23:59:59Z', 0x17, '491231235959Z'],
  ['2050-01-01T00:00:00Z', 0x18, '20500101000000Z'],
])('the time %s', (time, tag, text) => {
  const encoded = derTime(Date.parse(time) / 1000 + 0.9);
  expect(encoded[0]).toBe(tag);
  expect(encoded.subarray(2).toString()).toBe(text);
});

test('a bit string says how many of its last bits do not count', () => {
  expect(derBitString(Uint8Array.of(0x80), 7).toString('hex')).toBe('03020780');
});

test('a sequence holds its parts in order', () => {
  const parts = [derPositiveInteger(Uint8Array.of(1)), derOctetString(Uint8Array.of(2))];
  expect(derSequence(...parts).toString('hex')).toBe('3006020101040102');
});
