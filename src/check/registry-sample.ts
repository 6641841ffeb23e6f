/** What a registry must be given: its `auth` section, for 2.8 and for 3.x, ready to copy. */
import type { LoadedConfiguration } from '../config/load.ts';
import type { SigningKey } from '../keys/signing-key.ts';

export function renderRegistrySample(loaded: LoadedConfiguration, key: SigningKey): string {
  const { registry, signing } = loaded.configuration;
  const service = registry.allowedServices?.[0] ?? 'registry.example.com';
  const certificate =
    signing.certificatePath === undefined
      ? 'registry-signing.crt'
      : loaded.resolvePath(signing.certificatePath);
  const common = [
    `    realm: ${registry.realm[0]}`,
    `    service: ${service}`,
    `    issuer: ${signing.issuer}`,
  ];
  const trust = [`    rootcertbundle: ${certificate}`];
  const byKeyId = [`    jwks: registry-jwks.json    # holds the key under ${key.keyId}`];
  return [
    '# registry 2.8: config.yml',
    'auth:',
    '  token:',
    ...common,
    ...trust,
    '',
    '# registry 3.x: config.yml',
    'auth:',
    '  token:',
    ...common,
    ...(key.certificates.length > 0 ? trust : byKeyId),
    ...(key.algorithm === 'EdDSA' || key.algorithm === 'ES384'
      ? [`    signingalgorithms: [${key.algorithm}]`]
      : []),
    '',
  ].join('\n');
}
