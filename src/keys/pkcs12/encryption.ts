/**
 * The two ways in which a PKCS#12 container encrypts by a password, and its MAC. node:crypto does PBES2 (RFC 8018),
 * where node-forge takes sixty times as long and gets passwords wrong that are not ASCII; node-forge does the old
 * ciphers and the key derivation of PKCS#12 itself (RFC 7292 appendix B), which node:crypto does not have.
 */
import { createDecipheriv, createHmac, pbkdf2Sync } from 'node:crypto';
import forge from 'node-forge';
import { KeyFault } from '../key-algorithm.ts';
import {
  type Asn1,
  Asn1Fault,
  isInteger,
  members,
  objectIdentifier,
  octets,
  positiveInteger,
  readAsn1,
} from './asn1-values.ts';

/** Something encrypted, with all that is needed to open it but the password. */
export interface Sealed {
  readonly encryption: Encryption;
  readonly ciphertext: Buffer;
  /** How often a hash function runs to make the key: what opening it costs, some 2 µs each. */
  readonly rounds: number;
}

type Encryption =
  | { readonly scheme: 'pbes2'; readonly parameters: Pbes2Parameters }
  | { readonly scheme: 'pkcs12'; readonly algorithm: Asn1 };

interface Pbes2Parameters {
  readonly cipher: string;
  readonly keyLength: number;
  readonly iv: Buffer;
  readonly digest: string;
  readonly salt: Buffer;
  readonly iterations: number;
}

export interface Mac {
  readonly digest: MacDigest;
  readonly salt: Buffer;
  readonly iterations: number;
  /** As in Sealed. */
  readonly rounds: number;
  readonly value: Buffer;
  /** The bytes that it vouches for. */
  readonly content: Buffer;
}

type MacDigest = 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** `rounds` per iteration: SHA-384 and SHA-512 take node-forge four times as long. */
const macDigests: Readonly<Record<string, { readonly digest: MacDigest; readonly rounds: number }>> = {
  '1.3.14.3.2.26': { digest: 'sha1', rounds: 1 },
  '2.16.840.1.101.3.4.2.1': { digest: 'sha256', rounds: 1 },
  '2.16.840.1.101.3.4.2.2': { digest: 'sha384', rounds: 4 },
  '2.16.840.1.101.3.4.2.3': { digest: 'sha512', rounds: 4 },
};

/** The old encryptions (RFC 7292 appendix C), each with its rounds per iteration: one or two for the key, one for the IV. */
const pkcs12Ciphers: Readonly<Record<string, number>> = {
  '1.2.840.113549.1.12.1.3': 3, // 3DES with three keys
  '1.2.840.113549.1.12.1.6': 2, // RC2, 40 bits
};

const PBES2 = '1.2.840.113549.1.5.13';
const PBKDF2 = '1.2.840.113549.1.5.12';
const PBMAC1 = '1.2.840.113549.1.5.14';

const pbes2Ciphers: Readonly<Record<string, { readonly cipher: string; readonly keyLength: number }>> = {
  '2.16.840.1.101.3.4.1.2': { cipher: 'aes-128-cbc', keyLength: 16 },
  '2.16.840.1.101.3.4.1.22': { cipher: 'aes-192-cbc', keyLength: 24 },
  '2.16.840.1.101.3.4.1.42': { cipher: 'aes-256-cbc', keyLength: 32 },
  '1.2.840.113549.3.7': { cipher: 'des-ede3-cbc', keyLength: 24 },
};

const HMAC_WITH_SHA1 = '1.2.840.113549.2.7';
const pbkdf2Digests: Readonly<Record<string, { readonly digest: string; readonly length: number }>> = {
  [HMAC_WITH_SHA1]: { digest: 'sha1', length: 20 },
  '1.2.840.113549.2.8': { digest: 'sha224', length: 28 },
  '1.2.840.113549.2.9': { digest: 'sha256', length: 32 },
  '1.2.840.113549.2.10': { digest: 'sha384', length: 48 },
  '1.2.840.113549.2.11': { digest: 'sha512', length: 64 },
};

/** What `algorithm` (an AlgorithmIdentifier) says of how this was encrypted. Throws KeyFault where that is not supported. */
export function readSealed(algorithm: Asn1 | undefined, ciphertext: Buffer): Sealed {
  const [identifier, parameters] = members(algorithm);
  const name = objectIdentifier(identifier);
  if (name === PBES2) {
    const { rounds, ...pbes2 } = readPbes2(parameters);
    return { encryption: { scheme: 'pbes2', parameters: pbes2 }, ciphertext, rounds };
  }
  const roundsEach = pkcs12Ciphers[name];
  if (roundsEach === undefined || algorithm === undefined) throw unsupported(name);
  const [salt, iterations] = members(parameters);
  readSalt(salt);
  const rounds = positiveInteger(iterations) * roundsEach;
  return { encryption: { scheme: 'pkcs12', algorithm }, ciphertext, rounds };
}

function readPbes2(parameters: Asn1 | undefined): Pbes2Parameters & { readonly rounds: number } {
  const [derivation, encryption] = members(parameters);
  const [derivationName, derivationParameters] = members(derivation);
  if (objectIdentifier(derivationName) !== PBKDF2) throw unsupported(objectIdentifier(derivationName));
  const [salt, count, ...optional] = members(derivationParameters);
  const [prf] = isInteger(optional[0]) ? optional.slice(1) : optional;
  const prfName = prf === undefined ? HMAC_WITH_SHA1 : objectIdentifier(members(prf)[0]);
  const hash = pbkdf2Digests[prfName];
  if (hash === undefined) throw unsupported(prfName);
  const [cipherName, iv] = members(encryption);
  const cipher = pbes2Ciphers[objectIdentifier(cipherName)];
  if (cipher === undefined) throw unsupported(objectIdentifier(cipherName));
  const iterations = positiveInteger(count);
  const rounds = iterations * Math.ceil(cipher.keyLength / hash.length);
  return { ...cipher, iv: octets(iv), digest: hash.digest, salt: readSalt(salt), iterations, rounds };
}

function unsupported(name: string): KeyFault {
  return new KeyFault(
    'key',
    `This PFX container is encrypted by an algorithm (${name}) that is not supported: PBES2 with AES or 3DES, and the old 3DES and RC2-40, are.`,
  );
}

/** Reads MacData (RFC 7292 §4). Throws KeyFault where the MAC is of a kind that is not supported. */
export function readMac(value: Asn1, content: Buffer): Mac {
  const [digestInfo, salt, iterations] = members(value);
  const [algorithm, digestValue] = members(digestInfo);
  const name = objectIdentifier(members(algorithm)[0]);
  if (name === PBMAC1)
    throw new KeyFault(
      'key',
      'The MAC of this PFX container is PBMAC1 (RFC 9579), which is not supported: export it again without, with an HMAC-SHA256.',
    );
  const hash = macDigests[name];
  if (hash === undefined)
    throw new KeyFault(
      'key',
      `The MAC of this PFX container is of a kind (${name}) that is not supported: HMAC with SHA-256, SHA-384, SHA-512 and the old SHA-1 are.`,
    );
  const count = iterations === undefined ? 1 : positiveInteger(iterations);
  return {
    digest: hash.digest,
    salt: readSalt(salt),
    iterations: count,
    rounds: count * hash.rounds,
    value: octets(digestValue),
    content,
  };
}

/** Real salts have 8 to 32 bytes; node-forge works long on a huge one. */
function readSalt(value: Asn1 | undefined): Buffer {
  const salt = octets(value);
  if (salt.length > 1024) throw new Asn1Fault('a huge salt');
  return salt;
}

/** The MAC as it is with this password. null: no password, which is not the same as an empty one (RFC 7292 §B.1). */
export function computeMac({ digest, salt, iterations, content }: Mac, password: string | null): Buffer {
  const hash = forge.md[digest].create();
  const saltBuffer = forge.util.createBuffer(salt.toString('latin1'));
  const key = forge.pkcs12.generateKey(password, saltBuffer, 3, iterations, hash.digestLength, hash);
  return createHmac(digest, Buffer.from(key.getBytes(), 'latin1')).update(content).digest();
}

/** Decrypts and reads what was encrypted. Throws some error or other where the password is another. */
export function openSealed({ encryption, ciphertext }: Sealed, password: string | null): Asn1 {
  if (encryption.scheme === 'pkcs12') return openOld(encryption.algorithm, ciphertext, password);
  const { cipher, keyLength, iv, digest, salt, iterations } = encryption.parameters;
  const key = pbkdf2Sync(password ?? '', salt, iterations, keyLength, digest);
  const decipher = createDecipheriv(cipher, key, iv);
  return readAsn1(Buffer.concat([decipher.update(ciphertext), decipher.final()]));
}

/** All that is encrypted in a container has the form of an encrypted private key, whatever it holds. */
function openOld(algorithm: Asn1, ciphertext: Buffer, password: string | null): Asn1 {
  const { create, Class, Type } = forge.asn1;
  const content = create(Class.UNIVERSAL, Type.OCTETSTRING, false, ciphertext.toString('latin1'));
  const encrypted = create(Class.UNIVERSAL, Type.SEQUENCE, true, [algorithm, content]);
  // The types leave out null; it comes to the same key derivation as in computeMac.
  const opened: Asn1 | null = forge.pki.decryptPrivateKeyInfo(encrypted, password as string);
  if (opened === null) throw new Error('padding');
  return opened;
}
