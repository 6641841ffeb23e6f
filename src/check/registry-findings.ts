/**
 * A registry's own configuration compared with ours: what makes it send clients elsewhere, answer "token signed by
 * untrusted key", or not start at all. distribution's config.yml here, zot's config.json in zot-findings.ts.
 */
import { isAbsolute } from 'node:path';
import type { LoadedConfiguration } from '../config/load.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import { isLoopback } from '../platform/loopback.ts';
import type { Finding } from './finding.ts';
import { type Comparison, findRealmFault, findServiceFault } from './registry-comparison.ts';
import { isMembers, type Members, readMapping, section, shown } from './registry-file.ts';
import {
  type Bundle,
  distributionTrusts,
  type KeySet,
  readBundle,
  readKeySet,
  type TrustFile,
} from './registry-trust.ts';
import { findZotFaults, isZotConfiguration } from './zot-findings.ts';

export interface RegistryReport {
  readonly findings: readonly Finding[];
  /** `host:port` by which clients call the registry, where its file says so. */
  readonly host: string | null;
}

/** The path at which `autoredirect` expects the token service where `autoredirectpath` does not say otherwise. */
const AUTO_REDIRECT_PATH = '/auth/token';

/** Reads the registry's file and compares it with this configuration. `now` in epoch seconds. */
export async function findRegistryFaults(
  loaded: LoadedConfiguration,
  key: SigningKey,
  file: string,
  now: number,
): Promise<RegistryReport> {
  const findings: Finding[] = [];
  const add: Comparison['add'] = (severity, code, fault, mend) =>
    findings.push({ severity, code, place: file, fault, mend });
  const comparison = { loaded, key, file, now, add };
  const read = readMapping(file);
  if ('fault' in read) {
    const mend = "Pass the registry's config.yml, or zot's config.json.";
    add('error', 'registry-config', `The file ${read.fault}.`, mend);
    return { findings, host: null };
  }
  if (isZotConfiguration(read.value)) {
    findZotFaults(comparison, read.value);
    return { findings, host: null };
  }
  const isOpenCache = findCacheFaults(comparison, read.value);
  const auth = isOpenCache ? null : tokenAuthOf(comparison, read.value);
  if (auth !== null) await findTokenAuthFaults(comparison, read.value, auth);
  return { findings, host: hostOf(read.value) };
}

/** `http.host` is the URL by which clients reach the registry. */
function hostOf(configuration: Members): string | null {
  return URL.parse(String(section(configuration, 'http').host ?? ''))?.host || null;
}

function tokenAuthOf({ add }: Comparison, configuration: Members): Members | null {
  const kinds = isMembers(configuration.auth) ? Object.keys(configuration.auth) : [];
  if (kinds.length > 1)
    add(
      'error',
      'registry-auth-kinds',
      `auth has ${kinds.length} kinds (${kinds.map(shown).join(', ')}): a registry with more than one does not start.`,
      'Keep auth.token and remove the others.',
    );
  const auth = section(configuration, 'auth');
  if (isMembers(auth.token)) return auth.token;
  const isOpen = kinds.length === 0;
  add(
    'error',
    'registry-config',
    isOpen
      ? 'There is no auth section: the registry asks for no token, and anyone can pull and push.'
      : 'There is no auth.token section: the registry does not ask for a token.',
    'Add the auth section that check prints.',
  );
  return null;
}

async function findTokenAuthFaults(
  comparison: Comparison,
  configuration: Members,
  auth: Members,
): Promise<void> {
  const { loaded, add } = comparison;
  const { signing } = loaded.configuration;
  for (const option of ['realm', 'service', 'issuer'])
    if (typeof auth[option] !== 'string')
      add(
        'error',
        'registry-option',
        `auth.token.${option} is ${shown(auth[option])}: a registry without it does not start.`,
        `Set it, or make sure that REGISTRY_AUTH_TOKEN_${option.toUpperCase()} is set where the registry runs.`,
      );
  if (auth.autoredirect !== undefined && typeof auth.autoredirect !== 'boolean')
    add(
      'error',
      'registry-option',
      `auth.token.autoredirect is ${shown(auth.autoredirect)}: a registry starts with true or false only.`,
      'Write true or false, without quotes.',
    );
  if (auth.autoredirect === true) findAutoRedirectFaults(comparison, auth, hostOf(configuration));
  else if (typeof auth.realm === 'string') findRealmFault(comparison, 'auth.token.realm', auth.realm);
  if (typeof auth.service === 'string') findServiceFault(comparison, 'auth.token.service', auth.service);
  if (typeof auth.issuer === 'string' && auth.issuer !== signing.issuer)
    add(
      'error',
      'registry-issuer',
      `auth.token.issuer is ${shown(auth.issuer)}; signing.issuer is ${signing.issuer}.`,
      'Use the same text in both: the registry refuses every token of another issuer (untrusted issuer).',
    );
  findAlgorithmFaults(comparison, auth.signingalgorithms);
  await findTrustFaults(comparison, auth);
}

/** With `autoredirect` the realm is the registry's own host, by whatever name the client has called it. */
function findAutoRedirectFaults({ loaded, add }: Comparison, auth: Members, host: string | null): void {
  const path =
    typeof auth.autoredirectpath === 'string' && auth.autoredirectpath !== ''
      ? auth.autoredirectpath
      : AUTO_REDIRECT_PATH;
  const target = `https://${host ?? 'HOST'}${path}`;
  const { registry } = loaded.configuration;
  const fits = registry.realm
    .map((realm) => new URL(realm))
    .some(
      (url) => url.protocol === 'https:' && url.pathname === path && (host === null || url.host === host),
    );
  if (!fits)
    add(
      'error',
      'registry-autoredirect',
      `auth.token.autoredirect is on: clients are sent to ${shown(target)}${host === null ? ', where HOST is the name by which they call the registry' : ''}. registry.realm (${registry.realm.join(', ')}) does not have it.`,
      'Add that URL to registry.realm and let the proxy pass its path to the service, or set autoredirect: false.',
    );
  else if (typeof auth.realm === 'string' && !registry.realm.includes(auth.realm))
    add(
      'note',
      'registry-realm-unused',
      `auth.token.realm (${shown(auth.realm)}) is not used: autoredirect sends clients to ${shown(target)}.`,
      '',
    );
  if (path !== AUTO_REDIRECT_PATH)
    add(
      'note',
      'registry-autoredirectpath',
      `auth.token.autoredirectpath is known to registry 3.x only: 2.8 sends clients to ${AUTO_REDIRECT_PATH}.`,
      '',
    );
}

function findAlgorithmFaults({ key, add }: Comparison, algorithms: unknown): void {
  if (algorithms === undefined) return;
  const isList = Array.isArray(algorithms) && algorithms.every((name) => typeof name === 'string');
  if (!isList || (algorithms.length > 0 && !algorithms.includes(key.algorithm)))
    add(
      'error',
      'registry-algorithm',
      isList
        ? `auth.token.signingalgorithms is ${shown(algorithms)}, and the signing key signs with ${key.algorithm}: registry 3.x refuses every token.`
        : `auth.token.signingalgorithms is ${shown(algorithms)}: registry 3.x starts with a list only.`,
      `signingalgorithms: [${key.algorithm}]`,
    );
}

async function findTrustFaults(comparison: Comparison, auth: Members): Promise<void> {
  const { loaded, key, now, add } = comparison;
  const { rootcertbundle, jwks } = auth;
  const bundle = openTrustFile(comparison, 'rootcertbundle', rootcertbundle, readBundle);
  const keySet = openTrustFile(comparison, 'jwks', jwks, readKeySet);
  if (bundle === null && typeof jwks === 'string' && typeof rootcertbundle !== 'string')
    add(
      'note',
      'registry-without-bundle',
      'auth.token has jwks and no rootcertbundle: registry 3.x starts with it, 2.8 does not.',
      '',
    );
  const isUnknown = [bundle, keySet].some((file) => file !== null && !('content' in file));
  if (isUnknown) return;
  const { certificates } = contentOf(bundle) ?? { certificates: [] };
  const { keys } = contentOf(keySet) ?? { keys: new Map() };
  if (await distributionTrusts(key, certificates, keys, now)) return;
  const { certificatePath } = loaded.configuration.signing;
  add(
    'error',
    'registry-key-untrusted',
    'The registry does not know the signing key: it will refuse every token with "token signed by untrusted key".',
    certificatePath === undefined
      ? 'Put the certificate of the key into its rootcertbundle, or registry-jwks.json at its jwks (3.x), and restart it.'
      : `Put the certificate ${certificatePath} into its rootcertbundle and restart it.`,
  );
}

function contentOf<Content extends Bundle | KeySet>(file: TrustFile<Content> | null): Content | null {
  return file !== null && 'content' in file ? file.content : null;
}

/** null where the registry's file does not name one. */
function openTrustFile<Content extends Bundle | KeySet>(
  { add }: Comparison,
  option: 'rootcertbundle' | 'jwks',
  path: unknown,
  read: (path: string) => TrustFile<Content>,
): TrustFile<Content> | null {
  if (typeof path !== 'string' || path === '') return null;
  const name = `auth.token.${option} ${shown(path)}`;
  if (!isAbsolute(path)) {
    const fault = 'is a relative path: the registry looks for it in the folder that it was started in';
    add('warning', 'registry-keys', `${name} ${fault}.`, 'Write the absolute path.');
    return { unreadable: fault };
  }
  const file = read(path);
  if ('unreadable' in file)
    add(
      'warning',
      'registry-keys',
      `${name} ${file.unreadable}, so check cannot tell whether the registry trusts the key.`,
      'Run check where the registry finds that path, or copy both there.',
    );
  else if ('fault' in file)
    add(
      'error',
      'registry-keys',
      `${name} ${file.fault}: the registry does not start.`,
      option === 'jwks' ? 'It must be a JSON Web Key Set.' : 'It must hold PEM certificates only.',
    );
  else {
    if (file.content.hasPrivateKey)
      add(
        'warning',
        'registry-private-key',
        `${name} holds a private key. A registry needs only the public part; anyone who has the key can create tokens.`,
        option === 'jwks' ? 'Use the registry-jwks.json that keygen wrote.' : 'Use the certificate alone.',
      );
    if ((file.mode.mode & 0o004) === 0)
      add(
        'note',
        'registry-keys-permissions',
        `${name} can be read by user ${file.mode.uid} and group ${file.mode.gid} only (mode ${(file.mode.mode & 0o777).toString(8)}): a registry that runs as another user does not start.`,
        `chmod 644 ${shown(path)}`,
      );
  }
  return file;
}

/** `proxy.remoteurl` makes the registry a pull-through cache of another one. True where nothing protects it. */
function findCacheFaults({ loaded, add }: Comparison, configuration: Members): boolean {
  const { remoteurl } = section(configuration, 'proxy');
  if (typeof remoteurl !== 'string' || remoteurl === '') return false;
  const isOpen = configuration.auth === undefined || configuration.auth === null;
  const { realm, allowedServices = [] } = loaded.configuration.registry;
  const ours = new Set([...realm.map((url) => new URL(url).host), ...allowedServices]);
  const remote = URL.parse(remoteurl);
  if (isOpen)
    add(
      'error',
      'registry-cache-open',
      `The cache has no auth section: anyone who can reach it can pull whatever it can pull from ${shown(remoteurl)}.`,
      'Add the auth section that check prints.',
    );
  if (remote !== null && !isLoopback(remote.hostname) && (ours.has(remote.host) || ours.has(remote.hostname)))
    add(
      'error',
      'registry-cache-source',
      'proxy.remoteurl is a registry that this service protects: a cache sends a fixed password, which is not a bound OpTok.',
      'Run `registry-token agent` beside the cache and set proxy.remoteurl to it, without proxy.username and proxy.password.',
    );
  else if (!isOpen)
    add(
      'note',
      'registry-cache',
      `proxy.remoteurl makes this registry a cache of ${shown(remoteurl)}: it refuses every push and delete, whatever a token allows.`,
      '',
    );
  return isOpen;
}
