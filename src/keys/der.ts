/** The few forms of DER (ITU-T X.690) that a certificate is made of. Nothing is parsed here. */

const utf8 = new TextEncoder();

/** One value: its tag, its length, and its contents one after the other. */
function encode(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.of(tag), encodeLength(content.length), content]);
}

/** X.690 §8.1.3: below 128 in one byte, else the count of the bytes that follow, then those. */
function encodeLength(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length);
  const bytes = bigEndian(length);
  return Buffer.of(0x80 | bytes.length, ...bytes);
}

/** The least number of bytes that hold this number, at least one. */
function bigEndian(number: number): number[] {
  const bytes = [number % 0x100];
  for (let rest = Math.floor(number / 0x100); rest > 0; rest = Math.floor(rest / 0x100))
    bytes.unshift(rest % 0x100);
  return bytes;
}

export function derSequence(...contents: readonly Uint8Array[]): Buffer {
  return encode(0x30, ...contents);
}

export function derSet(...contents: readonly Uint8Array[]): Buffer {
  return encode(0x31, ...contents);
}

/** `[number]`, constructed: an explicit tag. */
export function derTagged(number: number, content: Uint8Array): Buffer {
  return encode(0xa0 | number, content);
}

/** A positive INTEGER of these big-endian bytes (§8.3.2: no leading zero but the one that keeps it positive). */
export function derPositiveInteger(bigEndianBytes: Uint8Array): Buffer {
  const first = bigEndianBytes.findIndex((byte) => byte !== 0);
  const bytes = first === -1 ? Uint8Array.of(0) : bigEndianBytes.subarray(first);
  return encode(0x02, (bytes[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : Uint8Array.of(), bytes);
}

export function derOctetString(content: Uint8Array): Buffer {
  return encode(0x04, content);
}

/** A BIT STRING whose last `unusedBits` bits do not count. */
export function derBitString(content: Uint8Array, unusedBits = 0): Buffer {
  return encode(0x03, Uint8Array.of(unusedBits), content);
}

export function derNull(): Buffer {
  return encode(0x05);
}

export function derTrue(): Buffer {
  return encode(0x01, Uint8Array.of(0xff));
}

export function derUtf8String(text: string): Buffer {
  return encode(0x0c, utf8.encode(text));
}

/** An OBJECT IDENTIFIER from its dotted form (§8.19). */
export function derObjectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number);
  return encode(0x06, Buffer.from([first * 40 + second, ...others].flatMap(base128)));
}

function base128(number: number): number[] {
  const bytes = [number % 0x80];
  for (let rest = Math.floor(number / 0x80); rest > 0; rest = Math.floor(rest / 0x80))
    bytes.unshift(0x80 | (rest % 0x80));
  return bytes;
}

/** RFC 5280 §4.1.2.5: UTCTime up to 2049, GeneralizedTime from 2050. `time` in epoch seconds. */
export function derTime(time: number): Buffer {
  const digits = new Date(Math.floor(time) * 1000).toISOString().replace(/\.000Z$|[-:T]/g, '');
  const isLate = Number(digits.slice(0, 4)) >= 2050;
  return isLate ? encode(0x18, utf8.encode(`${digits}Z`)) : encode(0x17, utf8.encode(`${digits.slice(2)}Z`));
}
