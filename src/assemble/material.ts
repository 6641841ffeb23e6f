/** The files that a configuration names, read and opened; what cannot be used is a mistake at the key that names it. */
import { readFileSync } from 'node:fs';
import type { AuthorityKeys } from '../authenticate/authority-keys.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import type { Mistake } from '../config/mistakes.ts';
import { createFileAuthorityKeys } from '../keys/file-authority-keys.ts';
import { KeyFault, openSigningKey, type SigningKey } from '../keys/signing-key.ts';

export interface Material {
  readonly signingKey: SigningKey;
  /** null where the Authority's keys come over HTTP. */
  readonly authorityKeys: AuthorityKeys | null;
  /** PEM; null for the system's certificate authorities. */
  readonly certificateAuthorities: string | null;
  /** null where none is configured. */
  readonly nonceSecret: Buffer | null;
}

/** Reads everything there is to read, and returns either all of it or every mistake. */
export async function readMaterial(
  loaded: LoadedConfiguration,
  now: number,
): Promise<{ readonly material: Material } | { readonly mistakes: readonly Mistake[] }> {
  const { signing, authority, senderConstraint } = loaded.configuration;
  const mistakes: Mistake[] = [];
  const read = (key: string, path: string | undefined): Buffer | null => {
    if (path === undefined) return null;
    const bytes = readBytes(loaded.resolvePath(path));
    if (Buffer.isBuffer(bytes)) return bytes;
    mistakes.push(loaded.mistakeAt(key, `${loaded.resolvePath(path)} ${bytes.fault}`));
    return null;
  };

  const key = read('signing.keyPath', signing.keyPath)?.toString() ?? null;
  const passwordFile = read('signing.keyPasswordPath', signing.keyPasswordPath)?.toString();
  const certificates = read('signing.certificatePath', signing.certificatePath)?.toString() ?? null;
  const jwks = read('authority.jwksPath', authority.jwksPath)?.toString() ?? null;
  const certificateAuthorities = read('authority.caPath', authority.caPath)?.toString() ?? null;
  if (certificateAuthorities !== null && !certificateAuthorities.includes('-----BEGIN CERTIFICATE-----'))
    mistakes.push(loaded.mistakeAt('authority.caPath', 'holds no PEM certificate'));

  const { nonceSecretPath } = senderConstraint.dpop;
  const nonceSecret = read('senderConstraint.dpop.nonceSecretPath', nonceSecretPath);
  if (nonceSecret !== null && nonceSecret.length < 32)
    mistakes.push(
      loaded.mistakeAt(
        'senderConstraint.dpop.nonceSecretPath',
        'holds less than 32 bytes: openssl rand -out nonce.key 32',
      ),
    );

  let signingKey: SigningKey | null = null;
  if (key !== null) {
    const password = signing.keyPassword ?? passwordFile?.replace(/\r?\n$/, '') ?? null;
    try {
      signingKey = await openSigningKey({ key, password, certificates, keyId: signing.keyId }, now);
    } catch (cause) {
      if (!(cause instanceof KeyFault)) throw cause;
      mistakes.push(
        loaded.mistakeAt(
          cause.source === 'key' ? 'signing.keyPath' : 'signing.certificatePath',
          cause.message,
        ),
      );
    }
  }
  let authorityKeys: AuthorityKeys | null = null;
  if (jwks !== null) {
    try {
      authorityKeys = createFileAuthorityKeys(jwks);
    } catch (cause) {
      const fault = cause instanceof Error ? cause.message : 'It cannot be used.';
      mistakes.push(loaded.mistakeAt('authority.jwksPath', fault));
    }
  }
  if (mistakes.length > 0 || signingKey === null) return { mistakes };
  return { material: { signingKey, authorityKeys, certificateAuthorities, nonceSecret } };
}

const MAX_BYTES = 16 * 1024 * 1024;

function readBytes(path: string): Buffer | { readonly fault: string } {
  try {
    const bytes = readFileSync(path);
    return bytes.length > MAX_BYTES ? { fault: `is larger than ${MAX_BYTES} bytes` } : bytes;
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown fault';
    return { fault: `cannot be read (${code})` };
  }
}
