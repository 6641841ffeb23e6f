/** `kubelet-credential-provider`: gives the kubelet credentials for an image (credentialprovider.kubelet.k8s.io/v1). */
import { NEAR_EXPIRY_S, noOpTokCache, obtainBoundOpTok } from '../../client/bound-op-tok.ts';
import { ClientFault } from '../../client/client-fault.ts';
import { type Command, type CommandContext, readOptions } from '../command.ts';
import { CREDENTIAL_USER } from './docker-credential.ts';
import { failingByFaults, toClientSettings, wallClockSurroundings } from './options.ts';
import { findProfileForHost, findProfilesFile, loadProfiles } from './profile.ts';

const API_VERSION = 'credentialprovider.kubelet.k8s.io/v1';

export const kubeletCredentialProvider: Command = {
  name: 'kubelet-credential-provider',
  summary: "is the kubelet's image credential provider, for OpToks bound to a client certificate",
  help: `Usage: registry-token kubelet-credential-provider [--profiles FILE]

Reads a CredentialProviderRequest (${API_VERSION}) from standard input and writes a
CredentialProviderResponse: for an image of a registry that a profile is for, an OpTok that the Authority bound to the
certificate of that profile. The kubelet keeps it for as long as cacheDuration says, which ends a minute before the
OpTok does. For other images it answers that it has no credentials.

The container runtime must show the same certificate to the realm: for containerd, client in
/etc/containerd/certs.d/HOST/hosts.toml.

  --profiles FILE   the file with the profiles, as of docker-credential; the kubelet has no home folder, so name it

Exit codes: 0 answered, 1 the request or the Authority is at fault, 2 usage, 78 a profile is wrong.

Example, with etc/kubernetes/credential-provider.yaml as --image-credential-provider-config of the kubelet:
  echo '{"apiVersion":"${API_VERSION}","kind":"CredentialProviderRequest",
    "image":"registry.example.com/team/app:1"}' |
    registry-token kubelet-credential-provider --profiles /etc/registry-token/client.yaml
`,
  run: failingByFaults(run),
};

async function run({ args, env, readInput, print }: CommandContext): Promise<number> {
  const { profiles: path } = readOptions(args, { profiles: { type: 'string' } });
  const host = registryOfImage(parseImage(await readInput()));
  const { file, exists } = findProfilesFile(path, env);
  const found = exists ? findProfileForHost(loadProfiles(file), host) : null;
  if (found === null) {
    print(respond(0, null));
    return 0;
  }
  const surroundings = wallClockSurroundings();
  // The kubelet keeps it itself: what a cache of ours had left of it would be kept for too long.
  const opTok = await obtainBoundOpTok(toClientSettings({}, found.profile), noOpTokCache, surroundings);
  const lifetime = opTok.expiresAt === null ? 0 : opTok.expiresAt - surroundings.clock();
  const cacheSeconds = Math.max(0, Math.floor(lifetime - NEAR_EXPIRY_S));
  print(respond(cacheSeconds, { [host]: { username: CREDENTIAL_USER, password: opTok.accessToken } }));
  return 0;
}

/** `auth: null` says that there are no credentials for the image. */
function respond(
  cacheSeconds: number,
  auth: Readonly<Record<string, { readonly username: string; readonly password: string }>> | null,
): string {
  const response = {
    apiVersion: API_VERSION,
    kind: 'CredentialProviderResponse',
    cacheKeyType: 'Registry',
    cacheDuration: `${cacheSeconds}s`,
    auth,
  };
  return `${JSON.stringify(response)}\n`;
}

function parseImage(text: string): string {
  let request: unknown;
  try {
    request = JSON.parse(text);
  } catch {
    request = null;
  }
  const { apiVersion, kind, image } = (request ?? {}) as Readonly<Record<string, unknown>>;
  if (kind !== 'CredentialProviderRequest' || typeof image !== 'string' || image === '')
    throw new ClientFault('standard input holds no CredentialProviderRequest with an image');
  if (apiVersion !== API_VERSION)
    throw new ClientFault(
      `the request is of another version than ${API_VERSION}; set it as apiVersion there`,
    );
  return image;
}

/** The first component of a name is a registry where it could be none of Docker Hub's (distribution/reference). */
export function registryOfImage(image: string): string {
  const [first = '', ...others] = image.split('/');
  const isHost = others.length > 0 && (/[.:]/.test(first) || first === 'localhost' || /[A-Z]/.test(first));
  return isHost ? first : 'docker.io';
}
