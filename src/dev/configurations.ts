/** The two configuration files of a try-out: that of the service, and that of the registry. */
import { randomBytes } from 'node:crypto';
import { yamlText } from '../platform/quoting.ts';
import type { LoopbackAddress } from './loopback.ts';

export interface DevAddresses {
  readonly service: LoopbackAddress;
  readonly authority: LoopbackAddress;
  readonly registry: LoopbackAddress;
}

/** The realms under which the service is reached; the second is the one that the registry names. */
export function realmsOf({ service }: DevAddresses): readonly [string, string] {
  return [`http://localhost:${service.port}/token`, `http://${service.text}/token`];
}

/** `registry-token.yaml`: a real configuration that names the files of the folder. */
export function renderServiceConfiguration(addresses: DevAddresses): string {
  return `# Written by registry-token dev. It is a real configuration: registry-token serve --config accepts it too.
# With --dir it is kept, and your changes are used at the next start too; only server.listen, authority.issuer and
# registry.realm come from the options of dev.

server:
  listen: ${yamlText(addresses.service.text)}

authority: # who issues the access tokens: here the development Authority
  issuer: ${yamlText(`http://${addresses.authority.text}`)}
  audiences: [registry]
  clockSkew: 0s # all on one machine; for so long after a start, a proof needs the nonce of the service
  requiredScopes: [registry.token.issue]

senderConstraint:
  accept: [dpop] # an access token needs a proof by the key that it is bound to

signing: # what the registry must know: issuer here and in its config.yml, the certificate in its rootcertbundle
  issuer: registry-token.localhost
  keyPath: registry-signing.pem
  certificatePath: registry-signing.crt
  lifetime: 5m

registry:
  realm: [${realmsOf(addresses).map(yamlText).join(', ')}]
  allowedServices: [registry.localhost] # the service of the registry's config.yml

plans: # the claim stellaops:plan of an access token names one; the development Authority says developer
  developer:
    catalog: true
    lifetime: 15m
    repositories:
      - { pattern: "stella-ops/**", actions: [pull, push] }
      - { pattern: "customers/{claim:tid}/*", actions: [pull, push, delete] } # claim:tid is dev here
  community:
    repositories:
      - pattern: "stella-ops/public/*" # actions: [pull] by default

defaultPlan: community # for an access token that names none
`;
}

export interface RegistryTrust {
  /** The `iss` and `aud` of the tokens that the registry accepts. */
  readonly issuer: string;
  readonly service: string;
  /** Absolute paths. */
  readonly certificate: string;
  readonly storage: string;
}

/** `config.yml` for docker-registry 2.8 and 3. */
export function renderRegistryConfiguration(addresses: DevAddresses, trust: RegistryTrust): string {
  return `# Written by registry-token dev at each start: docker-registry serve config.yml
version: 0.1
log: { level: warn }
storage:
  filesystem: { rootdirectory: ${yamlText(trust.storage)} }
  delete: { enabled: true }
http:
  addr: ${yamlText(addresses.registry.text)}
  secret: ${randomBytes(16).toString('hex')}
auth:
  token:
    realm: ${yamlText(realmsOf(addresses)[1])}
    service: ${yamlText(trust.service)}
    issuer: ${yamlText(trust.issuer)}
    rootcertbundle: ${yamlText(trust.certificate)}
`;
}
