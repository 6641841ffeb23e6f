/** containerd without anything that runs a container, and its client `ctr`. */
import { mkdir, writeFile } from 'node:fs/promises';
import { type Child, createTemporaryFolder, type Finished, run, start } from './processes.ts';
import { readSample } from './samples.ts';

/** Of a registry over TLS; in the clear there is nothing to say of one. */
export interface ContainerdOptions {
  /** `localhost:PORT`, with the certificate folder of that registry: `ca.crt`, `client.cert` and `client.key`. */
  readonly registryHost: string;
  readonly certificateFolder: string;
}

export interface Containerd extends AsyncDisposable {
  /** Fetches the blobs of `HOST/NAME:TAG` by `user:password`, or without credentials. */
  readonly fetch: (image: string, credentials: string | null) => Promise<Finished>;
  /** Pushes what was fetched as `image` to `target`. */
  readonly push: (target: string, image: string, credentials: string | null) => Promise<Finished>;
  /** Whether it has this blob: `sha256:…`. */
  readonly has: (digest: string) => Promise<boolean>;
}

/** Debian's, or the newest of 2.x that `.ci/go-parts` builds. */
export type ContainerdVersion = 'containerd' | 'containerd-2';

/** `null` for registries in the clear. */
export async function startContainerd(
  options: ContainerdOptions | null,
  version: ContainerdVersion = 'containerd',
): Promise<Containerd> {
  const folder = await createTemporaryFolder();
  const address = folder.at('containerd.sock');
  await writeFile(folder.at('config.toml'), daemonConfiguration(folder.path, address));
  const hosts = folder.at('hosts');
  if (options !== null) {
    await mkdir(`${hosts}/${options.registryHost}`, { recursive: true });
    await writeFile(`${hosts}/${options.registryHost}/hosts.toml`, await hostsToml(options));
  }
  const child: Child = start([version, '--config', folder.at('config.toml')]);
  const dispose = async () => {
    await child.stop();
    await folder[Symbol.asyncDispose]();
  };
  try {
    await child.waitForLine(/successfully booted/);
  } catch (cause) {
    await dispose();
    throw cause;
  }
  const program = version === 'containerd' ? 'ctr' : 'ctr-2';
  const ctr = (...words: readonly string[]) => run([program, '--address', address, ...words]);
  const access = (credentials: string | null) => [
    ...(options === null ? ['--plain-http'] : ['--hosts-dir', hosts]),
    ...(credentials === null ? [] : ['--user', credentials]),
  ];
  return {
    fetch: (image, credentials) => ctr('content', 'fetch', ...access(credentials), image),
    push: (target, image, credentials) => ctr('images', 'push', ...access(credentials), target, image),
    has: async (digest) => (await ctr('content', 'ls', '--quiet')).stdout.split('\n').includes(digest),
    [Symbol.asyncDispose]: dispose,
  };
}

function daemonConfiguration(folder: string, address: string): string {
  return `version = 2
root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${address}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${folder}/opt"
`;
}

/** The sample, as a user has it in /etc/containerd/certs.d/HOST/, with the test's registry and certificates. */
function hostsToml({ registryHost, certificateFolder }: ContainerdOptions): Promise<string> {
  const folder = '/etc/containerd/certs.d/registry.example.com';
  return readSample('containerd/hosts.toml', [
    ['server = "https://registry.example.com"', `server = "https://${registryHost}"`],
    ['[host."https://registry.example.com"]', `[host."https://${registryHost}"]`],
    [`"${folder}/ca.crt"`, `"${certificateFolder}/ca.crt"`],
    [`"${folder}/client.cert"`, `"${certificateFolder}/client.cert"`],
    [`"${folder}/client.key"`, `"${certificateFolder}/client.key"`],
  ]);
}
