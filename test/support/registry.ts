/** Debian's docker-registry (distribution 2.8) with token authentication: the reader of our tokens. */
import { writeFile } from 'node:fs/promises';
import { type Child, createTemporaryFolder, findFreePort, start } from './processes.ts';
import { readSample, type SamplePlace } from './samples.ts';

export interface RegistryOptions {
  /** The `auth.token` of its configuration. */
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  readonly rootCertificatePath: string;
  readonly tls?: {
    readonly certificatePath: string;
    readonly keyPath: string;
    readonly clientCaPath?: string;
  };
  /** Its configuration is the sample of etc/registry, which has no TLS. */
  readonly fromSample?: boolean;
}

export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:PORT`, as image names have it. */
  readonly host: string;
  readonly url: string;
  readonly port: number;
  readonly output: () => string;
}

/** Starts a registry on loopback that keeps its images in a temporary folder. */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const folder = await createTemporaryFolder();
  const port = await findFreePort();
  const configurationPath = folder.at('config.yml');
  const images = folder.at('images');
  const configuration =
    options.fromSample === true
      ? await readSample('registry/config-2.8.yml', samplePlaces(options, port, images))
      : JSON.stringify(registryConfiguration(options, port, images));
  await writeFile(configurationPath, configuration);
  const child: Child = start(['docker-registry', 'serve', configurationPath]);
  const dispose = async () => {
    await child.stop();
    await folder[Symbol.asyncDispose]();
  };
  try {
    await child.waitForLine(/listening on /);
  } catch (cause) {
    await dispose();
    throw cause;
  }
  const host = `127.0.0.1:${port}`;
  return {
    host,
    url: `${options.tls === undefined ? 'http' : 'https'}://${host}`,
    port,
    output: () => `${child.stdout()}${child.stderr()}`,
    [Symbol.asyncDispose]: dispose,
  };
}

function samplePlaces(options: RegistryOptions, port: number, images: string): SamplePlace[] {
  return [
    ['addr: 127.0.0.1:5000', `addr: 127.0.0.1:${port}`],
    ['/var/lib/docker-registry', images],
    ['https://registry.example.com/token', options.realm],
    ['service: registry.example.com', `service: ${options.service}`],
    ['registry-token.example.com', options.issuer],
    ['/etc/registry-token/registry-signing.crt', options.rootCertificatePath],
  ];
}

/** As JSON, which is YAML too. */
function registryConfiguration(options: RegistryOptions, port: number, images: string) {
  const { realm, service, issuer, rootCertificatePath, tls } = options;
  return {
    version: 0.1,
    log: { level: 'info', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: images }, delete: { enabled: true } },
    http: {
      addr: `127.0.0.1:${port}`,
      ...(tls === undefined
        ? {}
        : {
            tls: {
              certificate: tls.certificatePath,
              key: tls.keyPath,
              ...(tls.clientCaPath === undefined ? {} : { clientcas: [tls.clientCaPath] }),
            },
          }),
    },
    auth: { token: { realm, service, issuer, rootcertbundle: rootCertificatePath } },
  };
}
