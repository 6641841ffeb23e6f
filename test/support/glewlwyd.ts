/** Glewlwyd of Debian: an OAuth server that demands a DPoP nonce and binds tokens to certificates without advertising it. */
import { Database } from 'bun:sqlite';
import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import type { OAuthServer } from './oauth-servers.ts';
import { createTemporaryFolder, findFreePort, start } from './processes.ts';
import type { CertificateAuthority } from './tls-identities.ts';

export interface Glewlwyd extends OAuthServer {
  /** Adds an instance of the plugin with these parameters besides, and returns its issuer. */
  readonly addInstance: (name: string, parameters: object) => Promise<string>;
  /** Adds a client that may have tokens for the registry; `settings` as the administration's API has them. */
  readonly addClient: (clientId: string, settings: object) => Promise<void>;
  /** Adds a person who may have tokens for the registry. */
  readonly addPerson: (name: string, password: string) => Promise<void>;
}

const SETTINGS = '/etc/glewlwyd/glewlwyd.conf';
const TABLES = '/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz';
const RESOURCE = 'https://registry.example.com';
const SCOPE = 'registry.token.issue';

/**
 * Starts it on a free port, with two clients whose tokens are for the registry alone: `builder` with the secret, and `node`
 * with a certificate of this certificate authority.
 */
export async function startGlewlwyd(
  secret: string,
  certificateAuthority: CertificateAuthority,
): Promise<Glewlwyd> {
  const folder = await createTemporaryFolder();
  const { certificatePath, keyPath } = await certificateAuthority.issue('glewlwyd');
  const port = await findFreePort();
  const url = `https://localhost:${port}`;
  const settings = (await readFile(SETTINGS, 'utf8'))
    .replace(/^port=.*$/m, `port=${port}\nbind_address="127.0.0.1"`)
    .replace(/^external_url=.*$/m, `external_url="${url}"`)
    .replace(/^use_secure_connection=.*$/m, 'use_secure_connection=true')
    .replace(/^secure_connection_key_file=.*$/m, `secure_connection_key_file="${keyPath}"`)
    .replace(/^secure_connection_pem_file=.*$/m, `secure_connection_pem_file="${certificatePath}"`)
    .replace(
      /^secure_connection_ca_file=.*$/m,
      `secure_connection_ca_file="${certificateAuthority.certificatePath}"`,
    )
    .replace(/^log_mode=.*$/m, 'log_mode="console"')
    .replace(/^@include.*$/m, `database = { type = "sqlite3"; path = "${folder.at('db')}"; };`);
  await writeFile(folder.at('glewlwyd.conf'), settings);
  const database = new Database(folder.at('db'), { create: true });
  database.exec(gunzipSync(await readFile(TABLES)).toString());
  database.close();
  const child = start(['glewlwyd', `--config-file=${folder.at('glewlwyd.conf')}`]);
  await child.waitForLine(/Glewlwyd started on port/);
  const post = await login(url, certificateAuthority.certificate);
  const addInstance = async (name: string, parameters: object) => {
    const issuer = `${url}/api/${name}`;
    const all = { iss: issuer, ...newKey(), ...asTheRecipeSays, ...parameters };
    await post('mod/plugin/', { module: 'oidc', name, display_name: name, parameters: all });
    return issuer;
  };
  const addClient = (clientId: string, own: object) =>
    post('client/', { client_id: clientId, name: clientId, ...ofClients, ...own });
  const issuer = await addInstance('oidc', {});
  await addClient('builder', {
    client_secret: secret,
    password: secret,
    token_endpoint_auth_method: ['client_secret_basic'],
  });
  await addClient('node', {
    token_endpoint_auth_method: ['tls_client_auth'],
    tls_client_auth_san_dns: 'node.example.com',
  });
  return {
    issuer,
    caPath: certificateAuthority.certificatePath,
    addInstance,
    addClient,
    addPerson: async (username, password) => {
      await post('scope/', { ...ofScopes, name: SCOPE, display_name: SCOPE });
      const own = { username, name: username, password };
      await post('user/', { ...own, enabled: true, scope: ['g_profile', SCOPE] });
    },
    [Symbol.asyncDispose]: async () => {
      await child.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Parameters of an instance of the plugin. */
const asTheRecipeSays = {
  'jwt-type': 'ecdsa',
  'jwt-key-size': '256',
  'access-token-duration': 600,
  'refresh-token-duration': 3600,
  'code-duration': 600,
  'refresh-token-rolling': false,
  'allow-non-oidc': true,
  'auth-type-code-enabled': false,
  'auth-type-token-enabled': false,
  'auth-type-implicit-enabled': false,
  'auth-type-password-enabled': false,
  'auth-type-client-enabled': true,
  'auth-type-device-enabled': false,
  'auth-type-refresh-enabled': false,
  'oauth-dpop-allowed': true,
  'oauth-dpop-iat-duration': 60,
  'oauth-dpop-nonce-mandatory': true,
  'oauth-dpop-nonce-counter': 100,
  'resource-allowed': true,
  'resource-client-property': 'resource',
  'resource-change-allowed': true,
  'jwks-show': true,
  'client-cert-source': 'TLS',
};

const ofClients = {
  confidential: true,
  enabled: true,
  authorization_type: ['client_credentials'],
  scope: [SCOPE],
  redirect_uri: [],
  resource: [RESOURCE],
};

/** People are asked for their password before they give a client the scope. */
const ofScopes = { password_required: true, scheme: {} };

function newKey(): { readonly key: string; readonly cert: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    key: privateKey.export({ type: 'sec1', format: 'pem' }).toString(),
    cert: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

/** Logs in as its administrator. Returns what posts a document to a path of its API. */
async function login(url: string, ca: string): Promise<(path: string, body: object) => Promise<void>> {
  const post = async (path: string, body: object, cookie: string) => {
    const headers = { 'Content-Type': 'application/json', Cookie: cookie };
    const document = { method: 'POST', headers, body: JSON.stringify(body), tls: { ca } };
    const response = await fetch(`${url}/api/${path}`, document);
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return response;
  };
  const session = await post('auth/', { username: 'admin', password: 'password' }, '');
  const cookie = session.headers
    .getSetCookie()
    .map((header) => header.split(';', 1).join(''))
    .join('; ');
  return async (path, body) => {
    await post(path, body, cookie);
  };
}
