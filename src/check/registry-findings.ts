/** A registry's own configuration held against ours: what makes it answer "token signed by untrusted key", and the like. */

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { normalizeUrl } from '../authenticate/url.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { libtrustId, thumbprintId } from '../keys/key-ids.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import type { Finding } from './finding.ts';

interface TokenAuth {
  readonly realm?: unknown;
  readonly service?: unknown;
  readonly issuer?: unknown;
  readonly rootcertbundle?: unknown;
  readonly jwks?: unknown;
}

/** Reads the registry's `config.yml` at `file` and compares its `auth.token` with this configuration. `now` in epoch seconds. */
export async function findRegistryFaults(
  loaded: LoadedConfiguration,
  key: SigningKey,
  file: string,
  now: number,
): Promise<Finding[]> {
  const finding = (code: string, fault: string, mend: string): Finding => ({
    severity: 'error',
    code,
    place: file,
    fault,
    mend,
  });
  const text = readText(file);
  if (text === null)
    return [finding('registry-config', 'The file cannot be read.', 'Name the config.yml of the registry.')];
  const auth = tokenAuthOf(text);
  if (auth === null)
    return [
      finding(
        'registry-config',
        'There is no auth.token in it: the registry asks nobody for a token.',
        'Add the auth section that check prints.',
      ),
    ];

  const { registry, signing } = loaded.configuration;
  const findings: Finding[] = [];
  const realm = normalizeUrl(String(auth.realm));
  if (realm === null || !registry.realm.some((own) => normalizeUrl(own) === realm))
    findings.push(
      finding(
        'registry-realm',
        `auth.token.realm is ${shown(auth.realm)}, which is not registry.realm (${registry.realm.join(', ')}).`,
        'Clients are sent to the one and prove the other: make them the same.',
      ),
    );
  if (registry.allowedServices !== undefined && !registry.allowedServices.includes(String(auth.service)))
    findings.push(
      finding(
        'registry-service',
        `auth.token.service is ${shown(auth.service)}, which is not in registry.allowedServices (${registry.allowedServices.join(', ')}).`,
        'Add it there: every request is otherwise refused as service-not-allowed.',
      ),
    );
  if (auth.issuer !== signing.issuer)
    findings.push(
      finding(
        'registry-issuer',
        `auth.token.issuer is ${shown(auth.issuer)}, and signing.issuer is ${signing.issuer}.`,
        'Make them the same, to the letter: the registry otherwise refuses every token (untrusted issuer).',
      ),
    );
  const folder = dirname(file);
  const bundle = readNamed(auth.rootcertbundle, folder);
  const jwks = readNamed(auth.jwks, folder);
  const unreadable = [auth.rootcertbundle, auth.jwks].filter(
    (path) => typeof path === 'string' && readNamed(path, folder) === null,
  );
  for (const path of unreadable)
    findings.push({
      ...finding(
        'registry-keys',
        `${shown(path)} cannot be read from here, so whether the registry trusts the key is not known.`,
        'Run check where the file is.',
      ),
      severity: 'warning',
    });
  if (unreadable.length === 0 && !(await isTrusted(key, bundle, jwks, now)))
    findings.push(
      finding(
        'registry-key-untrusted',
        'The registry does not know the signing key: it will say "token signed by untrusted key".',
        `Put the certificate${signing.certificatePath === undefined ? ' of the key' : ` ${signing.certificatePath}`} into its rootcertbundle, or registry-jwks.json at its jwks (3.x), and restart it.`,
      ),
    );
  return findings;
}

function tokenAuthOf(text: string): TokenAuth | null {
  try {
    const document: unknown = parse(text, { maxAliasCount: 100 });
    const auth = (document as { auth?: { token?: unknown } } | null)?.auth?.token;
    return typeof auth === 'object' && auth !== null ? auth : null;
  } catch {
    return null;
  }
}

/** Whether a registry with this bundle and this JWKS verifies what the key signs (x5c first, then kid). */
async function isTrusted(
  key: SigningKey,
  bundle: string | null,
  jwks: string | null,
  now: number,
): Promise<boolean> {
  const roots = certificatesOf(bundle);
  const last = key.certificates.at(-1);
  // With x5c there is no falling back to kid.
  if (last !== undefined)
    return roots.some(
      (root) =>
        key.certificates.some(({ fingerprint256 }) => fingerprint256 === root.fingerprint256) ||
        (last.checkIssued(root) && last.verify(root.publicKey) && Date.parse(root.validTo) / 1000 > now),
    );
  const ids = await Promise.all(
    roots.map(async ({ publicKey }) => [libtrustId(publicKey), await thumbprintId(publicKey)]),
  );
  return ids.flat().includes(key.keyId) || keyIdsOf(jwks).includes(key.keyId);
}

function certificatesOf(pem: string | null): X509Certificate[] {
  const blocks = pem?.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      return [];
    }
  });
}

function keyIdsOf(jwks: string | null): unknown[] {
  try {
    const document = JSON.parse(jwks ?? '{}') as { keys?: { kid?: unknown }[] };
    return document.keys?.map(({ kid }) => kid) ?? [];
  } catch {
    return [];
  }
}

function readNamed(path: unknown, folder: string): string | null {
  return typeof path === 'string' ? readText(resolve(folder, path)) : null;
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : 'not set';
}
