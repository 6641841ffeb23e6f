/** Takes apart the ASN.1 that node-forge has read: each function wants one form, and throws where it finds another. */
import forge from 'node-forge';

export type Asn1 = forge.asn1.Asn1;

/** The value is not of the form that its place asks for. */
export class Asn1Fault extends Error {}

const { Class, Type } = forge.asn1;

/** Reads BER, of which DER is a part: one value that takes all the bytes. */
export function readAsn1(bytes: Buffer): Asn1 {
  return forge.asn1.fromDer(bytes.toString('latin1'));
}

export function writeDer(value: Asn1): Buffer {
  return toBytes(forge.asn1.toDer(value).getBytes());
}

export function isSequence(value: Asn1 | undefined): value is Asn1 {
  return isUniversal(value, Type.SEQUENCE);
}

export function isInteger(value: Asn1 | undefined): value is Asn1 {
  return isUniversal(value, Type.INTEGER);
}

/** The members of a SEQUENCE. */
export function members(value: Asn1 | undefined): Asn1[] {
  if (isSequence(value) && Array.isArray(value.value)) return value.value;
  throw new Asn1Fault('no SEQUENCE');
}

/** The one value under the explicit tag `[number]`. */
export function tagged(value: Asn1 | undefined, number: number): Asn1 {
  if (hasTag(value, number) && Array.isArray(value.value)) {
    const [content] = value.value;
    if (content !== undefined && value.value.length === 1) return content;
  }
  throw new Asn1Fault(`no [${number}]`);
}

/** In its dotted form. */
export function objectIdentifier(value: Asn1 | undefined): string {
  if (isUniversal(value, Type.OID) && typeof value.value === 'string')
    return forge.asn1.derToOid(value.value);
  throw new Asn1Fault('no OBJECT IDENTIFIER');
}

/** An OCTET STRING, in one piece or in several (BER). */
export function octets(value: Asn1 | undefined): Buffer {
  if (isUniversal(value, Type.OCTETSTRING)) return pieces(value);
  throw new Asn1Fault('no OCTET STRING');
}

/** An OCTET STRING under the implicit tag `[number]`. */
export function taggedOctets(value: Asn1 | undefined, number: number): Buffer {
  if (hasTag(value, number)) return pieces(value);
  throw new Asn1Fault(`no [${number}]`);
}

/** An INTEGER, read without a sign; one that is too large for a number comes out inexact, or infinite. */
export function integer(value: Asn1 | undefined): number {
  if (isInteger(value) && typeof value.value === 'string' && value.value !== '')
    return Number(`0x${toBytes(value.value).toString('hex')}`);
  throw new Asn1Fault('no INTEGER');
}

export function positiveInteger(value: Asn1 | undefined): number {
  const number = integer(value);
  if (number > 0) return number;
  throw new Asn1Fault('zero');
}

function pieces(value: Asn1): Buffer {
  return typeof value.value === 'string' ? toBytes(value.value) : Buffer.concat(value.value.map(octets));
}

function isUniversal(value: Asn1 | undefined, type: forge.asn1.Type): value is Asn1 {
  return value?.tagClass === Class.UNIVERSAL && value.type === type;
}

function hasTag(value: Asn1 | undefined, number: number): value is Asn1 {
  return value?.tagClass === Class.CONTEXT_SPECIFIC && Number(value.type) === number;
}

/** node-forge holds bytes as a string with one character a byte. */
function toBytes(binary: string): Buffer {
  return Buffer.from(binary, 'latin1');
}
