/** Reads the structure of a PKCS#12 container (RFC 7292 §4): what is in it, still encrypted. */

import { KeyFault } from '../key-algorithm.ts';
import {
  type Asn1,
  Asn1Fault,
  integer,
  isInteger,
  isSequence,
  members,
  objectIdentifier,
  octets,
  readAsn1,
  tagged,
  taggedOctets,
  writeDer,
} from './asn1-values.ts';
import { type Mac, readMac, readSealed, type Sealed } from './encryption.ts';

export interface Pfx {
  readonly mac: Mac;
  readonly safes: readonly Safe[];
}

/** A part of the container: bags, as they are or encrypted together. */
export type Safe = { readonly sealed: Sealed } | { readonly bags: readonly Bag[] };

export type Bag =
  /** A PKCS#8 PrivateKeyInfo in DER. */
  | { readonly kind: 'key'; readonly der: Buffer }
  | { readonly kind: 'sealed-key'; readonly sealed: Sealed }
  /** An X.509 certificate in DER. */
  | { readonly kind: 'certificate'; readonly der: Buffer };

const DATA = '1.2.840.113549.1.7.1';
const SIGNED_DATA = '1.2.840.113549.1.7.2';
const ENVELOPED_DATA = '1.2.840.113549.1.7.3';
const ENCRYPTED_DATA = '1.2.840.113549.1.7.6';
const X509_CERTIFICATE = '1.2.840.113549.1.9.22.1';

/** Throws KeyFault for what is not supported; Asn1Fault or an error of node-forge for what cannot be read. */
export function readPfx(bytes: Buffer): Pfx {
  const [version, authSafe, macData] = members(readAsn1(bytes));
  if (!isInteger(version) || !isSequence(authSafe) || integer(version) !== 3)
    throw new KeyFault(
      'key',
      'This is a DER file, but not a PFX container (PKCS#12); openssl pkey -inform DER converts a key to PEM.',
    );
  const [contentType, content] = members(authSafe);
  if (objectIdentifier(contentType) === SIGNED_DATA) throw byPublicKey('signed');
  if (objectIdentifier(contentType) !== DATA) throw new Asn1Fault('no data');
  if (macData === undefined)
    throw new KeyFault(
      'key',
      'This PFX container has no MAC, so there is no way to tell whether it was altered: export it again with one.',
    );
  const authenticatedSafe = octets(tagged(content, 0));
  return {
    mac: readMac(macData, authenticatedSafe),
    safes: members(readAsn1(authenticatedSafe)).map(readSafe),
  };
}

function readSafe(contentInfo: Asn1): Safe {
  const [contentType, content] = members(contentInfo);
  switch (objectIdentifier(contentType)) {
    case DATA:
      return { bags: readBags(readAsn1(octets(tagged(content, 0)))) };
    case ENCRYPTED_DATA: {
      const [, encryptedContentInfo] = members(tagged(content, 0));
      const [, algorithm, ciphertext] = members(encryptedContentInfo);
      return { sealed: readSealed(algorithm, taggedOctets(ciphertext, 0)) };
    }
    case ENVELOPED_DATA:
      throw byPublicKey('encrypted');
    default:
      throw new Asn1Fault('no safe');
  }
}

function byPublicKey(what: 'signed' | 'encrypted'): KeyFault {
  return new KeyFault(
    'key',
    `This PFX container is ${what} by a public key, which is not supported: export it again with a password.`,
  );
}

/** The bags of a SafeContents (§4.2). Revocation lists, secrets and what else there may be are passed over. */
export function readBags(safeContents: Asn1): Bag[] {
  return members(safeContents).flatMap((safeBag): Bag[] => {
    const [identifier, value] = members(safeBag);
    const content = tagged(value, 0);
    switch (objectIdentifier(identifier)) {
      case '1.2.840.113549.1.12.10.1.1':
        return [{ kind: 'key', der: writeDer(content) }];
      case '1.2.840.113549.1.12.10.1.2': {
        const [algorithm, ciphertext] = members(content);
        return [{ kind: 'sealed-key', sealed: readSealed(algorithm, octets(ciphertext)) }];
      }
      case '1.2.840.113549.1.12.10.1.3': {
        const [type, certificate] = members(content);
        if (objectIdentifier(type) !== X509_CERTIFICATE) return [];
        return [{ kind: 'certificate', der: octets(tagged(certificate, 0)) }];
      }
      case '1.2.840.113549.1.12.10.1.6':
        return readBags(content);
      default:
        return [];
    }
  });
}
