/** zot's config.json compared with ours. zot asks for tokens only where realm, service and cert are all set. */
import { isAbsolute } from 'node:path';
import { type Comparison, findRealmFault, findServiceFault } from './registry-comparison.ts';
import { isMembers, type Members, section, shown } from './registry-file.ts';
import { isSameKey, readVerificationKey } from './registry-trust.ts';

/** distribution has `version`, and `storage` by driver; zot has `distSpecVersion` and `rootDirectory`. */
export function isZotConfiguration(value: Members): boolean {
  const own = lowerCased(value);
  const storage = lowerCased(section(own, 'storage'));
  return (
    'distspecversion' in own || 'rootdirectory' in storage || isMembers(lowerCased(section(own, 'http')).auth)
  );
}

/** Adds what is wrong with the `http` section of a zot configuration. */
export function findZotFaults(comparison: Comparison, configuration: Members): void {
  const { add } = comparison;
  const http = lowerCased(section(lowerCased(configuration), 'http'));
  const auth = lowerCased(section(http, 'auth'));
  const bearer = lowerCased(section(auth, 'bearer'));
  const missing = ['realm', 'service', 'cert'].filter(
    (name) => typeof bearer[name] !== 'string' || bearer[name] === '',
  );
  if (missing.length > 0)
    add(
      'error',
      'registry-config',
      missing.length === 3
        ? 'There is no http.auth.bearer section: zot does not ask for a token.'
        : `http.auth.bearer has no ${missing.join(' and no ')}: zot then ignores the section and does not ask for a token.`,
      '"bearer": {"realm": registry.realm, "service": one of registry.allowedServices, "cert": the certificate of the signing key}',
    );
  const others = Object.keys(auth).filter((kind) => !['bearer', 'faildelay', 'mtls'].includes(kind));
  if (missing.length === 0 && others.length > 0)
    add(
      'warning',
      'registry-auth-kinds',
      `http.auth also holds ${others.map(shown).join(', ')}: zot ignores it beside bearer.`,
      'Remove it.',
    );
  if (typeof bearer.realm === 'string') findRealmFault(comparison, 'http.auth.bearer.realm', bearer.realm);
  if (typeof bearer.service === 'string')
    findServiceFault(comparison, 'http.auth.bearer.service', bearer.service);
  if (typeof bearer.cert === 'string' && bearer.cert !== '') findKeyFault(comparison, bearer.cert);
  const compat = Array.isArray(http.compat) ? http.compat : [];
  if (!compat.includes('docker2s2'))
    add(
      'warning',
      'registry-zot-compat',
      'http.compat does not list docker2s2: zot refuses what docker push sends (manifest invalid).',
      '"compat": ["docker2s2"]',
    );
}

function findKeyFault({ key, add }: Comparison, path: string): void {
  const name = `http.auth.bearer.cert ${shown(path)}`;
  const file = isAbsolute(path) ? readVerificationKey(path) : { unreadable: 'is a relative path' };
  if ('unreadable' in file)
    add(
      'warning',
      'registry-keys',
      `${name} ${file.unreadable}, so check cannot tell whether zot trusts the key.`,
      'Run check where zot finds that path, or write the absolute path.',
    );
  else if ('fault' in file)
    add(
      'error',
      'registry-keys',
      `${name} ${file.fault}: zot does not start.`,
      'It must be a PEM certificate or public key.',
    );
  else if (!isSameKey(file.content, key))
    add(
      'error',
      'registry-key-untrusted',
      `${name} belongs to a different key than the signing key: zot refuses every token. It has one key, and does not follow a chain.`,
      'Name the certificate of the signing key; zot reads it at its start.',
    );
}

/** zot takes the names of its keys in any case. */
function lowerCased(members: Members): Members {
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [name.toLowerCase(), value]));
}
