/** DPoP on the client's side (RFC 9449): the key, read from a file or created, and the proofs made with it. */
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  randomUUID,
} from 'node:crypto';
import { linkSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { CompactSign, calculateJwkThumbprint, type JWK } from 'jose';
import { errorCode, explainError } from '../platform/errors.ts';
import { PemFault, parsePrivateKeyOrJwk } from '../platform/pem.ts';
import { ClientFault } from './client-fault.ts';

export type DpopAlgorithm = 'ES256' | 'EdDSA' | 'RS256';

export interface DpopKey {
  readonly algorithm: DpopAlgorithm;
  readonly privateKey: CryptoKey;
  /** Public members only. */
  readonly publicJwk: JWK;
  /** RFC 7638, SHA-256: the `cnf.jkt` of access tokens that are bound to this key. */
  readonly thumbprint: string;
}

/** Creates a P-256 key that is kept in memory only. */
export function generateDpopKey(): Promise<DpopKey> {
  return toDpopKey(generatePrivateKey(), 'the new key');
}

export interface DpopKeyOptions {
  readonly mustExist?: boolean;
  readonly mustBeOwn?: boolean;
  readonly warn?: (warning: string) => void;
}

/**
 * Reads the key in a PEM or JWK file. Unless it must exist, a file that does not is created with a P-256 key, readable by its
 * owner alone (0600): as a JWK if its name ends in .jwk or .json, else as PKCS#8. Warns of a file that others can read. With
 * `mustBeOwn`, a file of another user than this one and root is refused. Throws ClientFault.
 */
export async function openDpopKey(
  path: string,
  { mustExist = false, mustBeOwn = false, warn = () => {} }: DpopKeyOptions = {},
): Promise<{ readonly key: DpopKey; readonly isNew: boolean }> {
  const found = readKeyFile(path);
  if (found === null && mustExist) throw new ClientFault(`the DPoP key ${path} does not exist`);
  const isNew = found === null && create(path);
  const text = found ?? readKeyFile(path);
  if (text === null)
    throw new ClientFault(
      `the DPoP key ${path} is a link to a file that does not exist, or was just removed`,
    );
  const { mode, uid } = statSync(path);
  if (mustBeOwn && uid !== userInfo().uid && uid !== 0)
    throw new ClientFault(
      `the DPoP key ${path} belongs to the user ${uid}, who could use what is bound to it`,
    );
  if ((mode & 0o077) !== 0)
    warn(
      `the DPoP key ${path} can be read by other users (mode ${(mode & 0o777).toString(8)}); chmod 600 it`,
    );
  return { key: await parseDpopKey(text, path), isNew };
}

/** Reads a private key: PKCS#8, SEC1 or PKCS#1 in PEM, or one JWK. `from` names it in the fault. Throws ClientFault. */
export async function parseDpopKey(text: string, from: string): Promise<DpopKey> {
  let privateKey: KeyObject;
  try {
    ({ privateKey } = parsePrivateKeyOrJwk(text));
  } catch (cause) {
    if (!(cause instanceof PemFault)) throw cause;
    throw new ClientFault(`${from} ${cause.message}; name a file that does not exist to create a key there`);
  }
  return toDpopKey(privateKey, from);
}

async function toDpopKey(key: KeyObject, from: string): Promise<DpopKey> {
  const algorithm = algorithmOf(key, from);
  const publicJwk = createPublicKey(key).export({ format: 'jwk' }) as JWK;
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' });
  return {
    algorithm,
    privateKey: await crypto.subtle.importKey('pkcs8', pkcs8, webCryptoAlgorithms[algorithm], false, [
      'sign',
    ]),
    publicJwk,
    thumbprint: await calculateJwkThumbprint(publicJwk),
  };
}

const webCryptoAlgorithms = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  EdDSA: { name: 'Ed25519' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
} as const satisfies Record<DpopAlgorithm, unknown>;

function algorithmOf(key: KeyObject, from: string): DpopAlgorithm {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'ec':
      if (namedCurve === 'prime256v1') return 'ES256';
      throw new ClientFault(`${from} holds a key on the curve ${namedCurve}; use P-256`);
    case 'ed25519':
      return 'EdDSA';
    case 'rsa':
      if ((modulusLength ?? 0) >= 2048) return 'RS256';
      throw new ClientFault(`${from} holds an RSA key of ${modulusLength} bits; at least 2048 are needed`);
    default:
      throw new ClientFault(
        `${from} holds a key of type ${key.asymmetricKeyType}; use P-256, Ed25519 or RSA`,
      );
  }
}

function generatePrivateKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** null if there is no file. */
function readKeyFile(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return null;
    throw new ClientFault(`cannot read the DPoP key from ${path}: ${explainError(cause, 'read')}`);
  }
}

/**
 * Creates the key file; false if another process was faster. The complete file is linked to its name, so that two
 * clients that start at once never read half a key, and use the same one.
 */
function create(path: string): boolean {
  const key = generatePrivateKey();
  const text = /\.(?:jwk|json)$/i.test(path)
    ? `${JSON.stringify(key.export({ format: 'jwk' }))}\n`
    : key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(draft, text, { flag: 'wx', mode: 0o600 });
    linkSync(draft, path);
    return true;
  } catch (cause) {
    if (errorCode(cause) === 'EEXIST') return false;
    throw new ClientFault(`cannot write the DPoP key to ${path}: ${explainError(cause, 'write')}`);
  } finally {
    rmSync(draft, { force: true });
  }
}

export interface ProofSubject {
  /** The method of the request, case included. */
  readonly method: string;
  /** The URL of the request; its query and fragment are left out of the proof. */
  readonly url: string;
  /** The access token that comes with the request; null at the Authority's token endpoint, where there is none. */
  readonly accessToken: string | null;
  /** From the server's `DPoP-Nonce`; null if it sent none. */
  readonly nonce: string | null;
}

/** Makes one proof, valid for one request. `now` in epoch seconds. Throws ClientFault if the URL is none. */
export async function makeDpopProof(
  key: DpopKey,
  { method, url, accessToken, nonce }: ProofSubject,
  now: number,
): Promise<string> {
  const header = { typ: 'dpop+jwt', alg: key.algorithm, jwk: key.publicJwk };
  const claims = {
    jti: randomUUID(),
    htm: method,
    htu: proofTarget(url),
    iat: Math.floor(now),
    ...(accessToken === null ? {} : { ath: createHash('sha256').update(accessToken).digest('base64url') }),
    ...(nonce === null ? {} : { nonce }),
  };
  return new CompactSign(Buffer.from(JSON.stringify(claims))).setProtectedHeader(header).sign(key.privateKey);
}

/** The `htu` for a URL: without query and fragment. Throws ClientFault if it is no http or https URL. */
export function proofTarget(text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
    throw new ClientFault('the URL of a proof must be http or https, without user name and password');
  return `${url.origin}${url.pathname}`;
}
