/** A user of the credential helper: the link in PATH, the profile, and a session's runtime folder. Nothing else. */
import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { MtlsParties } from './mtls-parties.ts';
import { searchPath } from './processes.ts';
import { BINARY } from './running-service.ts';
import { readSample } from './samples.ts';
import type { TlsIdentity } from './tls-identities.ts';

export interface HelperUser {
  /** Docker's and podman's configuration, with the helper for the registry. */
  readonly authFile: string;
  readonly profilesPath: string;
  readonly environment: Readonly<Record<string, string>>;
  /** The name by which the compiled program is the helper. */
  readonly helper: string;
  /** The files of the session's runtime folder that the helper has written. */
  readonly keptFiles: () => Promise<readonly string[]>;
}

export async function createHelperUser(
  { folder, authority, certificateAuthority, environment }: MtlsParties,
  identity: TlsIdentity,
  registryHost: string,
): Promise<HelperUser> {
  const root = folder.at(`user-${identity.name}`);
  const [programs, configuration, runtime] = ['bin', 'config', 'runtime'].map((name) => join(root, name));
  if (!programs || !configuration || !runtime) throw new Error('The folders have no names.');
  await mkdir(programs, { recursive: true });
  await mkdir(join(configuration, 'registry-token'), { recursive: true });
  await mkdir(runtime);
  await chmod(runtime, 0o700);
  const helper = join(programs, 'docker-credential-registry-token');
  await symlink(BINARY, helper);
  const profile = {
    authority: authority.issuer,
    clientId: identity.name,
    certPath: identity.certificatePath,
    keyPath: identity.keyPath,
    caPath: certificateAuthority.certificatePath,
    registry: registryHost,
  };
  const profilesPath = join(configuration, 'registry-token/client.yaml');
  await writeFile(profilesPath, stringify({ profiles: { [identity.name]: profile } }));
  const authFile = join(root, 'auth.json');
  await writeFile(
    authFile,
    await readSample('containers/auth.json', [['registry.example.com', registryHost]]),
  );
  const kept = join(runtime, 'registry-token');
  const keptFiles = async () => (await readdir(kept)).map((name) => join(kept, name));
  return {
    authFile,
    profilesPath,
    helper,
    environment: {
      ...environment,
      PATH: `${programs}:${searchPath}`,
      XDG_CONFIG_HOME: configuration,
      XDG_RUNTIME_DIR: runtime,
    },
    keptFiles,
  };
}
