/** PKCS#12 containers made by hand: those that no tool writes. */
import { createCipheriv, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import forge from 'node-forge';
import {
  derNull,
  derObjectIdentifier,
  derOctetString,
  derPositiveInteger,
  derSequence,
  derTagged,
} from '../../src/keys/der.ts';

const DATA = '1.2.840.113549.1.7.1';
const ENCRYPTED_DATA = '1.2.840.113549.1.7.6';
const SHA256 = '2.16.840.1.101.3.4.2.1';

export interface Craft {
  /** null: none, which is not the same as an empty one. */
  readonly password: string | null;
  /** Of the MAC. */
  readonly iterations?: number;
  /** What the container says of its MAC's iterations, if something else. */
  readonly claimedIterations?: number;
  readonly macAlgorithm?: string;
}

/** A container of these ContentInfos, with a MAC. */
export function craftPfx(safes: readonly Buffer[], craft: Craft): Buffer {
  return craftPfxOf(derSequence(...safes), craft);
}

/** A container of these bytes in the place of its AuthenticatedSafe, with a MAC. */
export function craftPfxOf(authenticatedSafe: Buffer, craft: Craft): Buffer {
  const { password, iterations = 1, claimedIterations = iterations, macAlgorithm = SHA256 } = craft;
  const salt = randomBytes(8);
  const saltBuffer = forge.util.createBuffer(salt.toString('latin1'));
  const key = forge.pkcs12.generateKey(password, saltBuffer, 3, iterations, 32, forge.md.sha256.create());
  const mac = createHmac('sha256', Buffer.from(key.getBytes(), 'latin1')).update(authenticatedSafe).digest();
  return derSequence(
    derInteger(3),
    contentInfo(DATA, derOctetString(authenticatedSafe)),
    derSequence(
      derSequence(derSequence(derObjectIdentifier(macAlgorithm), derNull()), derOctetString(mac)),
      derOctetString(salt),
      derInteger(claimedIterations),
    ),
  );
}

/** Bags that are not encrypted. */
export function plainSafe(...bags: readonly Buffer[]): Buffer {
  return contentInfo(DATA, derOctetString(derSequence(...bags)));
}

/** Bags that are encrypted together. */
export function encryptedSafe(password: string, ...bags: readonly Buffer[]): Buffer {
  const { algorithm, ciphertext } = encrypt(derSequence(...bags), password, 1, 1, sha256);
  const tagged = Buffer.from(derOctetString(ciphertext));
  tagged[0] = 0x80; // [0] IMPLICIT
  return contentInfo(
    ENCRYPTED_DATA,
    derSequence(derInteger(0), derSequence(derObjectIdentifier(DATA), algorithm, tagged)),
  );
}

/** A ContentInfo (RFC 2315 §7). */
export function contentInfo(type: string, content: Buffer): Buffer {
  return derSequence(derObjectIdentifier(type), derTagged(0, content));
}

/** A private key that is not encrypted. */
export function keyBag(pkcs8: Buffer): Buffer {
  return bag(1, pkcs8);
}

/** An encrypted private key; `claimedIterations`: what it says of its iterations, if something else. */
export function sealedKeyBag(
  pkcs8: Buffer,
  password: string,
  iterations = 1,
  claimedIterations = iterations,
) {
  const { algorithm, ciphertext } = encrypt(pkcs8, password, iterations, claimedIterations);
  return bag(2, derSequence(algorithm, derOctetString(ciphertext)));
}

/** The same in the old form: 3DES by the key derivation of PKCS#12. */
export function oldSealedKeyBag(pkcs8: Buffer, password: string): Buffer {
  const info = forge.asn1.fromDer(pkcs8.toString('latin1'));
  const encrypted = forge.pki.encryptPrivateKeyInfo(info, password, { algorithm: '3des' });
  return bag(2, Buffer.from(forge.asn1.toDer(encrypted).getBytes(), 'latin1'));
}

export function certificateBag(certificate: Buffer): Buffer {
  return bag(
    3,
    derSequence(derObjectIdentifier('1.2.840.113549.1.9.22.1'), derTagged(0, derOctetString(certificate))),
  );
}

/** A bag of type `pkcs-12-bagIds number` (RFC 7292 §4.2). */
export function bag(number: number, content: Buffer): Buffer {
  return derSequence(derObjectIdentifier(`1.2.840.113549.1.12.10.1.${number}`), derTagged(0, content));
}

/** A hash for PBKDF2 and what its parameters (RFC 8018 §A.2) say of it. */
interface Hash {
  readonly digest: string;
  readonly parameters: readonly Buffer[];
}

const sha1: Hash = { digest: 'sha1', parameters: [] }; // the default: nothing is said
const sha256: Hash = {
  digest: 'sha256',
  parameters: [derInteger(16), derSequence(derObjectIdentifier('1.2.840.113549.2.9'), derNull())],
};

/** PBES2 (RFC 8018 §6.2) with AES-128. */
function encrypt(
  plaintext: Buffer,
  password: string,
  iterations: number,
  claimedIterations = iterations,
  { digest, parameters } = sha1,
) {
  const salt = randomBytes(8);
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-128-cbc', pbkdf2Sync(password, salt, iterations, 16, digest), iv);
  const derivation = derSequence(
    derObjectIdentifier('1.2.840.113549.1.5.12'),
    derSequence(derOctetString(salt), derInteger(claimedIterations), ...parameters),
  );
  const encryption = derSequence(derObjectIdentifier('2.16.840.1.101.3.4.1.2'), derOctetString(iv));
  return {
    algorithm: derSequence(derObjectIdentifier('1.2.840.113549.1.5.13'), derSequence(derivation, encryption)),
    ciphertext: Buffer.concat([cipher.update(plaintext), cipher.final()]),
  };
}

export function derInteger(number: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(number));
  return derPositiveInteger(bytes);
}
