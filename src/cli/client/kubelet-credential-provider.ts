/** `kubelet-credential-provider`: gives the kubelet credentials for an image (credentialprovider.kubelet.k8s.io/v1). */

import { ClientFault } from '../../client/client-fault.ts';
import type { ClientSettings } from '../../client/client-settings.ts';
import { noOpTokCache, obtainOpTokAsPassword } from '../../client/op-tok-as-password.ts';
import { excerpt } from '../../platform/escape.ts';
import { type Command, type CommandContext, readOptions } from '../command.ts';
import { CREDENTIAL_USER } from './docker-credential.ts';
import { clientDependencies, failingByFaults, finishRefreshes, toClientSettings } from './options.ts';
import {
  findProfileForHost,
  findProfilesFile,
  loadProfiles,
  type NamedProfile,
  type Profile,
} from './profile.ts';

const API_VERSION = 'credentialprovider.kubelet.k8s.io/v1';

/** The annotation of a service account that names the profile for its pods. */
const PROFILE_ANNOTATION = 'registry-token/profile';

export const kubeletCredentialProvider: Command = {
  name: 'kubelet-credential-provider',
  summary: "the kubelet's image credential provider",
  help: `Usage: registry-token kubelet-credential-provider [--profiles FILE] [options]

Reads a CredentialProviderRequest (${API_VERSION}) from standard input and writes a
CredentialProviderResponse: for an image of a registry that a profile is for, an OpTok that the Authority bound to the
certificate of that profile. The kubelet keeps it for half of its life (cacheDuration). For other images it answers that it
has no credentials.

The container runtime must present the same certificate to the realm: for containerd, client in
/etc/containerd/certs.d/HOST/hosts.toml.

With serviceAccountToken: true in a profile, the OpTok is the token of the pod's service account, which the kubelet sends
along (tokenAttributes in its CredentialProviderConfig; Kubernetes 1.34 and later). It is a bearer token: the profile needs a
realm, and the token is only handed out while the registry names that realm. If several such profiles are for
one registry, the service account chooses by the annotation ${PROFILE_ANNOTATION}. A profile may
also have opTokPath, opTokEnv or opTokCommand.

  --profiles FILE   the file with the profiles, as of docker-credential; the kubelet has no home folder, so name it
  --op-tok-path FILE, --op-tok-env NAME, --op-tok-command COMMAND
                    an OpTok that exists already, in place of the profile's
  --realm URL       the only realm that may get a bearer token

Exit codes: 0 answered, 1 the request or the Authority is at fault, 2 usage, 78 a profile is wrong.

Example, with etc/kubernetes/credential-provider.yaml as --image-credential-provider-config of the kubelet:
  echo '{"apiVersion":"${API_VERSION}","kind":"CredentialProviderRequest",
    "image":"registry.example.com/team/app:1"}' |
    registry-token kubelet-credential-provider --profiles /etc/registry-token/client.yaml
`,
  run: failingByFaults(run),
};

async function run(context: CommandContext): Promise<number> {
  const { args, env, readInput, print } = context;
  const options = readOptions(args, {
    profiles: { type: 'string' },
    'op-tok-path': { type: 'string' },
    'op-tok-env': { type: 'string' },
    'op-tok-command': { type: 'string' },
    realm: { type: 'string' },
  });
  const request = parseRequest(await readInput());
  const host = registryOfImage(request.image);
  const { file, exists } = findProfilesFile(options.profiles, env);
  const profile = chooseProfileFor(exists ? loadProfiles(file) : [], host, request);
  const hasOwnOpTok = [options['op-tok-path'], options['op-tok-env'], options['op-tok-command']].some(
    Boolean,
  );
  if (profile === null && !hasOwnOpTok) {
    print(respond(0, null));
    return 0;
  }
  const settings = settingsFor(options, profile ?? {}, request, env);
  finishRefreshes(settings, context);
  const dependencies = clientDependencies(context);
  // The kubelet has its own cache: an OpTok from ours would have less of its life left.
  const { accessToken, expiresAt } = await obtainOpTokAsPassword(
    settings,
    { registry: host, realm: options.realm ?? profile?.realm ?? null },
    noOpTokCache,
    dependencies,
  );
  const lifetime = expiresAt === null ? 0 : expiresAt - dependencies.clock();
  print(respond(lifetime / 2, { [host]: { username: CREDENTIAL_USER, password: accessToken } }));
  return 0;
}

interface ImageRequest {
  readonly image: string;
  /** Of the pod's service account; null if the kubelet sent none. */
  readonly token: string | null;
  /** The profile that the annotation of the service account names. */
  readonly profileName: string | null;
}

/** A token of a service account is used only for a profile that says so, and its annotation chooses among these alone. */
function chooseProfileFor(
  profiles: readonly NamedProfile[],
  host: string,
  { token, profileName }: ImageRequest,
): Profile | null {
  const [forToken, others] = [true, false].map((wanted) =>
    profiles.filter(({ profile }) => (profile.serviceAccountToken === true) === wanted),
  ) as [NamedProfile[], NamedProfile[]];
  const byToken = findProfileForHost(forToken, host);
  const other = findProfileForHost(others, host);
  if (token === null) {
    if (byToken !== null && other === null)
      throw new ClientFault(
        `the request has no serviceAccountToken, which the profile ${byToken.name} needs; set tokenAttributes in the ` +
          'CredentialProviderConfig',
      );
    return other?.profile ?? null;
  }
  if (profileName === null) return (byToken ?? other)?.profile ?? null;
  const named = findProfileForHost(
    forToken.filter(({ name }) => name === profileName),
    host,
  );
  if (named === null)
    throw new ClientFault(
      `the annotation ${PROFILE_ANNOTATION} names ${excerpt(profileName, 64)}; no profile of that name has ` +
        `serviceAccountToken: true and is for ${excerpt(host)}`,
    );
  return named.profile;
}

function settingsFor(
  options: Parameters<typeof toClientSettings>[0],
  profile: Partial<Profile>,
  { token }: ImageRequest,
  env: CommandContext['env'],
): ClientSettings {
  if (profile.serviceAccountToken !== true || token === null) return toClientSettings(options, profile, env);
  return {
    source: { kind: 'text', text: token, from: 'serviceAccountToken of the request' },
    bind: profile.bind ?? null,
    certificate: null,
    caPath: profile.caPath ?? null,
    dpopKeyPath: null,
  };
}

/** `auth: null` says that there are no credentials for the image. */
function respond(
  cacheSeconds: number,
  auth: Readonly<Record<string, { readonly username: string; readonly password: string }>> | null,
): string {
  const response = {
    apiVersion: API_VERSION,
    kind: 'CredentialProviderResponse',
    // For a service account's token the kubelet adds the account or the token to the key by itself.
    cacheKeyType: 'Registry',
    cacheDuration: `${Math.max(0, Math.floor(cacheSeconds))}s`,
    auth,
  };
  return `${JSON.stringify(response)}\n`;
}

function parseRequest(text: string): ImageRequest {
  let request: unknown;
  try {
    request = JSON.parse(text);
  } catch {
    request = null;
  }
  const { apiVersion, kind, image, serviceAccountToken, serviceAccountAnnotations } = (request ??
    {}) as Readonly<Record<string, unknown>>;
  if (kind !== 'CredentialProviderRequest' || typeof image !== 'string' || image === '')
    throw new ClientFault('standard input holds no CredentialProviderRequest with an image');
  if (apiVersion !== API_VERSION)
    throw new ClientFault(`the apiVersion of the request is not ${API_VERSION}; set it so for this provider`);
  const annotations = (serviceAccountAnnotations ?? {}) as Readonly<Record<string, unknown>>;
  const profileName = annotations[PROFILE_ANNOTATION];
  return {
    image,
    token: typeof serviceAccountToken === 'string' && serviceAccountToken !== '' ? serviceAccountToken : null,
    profileName: typeof profileName === 'string' ? profileName : null,
  };
}

/** The first component of a name is a registry where it could be none of Docker Hub's (distribution/reference). */
export function registryOfImage(image: string): string {
  const [first = '', ...others] = image.split('/');
  const isHost = others.length > 0 && (/[.:]/.test(first) || first === 'localhost' || /[A-Z]/.test(first));
  return isHost ? first : 'docker.io';
}
