/** What a registry must be given: its `auth` section, for 2.8 and for 3.x, ready to copy. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { LoadedConfiguration } from '../config/load.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import { openPublicKeys } from '../keys/signing-key.ts';
import { holdsCertificate } from '../platform/pem.ts';
import { yamlText } from '../platform/quoting.ts';

export async function renderRegistrySample(loaded: LoadedConfiguration, key: SigningKey): Promise<string> {
  const { registry, signing } = loaded.configuration;
  const common = [
    `    realm: ${yamlText(registry.realm[0] ?? '')}`,
    `    service: ${yamlText(registry.allowedServices?.[0] ?? 'registry.example.com')}`,
    `    issuer: ${yamlText(signing.issuer)}`,
  ];
  const bundle = await findBundle(loaded, key);
  const trust = `    rootcertbundle: ${yamlText(bundle ?? 'registry-signing.crt')}`;
  const hint = bundle === null ? '    # the certificate of the signing key' : '';
  const jwks = join(dirname(loaded.resolvePath(signing.keyPath)), 'registry-jwks.json');
  const byKeyId = [`    jwks: ${yamlText(jwks)}    # holds the key under ${key.keyId}`];
  const old =
    key.algorithm === 'EdDSA'
      ? ['# registry 2.8 verifies no Ed25519 key, and does not start with its certificate']
      : ['# registry 2.8: config.yml', 'auth:', '  token:', ...common, `${trust}${hint}`];
  return [
    ...old,
    '',
    '# registry 3.x: config.yml',
    'auth:',
    '  token:',
    ...common,
    ...(key.certificates.length > 0 ? [`${trust}${hint}`] : byKeyId),
    ...(key.algorithm === 'EdDSA' || key.algorithm === 'ES384'
      ? [`    signingalgorithms: [${key.algorithm}]`]
      : []),
    '',
  ].join('\n');
}

/**
 * The file with the certificate of the signing key: a bundle that is published too, as a rotation leaves it; the
 * certificate that is sent; or what `keygen` wrote beside the key. null where none of them has it.
 */
async function findBundle(loaded: LoadedConfiguration, key: SigningKey): Promise<string | null> {
  const { additionalKeys, certificatePath, keyPath } = loaded.configuration.signing;
  const beside = keyPath.replace(/\.pem$/, '.crt');
  const candidates = [...additionalKeys, ...(certificatePath === undefined ? [beside] : [certificatePath])];
  for (const candidate of candidates) {
    const path = loaded.resolvePath(candidate);
    if (await holdsCertificateOf(key, path)) return path;
  }
  return null;
}

async function holdsCertificateOf(key: SigningKey, path: string): Promise<boolean> {
  try {
    const pem = readFileSync(path, 'utf8');
    if (!holdsCertificate(pem)) return false;
    return (await openPublicKeys(pem, 'thumbprint')).some(({ thumbprint }) => thumbprint === key.thumbprint);
  } catch {
    return false;
  }
}
