/** The profiles in `client.yaml`: what a client needs to know about an Authority and a registry, written once. */

import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { registryHost } from '../../client/challenge.ts';
import { clientAuthenticationMethods } from '../../client/client-authentication.ts';
import { readConfigurationFile } from '../../config/load.ts';
import { httpUrl } from '../../config/values.ts';
import { parseConfigurationDocument } from '../../document/document.ts';
import { explainIssue, formatKey, suggestName } from '../../document/issues.ts';
import { ConfigurationFault, type Mistake } from '../../document/mistakes.ts';
import type { KeyPath } from '../../document/text.ts';

const text = z.string().min(1, { error: 'must not be empty' });

const registry = text.refine(isRegistry, {
  error: 'must be the host of a registry, such as registry.example.com:5000',
});

const profileSchema = z.strictObject({
  authority: httpUrl().optional(),
  clientId: text.optional(),
  clientAuth: z.enum(clientAuthenticationMethods).optional(),
  clientSecretPath: text.optional(),
  clientKeyPath: text.optional(),
  clientKeyId: text.optional(),
  assertionAudience: text.optional(),
  certPath: text.optional(),
  keyPath: text.optional(),
  caPath: text.optional(),
  dpopKeyPath: text.optional(),
  authorityScope: z.string().optional(),
  audience: text.optional(),
  resources: z.array(text).optional(),
  /** OpToks by the login of a person: `registry-token login`. */
  login: z.boolean().optional(),
  opTokPath: text.optional(),
  opTokEnv: text.optional(),
  opTokCommand: text.optional(),
  /** The kubelet's request brings the OpTok: the token of the pod's service account. */
  serviceAccountToken: z.boolean().optional(),
  bind: z.enum(['dpop', 'certificate']).optional(),
  realm: httpUrl().optional(),
  registry: registry.optional(),
  service: text.optional(),
  hosts: z.array(registry).min(1).optional(),
});

const fileSchema = z.strictObject({
  profiles: z.record(
    z
      .string()
      .regex(/^[\x21-\x7e]{1,64}$/, { error: 'use 1 to 64 printable ASCII characters without spaces' }),
    profileSchema,
  ),
});

/** The values as they stand, with paths made absolute. */
export type Profile = z.infer<typeof profileSchema>;

export interface NamedProfile {
  readonly name: string;
  readonly profile: Profile;
  /** The registries that it is for, as image names have them; its `hosts`, else its `registry`. */
  readonly hosts: readonly string[];
}

const FILE = 'registry-token/client.yaml';
const MACHINE_FILE = `/etc/${FILE}`;
const paths = [
  'clientSecretPath',
  'clientKeyPath',
  'certPath',
  'keyPath',
  'caPath',
  'dpopKeyPath',
  'opTokPath',
] as const;

/** What only a profile with an Authority has. */
const authorityKeys = [
  'clientId',
  'clientAuth',
  'clientSecretPath',
  'clientKeyPath',
  'clientKeyId',
  'assertionAudience',
  'authorityScope',
  'audience',
  'resources',
  'login',
] as const;

/**
 * The file with the profiles: the option, else the user's, else the machine's. If neither exists, the user's is returned with
 * `exists: false`.
 */
export function findProfilesFile(
  option: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): { readonly file: string; readonly exists: boolean } {
  if (option !== undefined) return { file: resolve(option), exists: true };
  const home = env.XDG_CONFIG_HOME || (env.HOME ? join(env.HOME, '.config') : '');
  const own = home === '' ? MACHINE_FILE : join(home, FILE);
  const file = [own, MACHINE_FILE].find((candidate) => existsSync(candidate));
  return { file: file ?? own, exists: file !== undefined };
}

/** Reads and checks the profiles. Throws ConfigurationFault with every mistake at its place. */
export function loadProfiles(file: string): readonly NamedProfile[] {
  const document = parseConfigurationDocument(readConfigurationFile(file).toString('utf8'), file);
  const mistakeAt = (path: KeyPath, message: string): Mistake => ({
    source: file,
    ...document.placeOfKey(path),
    key: formatKey(path),
    message,
  });
  if (typeof document.value !== 'object' || document.value === null || Array.isArray(document.value))
    throw new ConfigurationFault([mistakeAt([], 'must be a YAML mapping with the key profiles')]);
  const { data, error } = fileSchema.safeParse(document.value, { reportInput: true });
  if (data === undefined) {
    const context = { schema: fileSchema, holdsSecret: () => false, mistakeAt };
    throw new ConfigurationFault((error?.issues ?? []).flatMap((issue) => explainIssue(issue, context)));
  }
  const profiles = Object.entries(data.profiles).map(
    ([name, profile]): NamedProfile => ({
      name,
      profile: withAbsolutePaths(profile, dirname(file)),
      hosts: (profile.hosts ?? (profile.registry === undefined ? [] : [profile.registry])).map(registryHost),
    }),
  );
  const mistakes = [...findContradictions(profiles, mistakeAt), ...findSharedHosts(profiles, mistakeAt)];
  if (mistakes.length > 0) throw new ConfigurationFault(mistakes);
  return profiles;
}

/** Throws ConfigurationFault, with the nearest name, if there is no such profile. */
export function chooseProfile(profiles: readonly NamedProfile[], name: string, file: string): NamedProfile {
  const found = profiles.find((candidate) => candidate.name === name);
  if (found !== undefined) return found;
  const names = profiles.map((candidate) => candidate.name);
  const hint = names.length === 0 ? 'it is empty' : suggestName(name, names);
  const message = `has no profile ${formatKey([name])}; ${hint}`;
  throw new ConfigurationFault([{ source: file, line: null, column: null, key: 'profiles', message }]);
}

/** The profile that is for this registry, one that names it among its hosts before others; null if none is. */
export function findProfileForHost(profiles: readonly NamedProfile[], host: string): NamedProfile | null {
  if (!isRegistry(host)) return null;
  // As the hosts of a profile: in lower case, and without the default port.
  const suitable = profiles.filter(({ hosts }) => hosts.includes(registryHost(host)));
  return suitable.find(({ profile }) => profile.hosts !== undefined) ?? suitable[0] ?? null;
}

function findContradictions(
  profiles: readonly NamedProfile[],
  mistakeAt: (path: KeyPath, message: string) => Mistake,
): Mistake[] {
  return profiles.flatMap(({ name, profile }) => {
    const at = (key: keyof Profile, message: string) => mistakeAt(['profiles', name, key], message);
    const mistakes: Mistake[] = [];
    if (profile.certPath !== undefined && profile.keyPath === undefined)
      mistakes.push(at('certPath', "needs keyPath, the certificate's key"));
    if (profile.keyPath !== undefined && profile.certPath === undefined)
      mistakes.push(
        at('keyPath', 'is the key of certPath, which is missing; for private_key_jwt use clientKeyPath'),
      );
    if (profile.bind === 'certificate' && profile.certPath === undefined)
      mistakes.push(at('bind', 'is certificate, which needs certPath and keyPath'));
    const missing = (message: string) => mistakeAt(['profiles', name], message);
    return [...mistakes, ...findSourceMistakes(profile, at, missing)];
  });
}

/** An OpTok comes from one place. */
function findSourceMistakes(
  profile: Profile,
  at: (key: keyof Profile, message: string) => Mistake,
  missing: (message: string) => Mistake,
): Mistake[] {
  const sources = (['authority', 'opTokPath', 'opTokEnv', 'opTokCommand'] as const).filter(
    (key) => profile[key] !== undefined,
  );
  const [source, second] = profile.serviceAccountToken
    ? [...sources, 'serviceAccountToken' as const]
    : sources;
  if (source === undefined)
    return [missing('needs authority, opTokPath, opTokEnv, opTokCommand or serviceAccountToken')];
  if (second !== undefined) return [at(second, `cannot be combined with ${source}`)];
  if (source !== 'authority') {
    const surplus = authorityKeys.filter((key) => profile[key] !== undefined);
    const mistakes = surplus.map((key) => at(key, `needs authority, and this profile has ${source}`));
    if (source === 'serviceAccountToken' && profile.realm === undefined)
      mistakes.push(at(source, 'is a bearer token, so it needs realm, the only URL that it may be sent to'));
    return mistakes;
  }
  const mistakes: Mistake[] = [];
  if (profile.clientId === undefined) mistakes.push(missing('needs clientId beside authority'));
  if (profile.clientSecretPath !== undefined && profile.clientKeyPath !== undefined)
    mistakes.push(at('clientKeyPath', 'cannot be combined with clientSecretPath'));
  const credentials = [profile.clientSecretPath, profile.clientKeyPath, profile.certPath];
  if (profile.login !== true && credentials.every((path) => path === undefined))
    mistakes.push(
      missing(
        'needs clientSecretPath, clientKeyPath, or certPath and keyPath; or login: true, for the login of a person',
      ),
    );
  return mistakes;
}

function findSharedHosts(
  profiles: readonly NamedProfile[],
  mistakeAt: (path: KeyPath, message: string) => Mistake,
): Mistake[] {
  const owners = new Map<string, string>();
  // Profiles with the same `registry` are chosen from by --profile; `hosts` belong to one profile.
  const explicit = profiles.filter(({ profile }) => profile.hosts !== undefined);
  return explicit.flatMap(({ name, hosts }) =>
    hosts.flatMap((host, index) => {
      const owner = owners.get(host);
      owners.set(host, owner ?? name);
      if (owner === undefined) return [];
      return [
        mistakeAt(['profiles', name, 'hosts', index], `${host} already belongs to the profile ${owner}`),
      ];
    }),
  );
}

function withAbsolutePaths(profile: Profile, folder: string): Profile {
  const absolute = { ...profile };
  for (const key of paths) {
    const path = profile[key];
    if (path !== undefined) absolute[key] = resolve(folder, path);
  }
  return absolute;
}

function isRegistry(value: string): boolean {
  try {
    registryHost(value);
    return true;
  } catch {
    return false;
  }
}
