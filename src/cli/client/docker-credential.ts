/** `docker-credential`: Docker's credential helper protocol, with OpToks bound to the client certificate as secrets. */
import { forgetBoundOpTok, obtainBoundOpTok, openOpTokCache } from '../../client/bound-op-tok.ts';
import { ClientFault } from '../../client/client-fault.ts';
import { buildInfo } from '../../telemetry/build-info.ts';
import { type Command, type CommandContext, ConfigurationFault, readWords, UsageError } from '../command.ts';
import { toClientSettings, wallClockSurroundings } from './options.ts';
import { findProfileForHost, findProfilesFile, loadProfiles, type NamedProfile } from './profile.ts';

/** The name that docker calls a helper `registry-token` by: a link of this name to the program is the helper. */
export const CREDENTIAL_HELPER_NAME = 'docker-credential-registry-token';

/** The user that the secrets are for; the service takes any. */
export const CREDENTIAL_USER = 'registry-token';

/** The texts by which docker's client library knows what happened (docker-credential-helpers, credentials/error.go). */
const protocolTexts = {
  notFound: 'credentials not found in native keychain',
  noServer: 'no credentials server URL',
  noUser: 'no credentials username',
} as const;

const ACTIONS = ['get', 'list', 'store', 'erase', 'version'] as const;
type Action = (typeof ACTIONS)[number];

export const dockerCredential: Command = {
  name: 'docker-credential',
  summary: "is docker's credential helper, for OpToks bound to a client certificate",
  help: `Usage: docker-credential-registry-token (get | list | store | erase | version)
       registry-token docker-credential (get | list | store | erase | version) [--profiles FILE]

Docker's credential helper protocol, for docker, podman, skopeo, buildah, oras, regctl and helm; crane has no option for
the client certificate that belongs to it. They find it by a link to this program in their PATH, and by credHelpers in
their configuration:

  ln -s /usr/bin/registry-token /usr/local/bin/docker-credential-registry-token
  { "credHelpers": { "registry.example.com": "registry-token" } }

  get      reads a host and prints {"ServerURL", "Username", "Secret"}: the secret is an OpTok that the Authority
           bound to the certificate of the profile for that host. The client must show the same certificate to the
           realm: put it in its certificate folder (certs.d/HOST/client.cert and client.key)
  list     prints the hosts of the profiles
  store    stores nothing. It succeeds for what get gave (docker login gives it back), and fails for a password
  erase    removes the OpTok of that host from the cache
  version  prints name and version

A profile is for its hosts, or its registry where it lists none. The profiles are read from
$XDG_CONFIG_HOME/registry-token/client.yaml (where that variable is not set, ~/.config/...), else from
/etc/registry-token/client.yaml, or from --profiles FILE.

An OpTok is kept below $XDG_RUNTIME_DIR/registry-token (folder 0700, file 0600) until a minute before its end; where
the variable is not set, each call gets a new one.

Exit codes: 0, and 1 with the reason on standard output, as the protocol wants it; 2 usage.

Example:
  echo registry.example.com | docker-credential-registry-token get
`,
  run: async (context) => {
    const [action, path] = readAction(context.args);
    try {
      const said = await actions[action](context, path);
      if (said !== '') context.print(`${said}\n`);
      return 0;
    } catch (cause) {
      // docker shows what a failed helper has on standard output; standard error may reach nobody.
      const isExpected = cause instanceof ClientFault || cause instanceof ConfigurationFault;
      if (!isExpected) throw cause;
      context.print(`${cause.message}\n`);
      return 1;
    }
  },
};

/** Returns what goes to standard output; empty for nothing. */
type Act = (context: CommandContext, profilesPath: string | undefined) => Promise<string>;

const actions: Readonly<Record<Action, Act>> = {
  get: async (context, path) => {
    const serverUrl = await readServerUrl(context);
    const { profile } = requireProfile(readProfiles(context, path), serverUrl);
    const cache = openOpTokCache(context.env.XDG_RUNTIME_DIR);
    const { accessToken } = await obtainBoundOpTok(
      toClientSettings({}, profile),
      cache,
      wallClockSurroundings(),
    );
    return JSON.stringify({ ServerURL: serverUrl, Username: CREDENTIAL_USER, Secret: accessToken });
  },
  list: async (context, path) => {
    const hosts = readProfiles(context, path).flatMap((profile) => profile.hosts);
    return JSON.stringify(Object.fromEntries(hosts.map((host) => [host, CREDENTIAL_USER])));
  },
  store: async ({ readInput }) => {
    const { ServerURL: serverUrl, Username: user } = parseCredentials(await readInput());
    if (typeof serverUrl !== 'string' || serverUrl.trim() === '')
      throw new ClientFault(protocolTexts.noServer);
    if (typeof user !== 'string' || user === '') throw new ClientFault(protocolTexts.noUser);
    if (user === CREDENTIAL_USER) return '';
    throw new ClientFault(
      'nothing is stored: this helper keeps no passwords, it gets a new OpTok each time; write a profile for the ' +
        'registry in client.yaml, and log in without a password',
    );
  },
  erase: async (context, path) => {
    const serverUrl = await readServerUrl(context);
    const found = findProfileForHost(readProfiles(context, path), hostOf(serverUrl));
    if (found === null) return '';
    forgetBoundOpTok(toClientSettings({}, found.profile), openOpTokCache(context.env.XDG_RUNTIME_DIR));
    return '';
  },
  version: async () => `${CREDENTIAL_HELPER_NAME} ${buildInfo().version}`,
};

/** The host of an image or of docker's server URL: `https://registry.example.com/v2/` is `registry.example.com`. */
export function hostOf(serverUrl: string): string {
  return serverUrl.replace(/^https?:\/\//i, '').replace(/\/.*$/s, '');
}

function readAction(args: readonly string[]): readonly [Action, string | undefined] {
  const { values, positionals } = readWords(args, { profiles: { type: 'string' } });
  const [word, stray] = positionals;
  const action = ACTIONS.find((name) => name === word);
  if (action === undefined || stray !== undefined)
    throw new UsageError(`one of ${ACTIONS.join(', ')} is wanted`);
  return [action, values.profiles];
}

/** No file is no profile. Throws ConfigurationFault. */
function readProfiles({ env }: CommandContext, path: string | undefined): readonly NamedProfile[] {
  const { file, exists } = findProfilesFile(path, env);
  return exists ? loadProfiles(file) : [];
}

function requireProfile(profiles: readonly NamedProfile[], serverUrl: string): NamedProfile {
  const found = findProfileForHost(profiles, hostOf(serverUrl));
  if (found === null) throw new ClientFault(protocolTexts.notFound);
  return found;
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
    // Told below: what JSON.parse says may quote a password.
  }
  throw new ClientFault('the credentials on standard input are no JSON object');
}
