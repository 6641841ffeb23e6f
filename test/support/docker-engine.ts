/** Docker's engine without anything that runs a container, and its command line. Needs root. */
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Child, createTemporaryFolder, type Finished, run, runOrFail, start } from './processes.ts';
import type { TlsIdentity } from './tls-identities.ts';

export interface DockerEngine extends AsyncDisposable {
  /** A command of `docker`; its credentials are those of the folder `configuration`, as `DOCKER_CONFIG`. */
  readonly docker: (
    words: readonly string[],
    configuration: string,
    options?: { readonly input?: string; readonly env?: Readonly<Record<string, string>> },
  ) => Promise<Finished>;
  /** Loads the OCI layout in `folder` as `HOST/NAME:TAG`. */
  readonly load: (folder: string, name: string) => Promise<void>;
  /** What /etc/docker/certs.d has for a registry: the certificate of its CA, and of the client where there is one. */
  readonly trust: (host: string, caPath: string, identity: TlsIdentity | null) => Promise<void>;
  readonly output: () => string;
}

/** An address of this machine that is not loopback: the engine shows no certificate to a registry on loopback. */
export async function addAddress(): Promise<{ readonly address: string } & AsyncDisposable> {
  const part = () => 1 + Math.floor(Math.random() * 250);
  const address = `10.${part()}.${part()}.${part()}`;
  await runOrFail(['ip', 'address', 'add', `${address}/32`, 'dev', 'lo']);
  const dispose = async () => {
    await run(['ip', 'address', 'del', `${address}/32`, 'dev', 'lo']);
  };
  return { address, [Symbol.asyncDispose]: dispose };
}

/** `program`: the engine's, Debian's where not given. Its /etc/docker is a folder of its own. */
export async function startDockerEngine(program = 'dockerd'): Promise<DockerEngine> {
  const folder = await createTemporaryFolder();
  const socket = `unix://${folder.at('docker.sock')}`;
  const certificates = folder.at('etc/certs.d');
  await mkdir(certificates, { recursive: true });
  await mkdir('/etc/docker', { recursive: true });
  const places = ['--data-root', folder.at('data'), '--exec-root', folder.at('exec'), '--host', socket];
  const quiet = ['--iptables=false', '--ip6tables=false', '--ip-forward=false', '--bridge=none'];
  const child: Child = start([
    ...['unshare', '--mount', 'sh', '-c', 'mount --bind "$1" /etc/docker && shift && exec "$@"', 'sh'],
    ...[folder.at('etc'), program, ...places, '--pidfile', folder.at('docker.pid'), ...quiet],
    ...['--storage-driver', 'vfs'],
  ]);
  const dispose = async () => {
    await child.stop();
    await folder[Symbol.asyncDispose]();
  };
  try {
    await child.waitForLine(/API listen on/, 60_000);
  } catch (cause) {
    await dispose();
    throw cause;
  }
  let archives = 0;
  const docker: DockerEngine['docker'] = (words, configuration, options = {}) =>
    run(['docker', '--host', socket, ...words], {
      ...options,
      env: { HOME: folder.path, DOCKER_CONFIG: configuration, ...options.env },
    });
  return {
    docker,
    load: async (layout, name) => {
      archives += 1;
      const archive = folder.at(`archive-${archives}.tar`);
      const target = `docker-archive:${archive}:${name}`;
      await runOrFail(['skopeo', 'copy', '--insecure-policy', `oci:${layout}:latest`, target]);
      const loaded = await docker(['load', '--input', archive], folder.path);
      if (loaded.exitCode !== 0) throw new Error(`The image was not loaded: ${loaded.stderr}`);
    },
    trust: async (host, caPath, identity) => {
      const target = join(certificates, host);
      await rm(target, { recursive: true, force: true });
      await mkdir(target);
      await copyFile(caPath, join(target, 'ca.crt'));
      if (identity === null) return;
      await copyFile(identity.certificatePath, join(target, 'client.cert'));
      await copyFile(identity.keyPath, join(target, 'client.key'));
    },
    output: () => `${child.stdout()}${child.stderr()}`,
    [Symbol.asyncDispose]: dispose,
  };
}
