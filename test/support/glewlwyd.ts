/** Glewlwyd of Debian: an OAuth server that demands a DPoP nonce and binds tokens to certificates without advertising it. */
import { Database } from 'bun:sqlite';
import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import type { OAuthServer } from './oauth-servers.ts';
import { createTemporaryFolder, findFreePort, start } from './processes.ts';
import type { CertificateAuthority } from './tls-identities.ts';

const SETTINGS = '/etc/glewlwyd/glewlwyd.conf';
const TABLES = '/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz';
const RESOURCE = 'https://registry.example.com';

/**
 * Starts it on a free port, with two clients whose tokens are for the registry alone: `builder` with the secret, and `node`
 * with a certificate of this certificate authority.
 */
export async function startGlewlwyd(
  secret: string,
  certificateAuthority: CertificateAuthority,
): Promise<OAuthServer> {
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
  await setUp(url, secret, certificateAuthority.certificate);
  return {
    issuer: `${url}/api/oidc`,
    caPath: certificateAuthority.certificatePath,
    [Symbol.asyncDispose]: async () => {
      await child.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** What the recipe says, by the API of its administration. */
async function setUp(url: string, secret: string, ca: string): Promise<void> {
  const login = { username: 'admin', password: 'password' };
  const session = await post(`${url}/api/auth/`, login, '', ca);
  const cookie = session.headers
    .getSetCookie()
    .map((header) => header.split(';', 1).join(''))
    .join('; ');
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const parameters = {
    iss: `${url}/api/oidc`,
    'jwt-type': 'ecdsa',
    'jwt-key-size': '256',
    key: privateKey.export({ type: 'sec1', format: 'pem' }),
    cert: publicKey.export({ type: 'spki', format: 'pem' }),
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
  await post(
    `${url}/api/mod/plugin/`,
    { module: 'oidc', name: 'oidc', display_name: 'OIDC', parameters },
    cookie,
    ca,
  );
  const client = {
    confidential: true,
    enabled: true,
    authorization_type: ['client_credentials'],
    scope: ['registry.token.issue'],
    redirect_uri: [],
    resource: [RESOURCE],
  };
  const builder = {
    ...client,
    client_id: 'builder',
    name: 'builder',
    client_secret: secret,
    password: secret,
    token_endpoint_auth_method: ['client_secret_basic'],
  };
  const node = {
    ...client,
    client_id: 'node',
    name: 'node',
    token_endpoint_auth_method: ['tls_client_auth'],
    tls_client_auth_san_dns: 'node.example.com',
  };
  for (const one of [builder, node]) await post(`${url}/api/client/`, one, cookie, ca);
}

async function post(url: string, body: object, cookie: string, ca: string): Promise<Response> {
  const headers = { 'Content-Type': 'application/json', Cookie: cookie };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), tls: { ca } });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return response;
}
