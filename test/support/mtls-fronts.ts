/**
 * The service and a registry as clients with certificates meet them: each with TLS of its own, the service by two
 * workers, or both behind a proxy.
 */
import { createPublicKey } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import type { MtlsParties, TlsParties } from './mtls-parties.ts';
import { type Child, findFreePort, settled, start } from './processes.ts';
import { certificateHeaders, type ProxyName, startProxy } from './proxies.ts';
import { type Registry, type RegistryOptions, type RegistryProgram, startRegistry } from './registry.ts';
import {
  nextSecond,
  REGISTRY_SERVICE,
  type Section,
  serviceCommand,
  serviceConfiguration,
  TOKEN_ISSUER,
} from './running-service.ts';
import type { TlsIdentity } from './tls-identities.ts';

export interface Front extends AsyncDisposable {
  /** `localhost:PORT`, as image names have it. */
  readonly registryHost: string;
  readonly realm: string;
  /** The service's own port, which a client behind nginx must not use. */
  readonly servicePort: number;
  /** What the service has logged: a decision stands there soon after the client has its answer. */
  readonly serviceLog: () => Promise<string>;
  /** What everything has logged so far. */
  readonly logs: () => string;
}

export interface OwnTlsFront extends Front {
  /** Of the service. */
  readonly configurationPath: string;
  readonly waitForLog: Child['waitForLine'];
}

export const fronts = {
  'its own TLS listener': (parties: MtlsParties) => startOwnTls(parties),
  nginx: (parties: MtlsParties) => startBehindProxy(parties, 'nginx'),
} as const;

/** Each has TLS of its own. `sections` are whole sections of the service's configuration in place of the usual ones. */
export async function startOwnTls(parties: TlsParties, sections: Section = {}): Promise<OwnTlsFront> {
  await using parts = new AsyncDisposableStack();
  const { server } = parties;
  const servicePort = await findFreePort();
  const realm = `https://localhost:${servicePort}/token`;
  const tls = { certPath: server.certificatePath, keyPath: server.keyPath };
  const service = parts.use(await startServe(parties, servicePort, realm, { tls, workers: 2 }, sections));
  const registry = parts.use(await startRegistryFor(parties, realm, { tls: server }));
  const owned = parts.move();
  return {
    registryHost: `localhost:${registry.port}`,
    realm,
    servicePort,
    configurationPath: configurationPathOf(parties, servicePort),
    waitForLog: service.waitForLine,
    serviceLog: () => settled(service.stderr),
    logs: () => `${service.stdout()}${service.stderr()}${registry.output()}`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export interface ProxyFrontOptions {
  /** Default `docker-registry`. */
  readonly program?: RegistryProgram;
  /** An address of this machine by which clients call it, with the certificate for it; default: loopback. */
  readonly address?: { readonly host: string; readonly server: TlsIdentity };
  /** Whole sections of the service's configuration in place of the usual ones. */
  readonly sections?: Section;
}

/** Registry and realm are both behind a proxy, each by its sample. */
export async function startBehindProxy(
  parties: MtlsParties,
  name: ProxyName,
  { program = 'docker-registry', address, sections = {} }: ProxyFrontOptions = {},
): Promise<Front> {
  await using parts = new AsyncDisposableStack();
  const [port, servicePort] = [await findFreePort(), await findFreePort()];
  const registryHost = `${address?.host ?? 'localhost'}:${port}`;
  const realm = `https://${registryHost}/token`;
  const believing = { trustedProxies: ['127.0.0.1/32'], clientCertificateHeader: certificateHeaders[name] };
  const service = parts.use(await startServe(parties, servicePort, realm, believing, sections));
  const registry = parts.use(await startRegistryFor(parties, realm, { program, fromSample: true }));
  const proxy = parts.use(
    await startProxy(name, {
      host: address?.host ?? '127.0.0.1',
      port,
      registryPort: registry.port,
      servicePort,
      server: address?.server ?? parties.server,
      clientsCa: parties.certificateAuthority,
    }),
  );
  const owned = parts.move();
  return {
    registryHost,
    realm,
    servicePort,
    serviceLog: () => settled(service.stderr),
    logs: () => `${service.stdout()}${service.stderr()}${registry.output()}${proxy.output()}`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Starts `serve` and waits until it is ready to issue. */
async function startServe(
  parties: TlsParties,
  port: number,
  realm: string,
  server: Section,
  sections: Section = {},
): Promise<Child> {
  const { authority, certificateAuthority, signing, environment } = parties;
  const usual = serviceConfiguration({ authorityIssuer: authority.issuer, signing: { ...signing } }, port);
  const configuration = {
    ...usual,
    server: { ...(usual.server as Section), ...server },
    authority: { ...(usual.authority as Section), caPath: certificateAuthority.certificatePath },
    registry: { realm, allowedServices: [REGISTRY_SERVICE] },
    ...sections,
  };
  const path = configurationPathOf(parties, port);
  await writeFile(path, stringify(configuration));
  const child = start([...serviceCommand, 'serve', '--config', path], { env: environment });
  try {
    const [, url] = await child.waitForLine(/"url":"([^"]+)"/);
    await untilReady(`${url}/readyz`, certificateAuthority.certificate);
    await nextSecond();
  } catch (cause) {
    await child.stop();
    throw cause;
  }
  return child;
}

function configurationPathOf({ folder }: TlsParties, port: number): string {
  return folder.at(`registry-token-${port}.yaml`);
}

async function untilReady(url: string, ca: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const { status } = await fetch(url, { tls: { ca } });
    if (status === 200) return;
    if (performance.now() > deadline) throw new Error(`${url} is still ${status} after 10 s.`);
    await Bun.sleep(20);
  }
}

async function startRegistryFor(
  { signing, folder }: TlsParties,
  realm: string,
  options: Pick<RegistryOptions, 'program' | 'fromSample' | 'tls'>,
): Promise<Registry> {
  // The sample of 3.x has a key set beside the certificate.
  const jwksPath = folder.at('registry-jwks.json');
  const key = createPublicKey(await readFile(signing.certificatePath)).export({ format: 'jwk' });
  await writeFile(jwksPath, JSON.stringify({ keys: [{ ...key, kid: 'registry-signing' }] }));
  const names = { service: REGISTRY_SERVICE, issuer: TOKEN_ISSUER };
  const isNew = options.program !== undefined && options.program !== 'docker-registry';
  return startRegistry({
    ...options,
    ...names,
    realm,
    rootCertificatePath: signing.certificatePath,
    ...(isNew ? { jwksPath } : {}),
  });
}
