/** Whether a registry that was given these files verifies what the signing key signs, and whether it can read them. */

import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { type Stats, statSync } from 'node:fs';
import { libtrustId, thumbprintId } from '../keys/key-ids.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import { holdsCertificate, parseCertificates } from '../platform/pem.ts';
import { readSmallFile } from './registry-file.ts';

/** What a file for the registry's trust holds, or why that cannot be told from here. */
export type TrustFile<Content> =
  | { readonly content: Content; readonly mode: Stats }
  | { readonly unreadable: string }
  | { readonly fault: string };

export interface Bundle {
  readonly certificates: readonly X509Certificate[];
  readonly hasPrivateKey: boolean;
}

export interface KeySet {
  readonly keys: ReadonlyMap<string, KeyObject>;
  readonly hasPrivateKey: boolean;
}

/** A `rootcertbundle`: every certificate in it must be one, or the registry does not start. */
export function readBundle(path: string): TrustFile<Bundle> {
  return readTrustFile(path, (text) => {
    const certificates = holdsCertificate(text) ? parseCertificates(text) : [];
    return { certificates, hasPrivateKey: /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text) };
  });
}

/** A `jwks` of registry 3.x: the keys by their `kid`. */
export function readKeySet(path: string): TrustFile<KeySet> {
  return readTrustFile(path, (text) => {
    const { keys } = JSON.parse(text) as { keys: Record<string, string>[] };
    const entries = keys.map((key): [string, KeyObject] => [
      typeof key.kid === 'string' ? key.kid : '',
      createPublicKey({ key, format: 'jwk' }),
    ]);
    return { keys: new Map(entries), hasPrivateKey: keys.some((key) => 'd' in key || 'k' in key) };
  });
}

function readTrustFile<Content>(path: string, parse: (text: string) => Content): TrustFile<Content> {
  const read = readSmallFile(path);
  if ('fault' in read) return { unreadable: read.fault };
  try {
    return { content: parse(read.text), mode: statSync(path) };
  } catch {
    return { fault: 'cannot be parsed' };
  }
}

/**
 * Whether distribution verifies what the key signs: by x5c where tokens carry it, else by kid. `now` in epoch seconds.
 * A certificate that is sent is looked up in the bundle only, and nothing is tried after it.
 */
export async function distributionTrusts(
  key: SigningKey,
  roots: readonly X509Certificate[],
  keySet: ReadonlyMap<string, KeyObject>,
  now: number,
): Promise<boolean> {
  const last = key.certificates.at(-1);
  if (last !== undefined)
    return roots.some(
      (root) =>
        key.certificates.some(({ fingerprint256 }) => fingerprint256 === root.fingerprint256) ||
        (last.checkIssued(root) && last.verify(root.publicKey) && Date.parse(root.validTo) / 1000 > now),
    );
  const byKid = keySet.get(key.keyId);
  if (byKid !== undefined) return isSameKey(byKid, key);
  const ids = await Promise.all(
    roots.map(async ({ publicKey }) => [libtrustId(publicKey), await thumbprintId(publicKey)]),
  );
  return ids.flat().includes(key.keyId);
}

/** zot reads one certificate or public key, and looks at neither x5c nor kid. */
export function readVerificationKey(path: string): TrustFile<KeyObject> {
  return readTrustFile(path, (text) =>
    holdsCertificate(text) ? new X509Certificate(text).publicKey : createPublicKey(text),
  );
}

export function isSameKey(publicKey: KeyObject, { publicJwk }: SigningKey): boolean {
  const { kty, crv, x, y, n, e } = publicKey.export({ format: 'jwk' });
  const own = publicJwk;
  return kty === own.kty && crv === own.crv && x === own.x && y === own.y && n === own.n && e === own.e;
}
