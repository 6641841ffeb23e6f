/** `docker-credential`: Docker's credential helper protocol, with OpToks bound to the client certificate as secrets. */

import { ClientFault } from '../../client/client-fault.ts';
import {
  forgetOpTokAsPassword,
  obtainOpTokAsPassword,
  openOpTokCache,
} from '../../client/op-tok-as-password.ts';
import { buildInfo } from '../../telemetry/build-info.ts';
import {
  type Command,
  type CommandContext,
  ConfigurationFault,
  CREDENTIAL_HELPER_NAME,
  readWords,
  UsageError,
} from '../command.ts';
import { clientDependencies, finishRefreshes, toClientSettings } from './options.ts';
import {
  findProfileForHost,
  findProfilesFile,
  loadProfiles,
  type NamedProfile,
  type Profile,
} from './profile.ts';

/** The user name that goes with the secrets; the service accepts any. */
export const CREDENTIAL_USER = 'registry-token';

/** The texts that docker's client library recognizes (docker-credential-helpers, credentials/error.go). */
const protocolTexts = {
  notFound: 'credentials not found in native keychain',
  noServer: 'no credentials server URL',
  noUser: 'no credentials username',
} as const;

const ACTIONS = ['get', 'list', 'store', 'erase', 'version'] as const;
type Action = (typeof ACTIONS)[number];

export const dockerCredential: Command = {
  name: 'docker-credential',
  summary: "docker's credential helper, for OpToks bound to a client certificate",
  help: `Usage: docker-credential-registry-token (get | list | store | erase | version)
       registry-token docker-credential (get | list | store | erase | version) [--profiles FILE] [options]

Docker's credential helper protocol, for docker, podman, skopeo, buildah, oras, regctl and helm; crane has no option for
the client certificate that the OpTok is bound to. They find it by a link to this program in their PATH, and by credHelpers
in their configuration:

  ln -s /usr/bin/registry-token /usr/local/bin/docker-credential-registry-token
  { "credHelpers": { "registry.example.com": "registry-token" } }

  get      reads a host and prints {"ServerURL", "Username", "Secret"}: the secret is an OpTok that the Authority
           bound to the certificate of the profile for that host. The client must present the same certificate to the
           realm: put it in its certificate folder (certs.d/HOST/client.cert and client.key)
  list     prints the hosts of the profiles
  store    stores nothing. It succeeds for what get printed (docker login passes it back), and fails for a password
  erase    removes the OpTok of that host from the cache
  version  prints name and version

A profile is for its hosts, or for its registry if it lists none. The profiles are read from
$XDG_CONFIG_HOME/registry-token/client.yaml (~/.config/... if that variable is not set), else from
/etc/registry-token/client.yaml, or from --profiles FILE.

An OpTok from the Authority is kept below $XDG_RUNTIME_DIR/registry-token (folder 0700, file 0600) while at least half of its
life is left; if the variable is not set, each call gets a new one. A profile may have opTokPath, opTokEnv or opTokCommand
in place of an Authority; that OpTok is read at each call. If it is a bearer token, the profile needs a realm, and
the OpTok is only handed out while the registry names that realm.

  --profiles FILE            the file with the profiles
  --op-tok-path FILE, --op-tok-env NAME, --op-tok-command COMMAND
                             an OpTok that exists already, in place of the profile's
  --realm URL                the only realm that may get a bearer token

Exit codes: 0, and 1 with the reason on standard output, where docker looks for it; 2 usage.

Example:
  echo registry.example.com | docker-credential-registry-token get
`,
  run: async (context) => {
    const [action, options] = readAction(context.args);
    try {
      const said = await actions[action](context, options);
      if (said !== '') context.print(`${said}\n`);
      return 0;
    } catch (cause) {
      // docker shows one line, and what a failed helper printed on standard output; standard error may reach nobody.
      const isExpected =
        cause instanceof ClientFault || cause instanceof ConfigurationFault || cause instanceof UsageError;
      if (!isExpected) throw cause;
      context.print(`${cause.message.trim().replaceAll('\n', '; ')}\n`);
      return 1;
    }
  },
};

const helperOptions = {
  profiles: { type: 'string' },
  'op-tok-path': { type: 'string' },
  'op-tok-env': { type: 'string' },
  'op-tok-command': { type: 'string' },
  realm: { type: 'string' },
} as const;

type HelperOptions = { readonly [Name in keyof typeof helperOptions]?: string | undefined };

/** Returns what goes to standard output; empty for nothing. */
type Act = (context: CommandContext, options: HelperOptions) => Promise<string>;

const actions: Readonly<Record<Action, Act>> = {
  get: async (context, options) => {
    const serverUrl = await readServerUrl(context);
    const registry = hostOf(serverUrl);
    const profile = findProfile(context, options, registry);
    if (profile === null) throw new ClientFault(protocolTexts.notFound);
    const settings = toClientSettings(options, profile, context.env);
    finishRefreshes(settings, context);
    const { accessToken } = await obtainOpTokAsPassword(
      settings,
      { registry, realm: options.realm ?? profile.realm ?? null },
      openOpTokCache(context.env.XDG_RUNTIME_DIR),
      clientDependencies(context),
    );
    return JSON.stringify({ ServerURL: serverUrl, Username: CREDENTIAL_USER, Secret: accessToken });
  },
  list: async (context, options) => {
    const hosts = readProfiles(context, options).flatMap((profile) => profile.hosts);
    return JSON.stringify(Object.fromEntries(hosts.map((host) => [host, CREDENTIAL_USER])));
  },
  store: async ({ readInput }) => {
    const { ServerURL: serverUrl, Username: user } = parseCredentials(await readInput());
    if (typeof serverUrl !== 'string' || serverUrl.trim() === '')
      throw new ClientFault(protocolTexts.noServer);
    if (typeof user !== 'string' || user === '') throw new ClientFault(protocolTexts.noUser);
    if (user === CREDENTIAL_USER) return '';
    throw new ClientFault(
      'nothing was stored: this helper keeps no passwords and gets a new OpTok each time; write a profile for the ' +
        'registry in client.yaml, and log in without a password',
    );
  },
  erase: async (context, options) => {
    const profile = findProfile(context, options, hostOf(await readServerUrl(context)));
    if (profile === null) return '';
    forgetOpTokAsPassword(
      toClientSettings(options, profile, context.env),
      openOpTokCache(context.env.XDG_RUNTIME_DIR),
    );
    return '';
  },
  version: async () => `${CREDENTIAL_HELPER_NAME} ${buildInfo().version}`,
};

/** The host of an image or of docker's server URL: `https://registry.example.com/v2/` is `registry.example.com`. */
export function hostOf(serverUrl: string): string {
  return serverUrl.replace(/^https?:\/\//i, '').replace(/\/.*$/s, '');
}

function readAction(args: readonly string[]): readonly [Action, HelperOptions] {
  const { values, positionals } = readWords(args, helperOptions);
  const [word, stray] = positionals;
  const action = ACTIONS.find((name) => name === word);
  if (action === undefined || stray !== undefined)
    throw new UsageError(`expected one of ${ACTIONS.join(', ')}`);
  return [action, values];
}

/** No file is no profile, and a service account's token comes from a kubelet only. Throws ConfigurationFault. */
function readProfiles({ env }: CommandContext, { profiles: path }: HelperOptions): readonly NamedProfile[] {
  const { file, exists } = findProfilesFile(path, env);
  return exists ? loadProfiles(file).filter(({ profile }) => profile.serviceAccountToken !== true) : [];
}

/** null if there is no profile for this registry, and no option names an OpTok. */
function findProfile(
  context: CommandContext,
  options: HelperOptions,
  registry: string,
): Partial<Profile> | null {
  const found = findProfileForHost(readProfiles(context, options), registry);
  if (found !== null) return found.profile;
  const { 'op-tok-path': path, 'op-tok-env': name, 'op-tok-command': command } = options;
  return [path, name, command].every((option) => option === undefined) ? null : {};
}

async function readServerUrl({ readInput }: CommandContext): Promise<string> {
  const serverUrl = (await readInput()).trim();
  if (serverUrl === '') throw new ClientFault(protocolTexts.noServer);
  return serverUrl;
}

function parseCredentials(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Reported below: the message of JSON.parse may quote a password.
  }
  throw new ClientFault('the credentials on standard input are not a JSON object');
}
