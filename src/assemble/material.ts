/** The keys, certificates, secrets and lists that a configuration names, opened and checked. */
import { dirname, resolve } from 'node:path';
import { readRevocationList } from '../authorize/revoked-licenses.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { withoutByteOrderMark } from '../document/text.ts';
import type { Bundle } from '../entitlements/bundle.ts';
import type { SeenSerials } from '../entitlements/seen-serials.ts';
import { KeyFault } from '../keys/key-algorithm.ts';
import { openPublicKeys, openSigningKey, type PublicKey, type SigningKey } from '../keys/signing-key.ts';
import { findTlsFaults, type TlsMaterial } from '../keys/tls-material.ts';
import { createPauses } from '../platform/pauses.ts';
import { shellWord } from '../platform/quoting.ts';
import { type BundleInForce, openBundle } from './entitlements.ts';
import type { FileReader } from './files.ts';

export interface Material {
  readonly signingKey: SigningKey;
  /** What `/.well-known/jwks.json` holds beside the signing key: the next key, or the last. */
  readonly additionalKeys: readonly PublicKey[];
  /** null where none is configured. */
  readonly nonceSecret: Buffer | null;
  /** Those of `revokedLicensesPath`. */
  readonly revokedLicenses: ReadonlySet<string>;
  /** null where there is none. */
  readonly entitlements: Bundle | null;
  /** null where the service speaks plain HTTP. */
  readonly tls: TlsMaterial | null;
}

/** The list of revoked licences in force, and the files that it was made of. */
export interface ListInForce {
  readonly contents: ReadonlyMap<string, Uint8Array>;
  readonly listedLicenses: ReadonlySet<string>;
}

export interface MaterialOptions {
  /** When keys, certificates and the bundle are judged, in epoch seconds. */
  readonly now: number;
  readonly before?: (ListInForce & BundleInForce) | null;
  /** null where the bundle was judged before. */
  readonly seen: SeenSerials | null;
}

/** The licences that are revoked beside those of the configuration itself. */
export function revokedSets({
  revokedLicenses,
  entitlements,
}: Pick<Material, 'revokedLicenses' | 'entitlements'>): readonly ReadonlySet<string>[] {
  return entitlements === null ? [revokedLicenses] : [revokedLicenses, entitlements.revokedLicenses];
}

/** Opens everything there is to open. `files` collects what cannot be used; null if no key can sign. */
export async function openMaterial(
  loaded: LoadedConfiguration,
  files: FileReader,
  { now, before = null, seen }: MaterialOptions,
): Promise<Material | null> {
  const nonceSecret = readNonceSecret(loaded, files);
  checkRedisFiles(loaded, files);
  const revokedLicenses = await openRevokedLicenses(loaded, files, before);
  const entitlements = await openBundle(loaded, files, { now, seen, before, pause: createPauses() });
  const publicKeys = await openAdditionalKeys(loaded, files);
  const tls = readTlsMaterial(loaded, files, now);
  const signingKey = await readSigningKey(loaded, files, now);
  if (signingKey === null) return null;
  const additionalKeys = withoutRepeats(publicKeys, signingKey);
  return { signingKey, additionalKeys, nonceSecret, revokedLicenses, entitlements, tls };
}

async function readSigningKey(
  { configuration: { signing }, file }: LoadedConfiguration,
  files: FileReader,
  now: number,
): Promise<SigningKey | null> {
  const key = files.read('signing.keyPath', signing.keyPath, (keyFile) => howToMakeKey(keyFile, file));
  const passwordFile = files.readText('signing.keyPasswordPath', signing.keyPasswordPath);
  const certificates = files.readText('signing.certificatePath', signing.certificatePath);
  if (key === null) return null;
  const password = signing.keyPassword ?? passwordFile?.replace(/\r?\n$/, '') ?? null;
  try {
    const material = { key: withoutByteOrderMark(key), password, certificates, keyId: signing.keyId };
    return await openSigningKey(material, now);
  } catch (cause) {
    if (!(cause instanceof KeyFault)) throw cause;
    files.report(cause.source === 'key' ? 'signing.keyPath' : 'signing.certificatePath', cause.message);
    return null;
  }
}

/** A credential of systemd is a copy: the key itself is made beside the configuration. */
function howToMakeKey(keyFile: string, configurationFile: string): string {
  const isCredential = keyFile.startsWith('/run/credentials/');
  const directory = dirname(isCredential ? resolve(configurationFile) : keyFile);
  return `no signing key: run registry-token keygen --out ${shellWord(directory)}`;
}

async function openAdditionalKeys(
  { configuration: { signing } }: LoadedConfiguration,
  files: FileReader,
): Promise<PublicKey[]> {
  const keys: PublicKey[] = [];
  for (const [index, path] of signing.additionalKeys.entries()) {
    const pem = files.readText(`signing.additionalKeys.${index}`, path);
    if (pem === null) continue;
    try {
      keys.push(...(await openPublicKeys(pem, signing.keyId)));
    } catch (cause) {
      if (!(cause instanceof KeyFault)) throw cause;
      files.report(`signing.additionalKeys.${index}`, cause.message);
    }
  }
  return keys;
}

/** A bundle may hold the signing key too: it is published once. */
function withoutRepeats(keys: readonly PublicKey[], signingKey: SigningKey): PublicKey[] {
  const others = new Map(keys.map((key) => [key.thumbprint, key]));
  others.delete(signingKey.thumbprint);
  return [...others.values()];
}

const tlsKeys = {
  certificates: 'server.tls.certPath',
  key: 'server.tls.keyPath',
  clientAuthorities: 'server.tls.clientCaPath',
} as const satisfies Record<keyof TlsMaterial, string>;

function readTlsMaterial(
  { configuration }: LoadedConfiguration,
  files: FileReader,
  now: number,
): TlsMaterial | null {
  const { tls } = configuration.server;
  if (tls === undefined) return null;
  const certificates = files.readText(tlsKeys.certificates, tls.certPath);
  const key = files.readText(tlsKeys.key, tls.keyPath);
  const clientAuthorities = files.readText(tlsKeys.clientAuthorities, tls.clientCaPath);
  for (const { source, message } of findTlsFaults({ certificates, key, clientAuthorities }, now))
    files.report(tlsKeys[source], message);
  return certificates === null || key === null ? null : { certificates, key, clientAuthorities };
}

function readNonceSecret({ configuration }: LoadedConfiguration, files: FileReader): Buffer | null {
  const key = 'senderConstraint.dpop.nonceSecretPath';
  const secret = files.read(key, configuration.senderConstraint.dpop.nonceSecretPath);
  if (secret !== null && secret.length < 32)
    files.report(key, 'has fewer than 32 bytes; create it with openssl rand -out nonce.key 32');
  return secret;
}

/** The replay store reads them again at each connection. */
function checkRedisFiles({ configuration }: LoadedConfiguration, files: FileReader): void {
  const { passwordPath, caPath } = configuration.senderConstraint.replay;
  const password = files.readText('senderConstraint.replay.passwordPath', passwordPath);
  if (password !== null && password.trim() === '')
    files.report('senderConstraint.replay.passwordPath', 'the file holds no password');
  files.read('senderConstraint.replay.caPath', caPath);
}

/**
 * The licences of `revokedLicensesPath`: those of the list in force where the file has not changed. Anything in it that is not
 * a licence is a mistake, for it would revoke nothing, and so is a list that is empty and was not. Requests are answered while
 * a long list is read.
 */
export async function openRevokedLicenses(
  loaded: LoadedConfiguration,
  files: FileReader,
  before: ListInForce | null = null,
): Promise<ReadonlySet<string>> {
  const { configuration } = loaded;
  const key = 'revokedLicensesPath';
  const path = configuration.revokedLicensesPath;
  const text = files.readText(key, path);
  if (text === null || path === undefined) return new Set();
  const file = loaded.resolvePath(path);
  const [bytes, former] = [files.snapshot.contents.get(file), before?.contents.get(file)];
  if (before !== null && bytes !== undefined && former !== undefined && Buffer.compare(bytes, former) === 0)
    return before.listedLicenses;
  const list = await readRevocationList(text, () => new Promise((resolve) => setImmediate(resolve)));
  for (const fault of list.faults) files.reportInside(key, path, fault);
  const listedBefore = before?.listedLicenses.size ?? 0;
  if (list.licenses.size === 0 && listedBefore > 0 && !list.saysEmpty && list.faults.length === 0)
    files.reportInside(key, path, {
      line: 1,
      column: 1,
      message: `is empty but had ${listedBefore} licences; if that is intended, write a line "# empty"`,
    });
  return list.licenses;
}
