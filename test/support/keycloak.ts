/** Keycloak as `.ci/java-parts` has built it, over https, set up by its administration's API. */
import { join } from 'node:path';
import { cachedParts, type OAuthServer } from './oauth-servers.ts';
import { findFreePort, start } from './processes.ts';
import { keepSecret } from './secret-watch.ts';
import type { CertificateAuthority } from './tls-identities.ts';

export interface Keycloak extends OAuthServer {
  /** Adds a client with the scope of the registry; `roles` are those of its service account, if it has one. */
  readonly addClient: (client: ClientSettings, roles: readonly string[]) => Promise<void>;
  /** Adds a person with these roles of the realm. */
  readonly addPerson: (name: string, password: string, roles: readonly string[]) => Promise<void>;
  /** Makes a new key the one that signs. */
  readonly rotateKey: () => Promise<void>;
}

/** As the administration's API has it. */
export interface ClientSettings {
  readonly clientId: string;
  readonly [setting: string]: unknown;
}

const REALM = 'main';

/**
 * Starts it on a free port with a realm, its scope and its role. Its own certificate and those of its clients are of this
 * certificate authority. A loaded machine takes a minute and more.
 */
export async function startKeycloak(certificateAuthority: CertificateAuthority): Promise<Keycloak> {
  const { certificatePath, keyPath } = await certificateAuthority.issue('keycloak');
  const port = await findFreePort();
  const url = `https://localhost:${port}`;
  const password = keepSecret(crypto.randomUUID());
  const words = [
    ...['start', '--optimized', '--cache=local', '--http-enabled=false', '--http-host=127.0.0.1'],
    ...[`--https-port=${port}`, `--hostname=${url}`],
    ...[`--https-certificate-file=${certificatePath}`, `--https-certificate-key-file=${keyPath}`],
    `--https-trust-store-file=${certificateAuthority.certificatePath}`,
  ];
  const child = start([join(cachedParts, 'keycloak/bin/kc.sh'), ...words], {
    env: {
      KC_BOOTSTRAP_ADMIN_USERNAME: 'admin',
      KC_BOOTSTRAP_ADMIN_PASSWORD: password,
      JAVA_OPTS_APPEND: '-Xmx512m -XX:TieredStopAtLevel=1',
    },
  });
  const stop = async () => {
    await child.stop();
  };
  try {
    await child.waitForLine(/Installed features/, 300_000);
    const api = createApi(url, certificateAuthority.certificate, password);
    await setUpRealm(api);
    return {
      issuer: `${url}/realms/${REALM}`,
      caPath: certificateAuthority.certificatePath,
      addClient: (client, roles) => addClient(api, client, roles),
      addPerson: (name, password, roles) => addPerson(api, name, password, roles),
      rotateKey: () => rotateKey(api),
      [Symbol.asyncDispose]: stop,
    };
  } catch (cause) {
    await stop();
    throw cause;
  }
}

/** Calls the administration's API below the realms: a path, and a document where something is made. */
type Api = (path: string, document?: unknown) => Promise<unknown>;

function createApi(url: string, ca: string, password: string): Api {
  const tls = { ca };
  const login = async (): Promise<string> => {
    const form = { grant_type: 'password', client_id: 'admin-cli', username: 'admin', password };
    const body = new URLSearchParams(form);
    const answer = await fetch(`${url}/realms/master/protocol/openid-connect/token`, {
      method: 'POST',
      body,
      tls,
    });
    return ((await answer.json()) as { access_token: string }).access_token;
  };
  return async (path, document) => {
    const answer = await fetch(`${url}/admin/realms${path}`, {
      method: document === undefined ? 'GET' : 'POST',
      headers: { Authorization: `Bearer ${await login()}`, 'Content-Type': 'application/json' },
      ...(document === undefined ? {} : { body: JSON.stringify(document) }),
      tls,
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${text}`);
    return text === '' ? null : JSON.parse(text);
  };
}

async function setUpRealm(api: Api): Promise<void> {
  await api('', { realm: REALM, enabled: true, roles: { realm: [{ name: 'enterprise' }] } });
  await api(`/${REALM}/client-scopes`, {
    name: 'registry.token.issue',
    protocol: 'openid-connect',
    attributes: { 'include.in.token.scope': 'true' },
    protocolMappers: [
      {
        name: 'registry',
        protocol: 'openid-connect',
        protocolMapper: 'oidc-audience-mapper',
        config: { 'included.custom.audience': 'registry', 'access.token.claim': 'true' },
      },
    ],
  });
}

async function addClient(api: Api, client: ClientSettings, roles: readonly string[]): Promise<void> {
  await api(`/${REALM}/clients`, client);
  if (roles.length === 0) return;
  const [{ id }] = (await api(`/${REALM}/clients?clientId=${client.clientId}`)) as [{ id: string }];
  const user = (await api(`/${REALM}/clients/${id}/service-account-user`)) as { id: string };
  await giveRoles(api, user.id, roles);
}

async function addPerson(api: Api, name: string, password: string, roles: readonly string[]): Promise<void> {
  const credentials = [{ type: 'password', value: password, temporary: false }];
  const profile = { email: `${name}@example.com`, emailVerified: true, firstName: name, lastName: name };
  await api(`/${REALM}/users`, { username: name, enabled: true, credentials, ...profile });
  const [{ id }] = (await api(`/${REALM}/users?username=${name}&exact=true`)) as [{ id: string }];
  await giveRoles(api, id, roles);
}

async function giveRoles(api: Api, user: string, roles: readonly string[]): Promise<void> {
  const found = await Promise.all(roles.map((role) => api(`/${REALM}/roles/${role}`)));
  await api(`/${REALM}/users/${user}/role-mappings/realm`, found);
}

async function rotateKey(api: Api): Promise<void> {
  const { id } = (await api(`/${REALM}`)) as { id: string };
  await api(`/${REALM}/components`, {
    name: 'next',
    providerId: 'rsa-generated',
    providerType: 'org.keycloak.keys.KeyProvider',
    parentId: id,
    config: { priority: ['200'], keySize: ['2048'] },
  });
}
