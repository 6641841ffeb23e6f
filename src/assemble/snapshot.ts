/** What the main thread knows of the service in use, for `status/`. Files are looked at when it is asked. */

import type { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { LoadedConfiguration } from '../config/load.ts';
import { authoritiesOf } from '../config/schema.ts';
import { expiryOf } from '../entitlements/admission.ts';
import { thumbprintId } from '../keys/key-ids.ts';
import { openSigningKey } from '../keys/signing-key.ts';
import { errorCode, explainError } from '../platform/errors.ts';
import { parseCertificates } from '../platform/pem.ts';
import type {
  AuthorityState,
  CertificateState,
  CertificateUse,
  EntitlementsState,
  KeyOnDisk,
  RevocationsState,
  SigningKeyState,
} from '../status/snapshot.ts';
import type { Service } from './assemble.ts';
import { fileState } from './files.ts';
import { metadataUrls } from './options.ts';

/** The certificates that a service was made of, each with the key that names its file. */
export function certificatesOf({
  loaded,
  contents,
  signingKey,
}: Pick<Service, 'loaded' | 'contents' | 'signingKey'>): readonly CertificateState[] {
  const { signing, server } = loaded.configuration;
  const state = (use: CertificateUse, key: string, file: string) => (certificate: X509Certificate) => ({
    use,
    key,
    file,
    subject: nameOf(certificate),
    endsAt: Date.parse(certificate.validTo) / 1000,
  });
  const inFile = (use: CertificateUse, key: string, path: string | undefined): CertificateState[] => {
    if (path === undefined) return [];
    const file = loaded.resolvePath(path);
    return readCertificates(contents.get(file)).map(state(use, key, file));
  };
  const signingKeyName =
    signing.certificatePath === undefined ? 'signing.keyPath' : 'signing.certificatePath';
  const signingFile = loaded.resolvePath(signing.certificatePath ?? signing.keyPath);
  return [
    ...signingKey.certificates.map(state('signing', signingKeyName, signingFile)),
    ...signing.additionalKeys.flatMap((path, index) =>
      inFile('additional-key', `signing.additionalKeys.${index}`, path),
    ),
    ...inFile('tls', 'server.tls.certPath', server.tls?.certPath),
    ...inFile('client-ca', 'server.tls.clientCaPath', server.tls?.clientCaPath),
    ...authoritiesOf(loaded.configuration).flatMap(({ path, settings }) =>
      inFile('authority-ca', [...path, 'caPath'].join('.'), settings.caPath),
    ),
  ];
}

/** An additional key may be no certificate. */
function readCertificates(bytes: Uint8Array | undefined): readonly X509Certificate[] {
  try {
    return parseCertificates(Buffer.from(bytes ?? []).toString());
  } catch {
    return [];
  }
}

/** The common name, else the whole subject in one line. */
function nameOf({ subject }: X509Certificate): string {
  return /^CN=(.+)$/m.exec(subject)?.[1] ?? subject.replaceAll('\n', ', ');
}

export function authorityStates({ loaded, authorityKeys }: Service, now: number): readonly AuthorityState[] {
  return authoritiesOf(loaded.configuration).map(({ name, path, settings }) => {
    const keys = authorityKeys.get(name);
    const lastFetch = keys?.lastFetch ?? null;
    return {
      name,
      key: path.join('.'),
      issuer: settings.issuer,
      source:
        settings.jwksPath === undefined
          ? { url: metadataUrls(settings)[0] }
          : { file: loaded.resolvePath(settings.jwksPath) },
      caFile: settings.caPath === undefined ? null : loaded.resolvePath(settings.caPath),
      fetchedAt: keys?.fetched?.fetchedAt ?? null,
      lastFetch,
      keysMaxAge: settings.keysMaxAge,
      failing: keys?.failing(now) ?? null,
      clockAhead: lastFetch?.clockAhead ?? null,
      clockSkew: settings.clockSkew,
    };
  });
}

export function revocationsState({ loaded }: Service, count: number): RevocationsState {
  const { revokedLicensesPath } = loaded.configuration;
  if (revokedLicensesPath === undefined) return { count, list: null };
  const file = loaded.resolvePath(revokedLicensesPath);
  return { count, list: { file, modifiedAt: modifiedAt(file) } };
}

/** null without a bundle. `serialFault`: why its serial is not kept. */
export function entitlementsState(
  { loaded, entitlements, newerRevocations }: Service,
  serialFault: string | null,
): EntitlementsState | null {
  const settings = loaded.configuration.entitlements;
  if (entitlements === null || settings === undefined) return null;
  const { file, serial, issuer, keyId, issuedAt, note, plans, revokedLicenses } = entitlements;
  return {
    file,
    serial,
    issuer,
    keyId,
    issuedAt,
    expiresAt: expiryOf(entitlements, settings.maxAge ?? null),
    onExpiry: settings.onExpiry,
    note,
    plans: plans.size,
    revokedLicenses: revokedLicenses.size,
    revocationsSerial: newerRevocations?.serial ?? null,
    serialFault,
  };
}

/** What the signing key is, and what its files hold now. `inUse` are the states of the files when they were read. */
export async function signingKeyState(
  { loaded, signingKey }: Service,
  inUse: ReadonlyMap<string, string>,
  now: number,
): Promise<SigningKeyState> {
  const { algorithm, keyId, thumbprint } = signingKey;
  const { signing } = loaded.configuration;
  const file = loaded.resolvePath(signing.keyPath);
  const certificate =
    signing.certificatePath === undefined ? null : loaded.resolvePath(signing.certificatePath);
  return {
    algorithm,
    keyId,
    thumbprint,
    file,
    onDisk: await Promise.all([
      // Opening a key may take long: a container's password is made costly to guess.
      inUse.get(file) === fileState(file)
        ? { file, thumbprint, fault: null }
        : readKey(file, () => thumbprintOfKey(file, loaded, now)),
      ...(certificate === null ? [] : [readKey(certificate, () => thumbprintOfCertificate(certificate))]),
    ]),
    rotation: rotationIn(dirname(certificate ?? file)),
  };
}

async function readKey(file: string, read: () => Promise<string>): Promise<KeyOnDisk> {
  try {
    return { file, thumbprint: await read(), fault: null };
  } catch (cause) {
    const isUnreadable = errorCode(cause, '') !== '';
    const fault = isUnreadable ? `cannot be read: ${explainError(cause, 'read')}` : 'cannot be used';
    return { file, thumbprint: null, fault };
  }
}

async function thumbprintOfKey(
  file: string,
  { configuration, resolvePath }: LoadedConfiguration,
  now: number,
): Promise<string> {
  const { signing } = configuration;
  const passwordFile = signing.keyPasswordPath;
  const password =
    signing.keyPassword ??
    (passwordFile === undefined
      ? null
      : (await Bun.file(resolvePath(passwordFile)).text()).replace(/\r?\n$/, ''));
  const key = Buffer.from(await Bun.file(file).arrayBuffer());
  return (await openSigningKey({ key, password, certificates: null, keyId: 'thumbprint' }, now)).thumbprint;
}

async function thumbprintOfCertificate(file: string): Promise<string> {
  const [leaf] = parseCertificates(await Bun.file(file).text());
  return thumbprintId(leaf.publicKey);
}

/** The files by which `keygen --rotate` and `--switch` hand over to the next step. */
function rotationIn(folder: string): SigningKeyState['rotation'] {
  const next = modifiedAt(join(folder, 'registry-signing-next.crt'));
  if (next !== null) return { folder, next: 'switch', since: next };
  const last = modifiedAt(join(folder, 'registry-signing-last.crt'));
  return last === null ? null : { folder, next: 'finish', since: last };
}

function modifiedAt(file: string): number | null {
  try {
    return statSync(file).mtimeMs / 1000;
  } catch {
    return null;
  }
}
