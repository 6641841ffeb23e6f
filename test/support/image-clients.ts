/** Clients that copy images: the ones of Debian here, those that come as Go modules in go-clients.ts. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { blobPath } from './images.ts';
import { type ChildOptions, type Finished, run, type TemporaryFolder } from './processes.ts';

export const imageClientNames = ['skopeo', 'buildah', 'podman'] as const;
export type ImageClientName = (typeof imageClientNames)[number];

/** All that the user of a client gives it: for a registry in the clear, on loopback, nothing. */
export type RegistryAccess = SecureAccess | 'plain-http';

export type SecureAccess = (PasswordAccess | HelperAccess) & {
  /** Has `ca.crt`, and where there is a client certificate `client.cert` and `client.key`. */
  readonly certificateFolder: string;
};

interface PasswordAccess {
  /** `USER:PASSWORD`. */
  readonly credentials: string;
}

export interface HelperAccess {
  /** Names the credential helper of each registry. */
  readonly authFile: string;
  /** By which it is found, and finds what it needs. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface ImageClient {
  /** Pushes the OCI layout in `folder`, whose name is in lower case, to `HOST/NAME:TAG`. */
  readonly push: (folder: string, target: string, access: RegistryAccess) => Promise<Finished>;
  /** Pulls `HOST/NAME:TAG` to where nothing is yet. `id` is of the image that came: null for none. */
  readonly pull: (source: string, access: RegistryAccess) => Promise<Finished & { id: string | null }>;
}

/** A client that keeps its files in `folder`. */
export function createImageClient(name: ImageClientName, folder: TemporaryFolder): ImageClient {
  return name === 'skopeo' ? createSkopeo(folder) : createStore(name, folder);
}

/** The hexadecimal digest of the configuration: what podman and others call the image by. */
export async function imageId(folder: string): Promise<string> {
  const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8'));
  const manifest = JSON.parse(await readFile(blobPath(folder, index.manifests[0].digest), 'utf8'));
  return manifest.config.digest.replace('sha256:', '');
}

/** skopeo copies from place to place. */
function createSkopeo(folder: TemporaryFolder): ImageClient {
  let pulls = 0;
  const copy = (access: RegistryAccess, ...words: readonly string[]) =>
    run(['skopeo', 'copy', '--insecure-policy', ...words], { env: environmentOf(access) });
  return {
    push: (source, target, access) =>
      copy(access, ...skopeoOptions(access, 'dest'), `oci:${source}:latest`, `docker://${target}`),
    pull: async (source, access) => {
      pulls += 1;
      const target = folder.at(`skopeo-${pulls}`);
      const places = [`docker://${source}`, `oci:${target}:latest`];
      const finished = await copy(access, ...skopeoOptions(access, 'src'), ...places);
      return { ...finished, id: finished.exitCode === 0 ? await imageId(target) : null };
    },
  };
}

/** buildah and podman copy from and to a store of their own. No container is run. */
function createStore(name: 'buildah' | 'podman', folder: TemporaryFolder): ImageClient {
  const options: ChildOptions = { env: { HOME: folder.path, TMPDIR: folder.path } };
  let stores = 0;
  const openStore = () => {
    stores += 1;
    const store = folder.at(`${name}-${stores}`);
    const places = ['--root', join(store, 'root'), '--runroot', join(store, 'run')];
    const own = name === 'podman' ? ['--tmpdir', join(store, 'tmp'), '--events-backend', 'none'] : [];
    return [name, ...places, '--storage-driver', 'vfs', ...own];
  };
  const accessOptions = (access: RegistryAccess) =>
    access === 'plain-http'
      ? ['--tls-verify=false']
      : ['--cert-dir', access.certificateFolder, ...loginOptions(access, '--creds')];
  const optionsFor = (access: RegistryAccess): ChildOptions => ({
    env: { ...options.env, ...environmentOf(access) },
  });
  return {
    push: async (source, target, access) => {
      const store = openStore();
      // By its relative name, from which the image gets one: letters in upper case may have no part in it.
      const relative = source.slice(dirname(source).length + 1);
      const filled = await run([...store, 'pull', '--quiet', `oci:${relative}:latest`], {
        ...options,
        cwd: dirname(source),
      });
      if (filled.exitCode !== 0) return filled;
      const image = filled.stdout.trim();
      const words = [...store, 'push', ...accessOptions(access), image, `docker://${target}`];
      return run(words, optionsFor(access));
    },
    pull: async (source, access) => {
      const words = [...openStore(), 'pull', '--quiet', ...accessOptions(access), `docker://${source}`];
      const finished = await run(words, optionsFor(access));
      return { ...finished, id: finished.exitCode === 0 ? finished.stdout.trim() : null };
    },
  };
}

function skopeoOptions(access: RegistryAccess, side: 'src' | 'dest'): readonly string[] {
  if (access === 'plain-http') return [`--${side}-tls-verify=false`];
  return [`--${side}-cert-dir`, access.certificateFolder, ...loginOptions(access, `--${side}-creds`)];
}

function loginOptions(access: SecureAccess, credentialsOption: string): readonly string[] {
  return 'authFile' in access ? ['--authfile', access.authFile] : [credentialsOption, access.credentials];
}

/** What a client is to find in its environment. */
export function environmentOf(access: RegistryAccess): Readonly<Record<string, string>> {
  return access !== 'plain-http' && 'authFile' in access ? access.environment : {};
}
