/** Which stock clients a configuration serves, and how: told from what the configuration admits and where its realm is. */
import { acceptedBy } from '../assemble/options.ts';
import { authoritiesOf, type Configuration } from '../config/schema.ts';
import { isLoopback } from '../platform/loopback.ts';

export interface ClientReport {
  /** Names of clients that are served alike. */
  readonly clients: string;
  /** `agent`: only through `registry-token agent`, or with a token that was stored for them. */
  readonly served: 'yes' | 'agent';
  readonly how: string;
}

const BY_AGENT = 'by registry-token agent';
const BY_STORED_TOKEN = 'by registry-token token --docker-config, or by registry-token agent';

/** `registryHost`: `host:port` by which clients call the registry; null where that is not known. */
export function reportClients(configuration: Configuration, registryHost: string | null): ClientReport[] {
  const accept = authoritiesOf(configuration).flatMap(({ settings }) =>
    acceptedBy(settings, configuration.senderConstraint),
  );
  const realm = new URL(configuration.registry.realm[0] ?? '');
  if (accept.includes('none'))
    return [
      {
        clients: 'docker, podman, skopeo, buildah, containerd, nerdctl, BuildKit, crane, oras, helm, regctl',
        served: 'yes',
        how: 'with an OpTok as the password, and any user name',
      },
    ];
  if (!accept.includes('mtls') || !receivesCertificates(configuration))
    return [
      { clients: 'docker, BuildKit, crane, oras', served: 'agent', how: BY_STORED_TOKEN },
      {
        clients: 'podman, skopeo, buildah, containerd, nerdctl, helm, regctl, the kubelet',
        served: 'agent',
        how: BY_AGENT,
      },
    ];
  const host = registryHost ?? realm.host;
  return [
    reportGraphDriver(host),
    {
      clients: 'podman, skopeo, buildah',
      served: 'yes',
      how: `with the client certificate in /etc/containers/certs.d/${host}, and the credential helper`,
    },
    {
      clients: 'containerd, nerdctl, the kubelet',
      served: 'yes',
      how: `with the client certificate in hosts.toml of ${host}; a push on a base image that the plan does not allow needs containerd 2.x`,
    },
    { clients: 'docker before 29.5 with the containerd store', served: 'agent', how: BY_STORED_TOKEN },
    {
      clients: 'buildctl',
      served: 'yes',
      how: `with --registry-auth-tlscontext host=${host},ca=FILE,cert=FILE,key=FILE, and the credential helper`,
    },
    { clients: 'docker build, crane', served: 'agent', how: BY_STORED_TOKEN },
    { clients: 'regctl', served: 'yes', how: 'with the client certificate, and the credential helper' },
    reportSameHost(registryHost, realm.host),
  ];
}

/** Over TLS of its own, or from a proxy: without either no certificate reaches the service. */
function receivesCertificates({ server }: Configuration): boolean {
  return server.tls !== undefined || server.trustedProxies.length > 0;
}

/** dockerd takes a registry of 127.0.0.0/8 to be insecure, and uses no certs.d for it. */
function reportGraphDriver(host: string): ClientReport {
  const clients = 'docker with the graph driver, docker from 29.5';
  const { hostname } = new URL(`https://${host}`);
  if (isLoopback(hostname))
    return { clients, served: 'agent', how: `${BY_STORED_TOKEN}: it shows no certificate to ${host}` };
  const how = `with the client certificate in /etc/docker/certs.d/${host}, and the credential helper`;
  return { clients, served: 'yes', how };
}

/** oras and helm show their certificate to a realm of the registry's own host and port. */
function reportSameHost(registryHost: string | null, realmHost: string): ClientReport {
  const clients = 'oras, helm';
  if (registryHost !== null && registryHost !== realmHost)
    return {
      clients,
      served: 'agent',
      how: `${BY_AGENT}: they show no certificate to a realm of another host`,
    };
  const condition = registryHost === null ? ` where the registry is at ${realmHost} too` : '';
  return {
    clients,
    served: 'yes',
    how: `with the client certificate, and the credential helper${condition}`,
  };
}
