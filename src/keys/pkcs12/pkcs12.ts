/**
 * Opens a PKCS#12 container (RFC 7292), a PFX or .p12 file: the private key in it and the certificates that belong to
 * that key. node-forge reads it; its own `pkcs12FromAsn1` is not used, because that one takes a container without MAC,
 * derives keys for as many iterations as the file asks for, and writes certificates anew rather than hand out their bytes.
 *
 * Loaded only where there is a container to open (`await import`): node-forge is large.
 */
import { createPrivateKey, type KeyObject, timingSafeEqual, X509Certificate } from 'node:crypto';
import { KeyFault } from '../key-algorithm.ts';
import { type Asn1, writeDer } from './asn1-values.ts';
import { computeMac, type Mac, openSealed, type Sealed } from './encryption.ts';
import { type Bag, readBags, readPfx } from './structure.ts';

export interface Pkcs12Contents {
  readonly privateKey: KeyObject;
  /** The key's own first, then its chain in order; empty where the container has no certificate. */
  readonly certificates: readonly X509Certificate[];
}

const MAX_BYTES = 1024 * 1024;

/** Of all key derivations together: some seconds. Tools ask for 2,048 to 100,000 for each of three. */
const MAX_ROUNDS = 1_000_000;

/** With the leaf. */
const MAX_CHAIN = 10;

/**
 * `password`: null where none is configured. Throws KeyFault and nothing else. Whether the certificates are still
 * valid, and whether anyone trusts them, is not checked.
 */
export function openPkcs12(bytes: Buffer, password: string | null): Pkcs12Contents {
  if (bytes.length > MAX_BYTES) throw fault(`This PFX container is larger than ${MAX_BYTES} bytes.`);
  try {
    return open(bytes, password);
  } catch (cause) {
    if (cause instanceof KeyFault) throw cause;
    throw fault('This PFX container is damaged or incomplete.');
  }
}

function open(bytes: Buffer, configuredPassword: string | null): Pkcs12Contents {
  const { mac, safes } = readPfx(bytes);
  const rounds = mac.rounds + sumOf(safes, (safe) => roundsOf('sealed' in safe ? [safe] : safe.bags));
  checkRounds(rounds);
  const password = checkMac(mac, configuredPassword);
  const sealedBags: Bag[] = [];
  const bags = safes.flatMap((safe) => {
    if ('bags' in safe) return safe.bags;
    const inside = readBags(unseal(safe.sealed, password));
    sealedBags.push(...inside);
    return inside;
  });
  // A key may be encrypted once more among bags that are encrypted together.
  checkRounds(rounds + roundsOf(sealedBags));
  const privateKey = readPrivateKey(bags, password);
  return { privateKey, certificates: findChain(bags, privateKey) };
}

function checkRounds(rounds: number): void {
  if (rounds > MAX_ROUNDS)
    throw fault(
      `This PFX container asks for more than ${MAX_ROUNDS} rounds of key derivation, which takes too long: export it again with fewer iterations.`,
    );
}

function roundsOf(parts: readonly ({ readonly sealed: Sealed } | Bag)[]): number {
  return sumOf(parts, (part) => ('sealed' in part ? part.sealed.rounds : 0));
}

function sumOf<Value>(values: readonly Value[], count: (value: Value) => number): number {
  return values.reduce((sum, value) => sum + count(value), 0);
}

/** Returns the password in the form that the container was made with. */
function checkMac(mac: Mac, password: string | null): string | null {
  // "No password" has two forms, and programs disagree about them.
  const candidates = password === null || password === '' ? ['', null] : [password];
  for (const candidate of candidates) {
    const computed = computeMac(mac, candidate);
    if (computed.length === mac.value.length && timingSafeEqual(computed, mac.value)) return candidate;
  }
  throw fault(
    password === null
      ? 'This PFX container is protected by a password, and neither signing.keyPassword nor signing.keyPasswordPath is set.'
      : 'The password does not open this PFX container, or the container was altered.',
  );
}

function unseal(sealed: Sealed, password: string | null): Asn1 {
  try {
    return openSealed(sealed, password);
  } catch {
    throw fault(
      'The password is correct for the MAC of this PFX container, but does not decrypt its content: one password must do both.',
    );
  }
}

function readPrivateKey(bags: readonly Bag[], password: string | null): KeyObject {
  const keys = bags.filter((bag) => bag.kind !== 'certificate');
  const [bag] = keys;
  if (bag === undefined) throw fault('This PFX container holds no private key.');
  if (keys.length > 1)
    throw fault(
      `This PFX container holds ${keys.length} private keys, and it is unclear which one signs: export it again with one.`,
    );
  const der = bag.kind === 'key' ? bag.der : writeDer(unseal(bag.sealed, password));
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } catch {
    throw fault('The private key in this PFX container cannot be used: use RSA, P-256, P-384 or Ed25519.');
  }
}

/** The certificates that lead from the key's own towards a root; others in the container are passed over. */
function findChain(bags: readonly Bag[], privateKey: KeyObject): X509Certificate[] {
  const certificates = bags
    .filter((bag) => bag.kind === 'certificate')
    .map(({ der }) => parseCertificate(der));
  if (certificates.length === 0) return [];
  // A renewed certificate may stand beside the one that it replaces: the one that lasts longest is of use.
  const [leaf] = certificates
    .filter((certificate) => certificate.checkPrivateKey(privateKey))
    .sort((one, other) => Date.parse(other.validTo) - Date.parse(one.validTo));
  if (leaf === undefined)
    throw fault('No certificate in this PFX container belongs to the private key in it.');
  const chain = [leaf];
  for (let last = leaf; chain.length < MAX_CHAIN && !isIssuedBy(last, last); ) {
    const issuer = certificates.find((one) => !chain.includes(one) && isIssuedBy(last, one));
    if (issuer === undefined) break;
    chain.push(issuer);
    last = issuer;
  }
  return chain;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function parseCertificate(der: Buffer): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch {
    throw fault('A certificate in this PFX container cannot be read.');
  }
}

function fault(message: string): KeyFault {
  return new KeyFault('key', message);
}
