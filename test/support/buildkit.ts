/** BuildKit without anything that runs a container: `buildkitd`, and `buildctl` as its user calls it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { type Child, createTemporaryFolder, type Finished, run, start } from './processes.ts';

export interface BuildKitRegistry {
  readonly host: string;
  /** Has `ca.crt`, `client.cert` and `client.key`; null for a registry in the clear. */
  readonly certificateFolder: string | null;
}

export interface BuildKit extends AsyncDisposable {
  /** Builds this Dockerfile, in a context with one new file `greeting.txt`, and pushes it to `target`. */
  readonly build: (
    dockerfile: string,
    target: string,
    env: Readonly<Record<string, string>>,
  ) => Promise<Finished>;
}

export async function startBuildKit({ host, certificateFolder }: BuildKitRegistry): Promise<BuildKit> {
  const folder = await createTemporaryFolder();
  const address = `unix://${folder.at('buildkitd.sock')}`;
  const [ca, cert, key] = ['ca.crt', 'client.cert', 'client.key'].map(
    (name) => `${certificateFolder}/${name}`,
  );
  const access =
    certificateFolder === null
      ? 'http = true\n'
      : `http = false\nca = ["${ca}"]\n[[registry."${host}".keypair]]\nkey = "${key}"\ncert = "${cert}"\n`;
  await writeFile(folder.at('buildkitd.toml'), `[registry."${host}"]\n${access}`);
  const child: Child = start(
    [
      ...[
        'buildkitd',
        '--config',
        folder.at('buildkitd.toml'),
        '--root',
        folder.at('root'),
        '--addr',
        address,
      ],
      ...['--oci-worker-snapshotter', 'native', '--oci-worker-net', 'host', '--containerd-worker=false'],
    ],
    { env: { HOME: folder.path, TMPDIR: folder.path } },
  );
  const dispose = async () => {
    await child.stop();
    await folder[Symbol.asyncDispose]();
  };
  try {
    await child.waitForLine(/running server on/);
  } catch (cause) {
    await dispose();
    throw cause;
  }
  let contexts = 0;
  return {
    build: async (dockerfile, target, env) => {
      contexts += 1;
      const context = folder.at(`context-${contexts}`);
      await mkdir(context);
      await writeFile(`${context}/Dockerfile`, dockerfile);
      await writeFile(`${context}/greeting.txt`, `${target}\n`);
      const tls =
        certificateFolder === null ? [] : [`host=${host}`, `ca=${ca}`, `cert=${cert}`, `key=${key}`];
      return run(
        [
          ...['buildctl', '--addr', address, 'build', '--frontend', 'dockerfile.v0', '--progress', 'plain'],
          ...['--local', `context=${context}`, '--local', `dockerfile=${context}`],
          ...['--output', `type=image,name=${target},push=true`],
          ...(tls.length === 0 ? [] : ['--registry-auth-tlscontext', tls.join(',')]),
        ],
        { env: { HOME: folder.path, ...env } },
      );
    },
    [Symbol.asyncDispose]: dispose,
  };
}
