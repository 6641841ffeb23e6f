/** A registry with token authentication, the reader of our tokens: Debian's docker-registry is distribution 2.8. */
import { writeFile } from 'node:fs/promises';
import { type Child, createTemporaryFolder, findFreePort, start } from './processes.ts';
import { readSample, type SamplePlace } from './samples.ts';

/** The programs of distribution 2.8, 3.0 and 3.1. */
export type RegistryProgram = 'docker-registry' | 'registry-3.0' | 'registry-3.1';

/** 3.x would tell a collector on this machine of every request. */
export const REGISTRY_ENVIRONMENT = { OTEL_TRACES_EXPORTER: 'none' };

export interface RegistryOptions {
  /** Default `docker-registry`. */
  readonly program?: RegistryProgram;
  /** The `auth.token` of its configuration. */
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  readonly rootCertificatePath?: string;
  /** For 3.x alone. */
  readonly jwksPath?: string;
  readonly tls?: {
    readonly certificatePath: string;
    readonly keyPath: string;
    readonly clientCaPath?: string;
  };
  /** Its configuration is the sample of etc/registry for its version, which has no TLS. */
  readonly fromSample?: boolean;
}

export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:PORT`, as image names have it. */
  readonly host: string;
  readonly url: string;
  readonly port: number;
  readonly configurationPath: string;
  readonly output: () => string;
}

/** Starts a registry on loopback that keeps its images in a temporary folder. */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { program = 'docker-registry' } = options;
  const folder = await createTemporaryFolder();
  const port = await findFreePort();
  const configurationPath = folder.at('config.yml');
  const images = folder.at('images');
  const configuration =
    options.fromSample === true
      ? await readRegistrySample(program, options, port, images)
      : JSON.stringify(registryConfiguration(options, port, images));
  await writeFile(configurationPath, configuration);
  const child: Child = start([program, 'serve', configurationPath], { env: REGISTRY_ENVIRONMENT });
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
    configurationPath,
    output: () => `${child.stdout()}${child.stderr()}`,
    [Symbol.asyncDispose]: dispose,
  };
}

function readRegistrySample(
  program: RegistryProgram,
  options: RegistryOptions,
  port: number,
  images: string,
): Promise<string> {
  const places: SamplePlace[] = [
    ['addr: 127.0.0.1:5000', `addr: 127.0.0.1:${port}`],
    ['https://registry.example.com/token', options.realm],
    ['service: registry.example.com', `service: ${options.service}`],
    ['registry-token.example.com', options.issuer],
  ];
  const { rootCertificatePath, jwksPath } = options;
  if (program === 'docker-registry')
    return readSample('registry/config-2.8.yml', [
      ...places,
      ['/var/lib/docker-registry', images],
      ['/etc/registry-token/registry-signing.crt', rootCertificatePath ?? ''],
    ]);
  return readSample('registry/config-3.x.yml', [
    ...places,
    ['/var/lib/registry', images],
    ['/etc/registry-token/registry-jwks.json', jwksPath ?? ''],
    ['/etc/registry-token/registry-signing.crt', rootCertificatePath ?? ''],
  ]);
}

/** As JSON, which is YAML too. */
function registryConfiguration(options: RegistryOptions, port: number, images: string) {
  const { realm, service, issuer, rootCertificatePath, jwksPath, tls } = options;
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
    auth: {
      token: {
        realm,
        service,
        issuer,
        ...(rootCertificatePath === undefined ? {} : { rootcertbundle: rootCertificatePath }),
        ...(jwksPath === undefined ? {} : { jwks: jwksPath }),
      },
    },
  };
}
