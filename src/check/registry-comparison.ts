/** What every kind of registry is compared with, and the two keys that all of them have: realm and service. */
import { normalizeUrl } from '../authenticate/url.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import type { Finding } from './finding.ts';
import { shown } from './registry-file.ts';

/** What is compared with a registry's file. */
export interface Comparison {
  readonly loaded: LoadedConfiguration;
  readonly key: SigningKey;
  /** The path of the registry's file. */
  readonly file: string;
  /** Epoch seconds. */
  readonly now: number;
  readonly add: (severity: Finding['severity'], code: string, fault: string, mend: string) => void;
}

/** `name`: of the key in the registry's file. */
export function findRealmFault({ loaded, add }: Comparison, name: string, realm: string): void {
  const { registry } = loaded.configuration;
  const url = normalizeUrl(realm);
  if (url !== null && registry.realm.some((own) => normalizeUrl(own) === url)) return;
  add(
    'error',
    'registry-realm',
    `${name} is ${shown(realm)}, which is not in registry.realm (${registry.realm.join(', ')}).`,
    'Clients are redirected to one URL but sign proofs for the other. Use the same URL in both.',
  );
}

/** `name`: of the key in the registry's file. */
export function findServiceFault({ loaded, add }: Comparison, name: string, service: string): void {
  const { allowedServices } = loaded.configuration.registry;
  if (allowedServices === undefined || allowedServices.includes(service)) return;
  add(
    'error',
    'registry-service',
    `${name} is ${shown(service)}, which is not in registry.allowedServices (${allowedServices.join(', ')}).`,
    'Add it there: the service refuses every other request with service-not-allowed.',
  );
}
