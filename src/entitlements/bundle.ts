/**
 * The vendor's plans and revoked licences for sites without a line to the vendor: one signed file, the bundle. This file reads
 * a bundle and proves that it is whole and the vendor's. Whether it may come into force here and now is in `admission.ts`,
 * what it replaces in `in-force.ts`.
 *
 * A bundle is a compact JWS (RFC 7515): its header has `typ`, `alg` and `kid` and nothing else, and its payload is the
 * JSON object of `payload.ts`.
 */
import { isUtf8 } from 'node:buffer';
import { createHash, createVerify, verify } from 'node:crypto';
import { isJsonObject, type JsonObject } from '../authenticate/compact-jws.ts';
import { createSignatureKey, type SignatureKey } from '../authenticate/jws-signature.ts';
import type { AuthorityKeySet } from '../authority/key-set.ts';
import { parseJsonDocument } from '../document/json-document.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { decodeText } from '../document/text.ts';
import { excerpt, found } from '../platform/escape.ts';
import type { PauseIfDue } from '../platform/pauses.ts';
import { type Payload, readPayload } from './payload.ts';

export const BUNDLE_TYPE = 'registry-entitlements+jwt';
export const MOST_BUNDLE_BYTES = 64 * 1024 * 1024;
const MOST_HEADER_BYTES = 4096;
const HEADER_MEMBERS: readonly string[] = ['typ', 'alg', 'kid'];
/** What is hashed at once, in bytes: less than half a millisecond. */
const HASHED_AT_ONCE = 256 * 1024;
/** NIST SP 800-131A: shorter RSA keys do not sign. */
const FEWEST_RSA_BITS = 2048;

/** A bundle whose signature and content were verified. */
export interface Bundle extends Payload {
  /** Where it was read. */
  readonly file: string;
  /** Who signed it: a key of `entitlements.keysPath`. */
  readonly keyId: string;
  readonly algorithm: string;
  /** SHA-256 of the payload, hex: two bundles with the same hash say the same, whichever key signed them. */
  readonly contentHash: string;
}

/**
 * Reads a bundle and verifies its signature with one of `keys`, the cheapest checks first. Not checked here: for which site it
 * is, its times, and its serial. Throws ConfigurationFault with every mistake; those of the payload have a JSON pointer (RFC 6901).
 */
export async function readBundle(
  bytes: Uint8Array,
  file: string,
  keys: AuthorityKeySet,
  pause: PauseIfDue,
): Promise<Bundle> {
  const refuse = (message: string) => bundleFault(file, message);
  if (bytes.length > MOST_BUNDLE_BYTES)
    throw refuse(`has ${bytes.length} bytes; at most ${MOST_BUNDLE_BYTES} are read`);
  const text = withoutLineEnd(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  const headerEnd = text.indexOf('.');
  const payloadEnd = text.lastIndexOf('.');
  if (headerEnd === -1 || payloadEnd === headerEnd || text.indexOf('.', headerEnd + 1) !== payloadEnd)
    throw refuse(`is not a bundle: a signed bundle has three parts with dots between them${CUT}`);
  if (headerEnd > MOST_HEADER_BYTES) throw refuse('is not a bundle: its header is too long');
  const decode = async (from: number, to: number): Promise<Buffer> => {
    const decoded = await decodeBase64url(text.subarray(from, to), pause);
    if (decoded === null) throw refuse(`is not a bundle: a part of it is not base64url${CUT}`);
    return decoded;
  };
  const { algorithm, keyId } = readHeader(await decode(0, headerEnd), refuse);
  const candidates = await keys.find(algorithm, keyId);
  if (candidates.length === 0)
    throw refuse(
      `is signed with ${excerpt(algorithm, 40)} by the key ${found(keyId)}; entitlements.keysPath has no such key for signatures, but ${keys.describe()}`,
    );
  const signature = await decode(payloadEnd + 1, text.length);
  const signed = text.subarray(0, payloadEnd);
  let isVerified = false;
  for (const candidate of candidates) {
    const key = createSignatureKey(candidate, algorithm);
    if (key !== null && isLongEnough(key)) isVerified ||= await isSigned(signed, signature, key, pause);
  }
  if (!isVerified)
    throw refuse(
      `has a signature that does not verify with the key ${found(keyId)}: it was altered, or is not whole`,
    );
  const payload = await decode(headerEnd + 1, payloadEnd);
  const contentHash = await hashOf(payload, pause);
  if (!isUtf8(payload)) throw refuse('has a payload that is not UTF-8');
  const read = await readPayload(payload.toString('utf8'), file, pause);
  return { ...read, file, keyId, algorithm, contentHash };
}

/** A multiple of four characters. */
const DECODED_AT_ONCE = 128 * 1024;

/**
 * Strict (RFC 7515 §2, RFC 4648 §3.5): no padding, no other character, no bit beyond the last byte. null for anything else, and for
 * nothing.
 */
async function decodeBase64url(encoded: Buffer, pause: PauseIfDue): Promise<Buffer | null> {
  const decoded = Buffer.allocUnsafe(Math.floor((encoded.length * 3) / 4));
  let length = 0;
  for (let from = 0; from < encoded.length; from += DECODED_AT_ONCE) {
    const piece = encoded.toString('latin1', from, Math.min(from + DECODED_AT_ONCE, encoded.length));
    const bytes = Buffer.from(piece, 'base64url');
    if (bytes.toString('base64url') !== piece) return null;
    length += bytes.copy(decoded, length);
    await pause();
  }
  return length === 0 ? null : decoded.subarray(0, length);
}

const CUT = '; is the file whole?';

export function bundleFault(file: string, ...messages: readonly string[]): ConfigurationFault {
  return new ConfigurationFault(
    messages.map((message) => ({ source: file, line: null, column: null, key: '', message })),
  );
}

/** An editor, or `echo`, may have put one at the end. */
function withoutLineEnd(text: Buffer): Buffer {
  if (text.at(-1) !== 0x0a) return text;
  return text.subarray(0, text.at(-2) === 0x0d ? -2 : -1);
}

function readHeader(
  bytes: Buffer,
  refuse: (message: string) => ConfigurationFault,
): { readonly algorithm: string; readonly keyId: string } {
  const header = parseHeader(bytes, refuse);
  const unknown = Object.keys(header).filter((name) => !HEADER_MEMBERS.includes(name));
  if (unknown.length > 0)
    throw refuse(
      `has ${unknown.map((name) => found(name)).join(', ')} in its header; a header holds ${HEADER_MEMBERS.join(', ')} and nothing else`,
    );
  const { typ, alg, kid } = header;
  if (typ !== BUNDLE_TYPE) throw refuse(`is not a bundle: its typ is ${found(typ)}, not ${BUNDLE_TYPE}`);
  if (typeof alg !== 'string' || typeof kid !== 'string' || kid === '')
    throw refuse(`has a header without a signature algorithm or a key: alg ${found(alg)}, kid ${found(kid)}`);
  return { algorithm: alg, keyId: kid };
}

function parseHeader(bytes: Buffer, refuse: (message: string) => ConfigurationFault): JsonObject {
  let value: unknown;
  try {
    ({ value } = parseJsonDocument(decodeText(bytes, ''), ''));
  } catch (cause) {
    if (!(cause instanceof ConfigurationFault)) throw cause;
    throw refuse('is not a bundle: its header is not JSON, or has a member twice');
  }
  if (!isJsonObject(value)) throw refuse('is not a bundle: its header is not a JSON object');
  return value;
}

function isLongEnough({ input: { key } }: SignatureKey): boolean {
  const { modulusLength = FEWEST_RSA_BITS } = (key as KeyDetails).asymmetricKeyDetails ?? {};
  return modulusLength >= FEWEST_RSA_BITS;
}

interface KeyDetails {
  readonly asymmetricKeyDetails?: { readonly modulusLength?: number };
}

async function isSigned(
  signed: Buffer,
  signature: Buffer,
  { digest, input }: SignatureKey,
  pause: PauseIfDue,
): Promise<boolean> {
  try {
    // Ed25519 has no digest that could be made in pieces.
    if (digest === null) return verify(null, signed, input, signature);
    const verifying = createVerify(digest);
    for (const piece of piecesOf(signed)) {
      verifying.update(piece);
      await pause();
    }
    return verifying.verify(input, signature);
  } catch {
    // A signature that cannot be parsed.
    return false;
  }
}

async function hashOf(bytes: Buffer, pause: PauseIfDue): Promise<string> {
  const hash = createHash('sha256');
  for (const piece of piecesOf(bytes)) {
    hash.update(piece);
    await pause();
  }
  return hash.digest('hex');
}

function* piecesOf(bytes: Buffer): Generator<Buffer, void> {
  for (let from = 0; from < bytes.length; from += HASHED_AT_ONCE)
    yield bytes.subarray(from, from + HASHED_AT_ONCE);
}
