/** A real Authority: oidc-provider on loopback, issuing OpToks as RFC 9068 access tokens. */
import { randomUUID, X509Certificate } from 'node:crypto';
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import type { ClientMetadata, Configuration, default as Provider } from 'oidc-provider';
import { findFreePort } from './processes.ts';
import { keepSecret } from './secret-watch.ts';
import { clientCertificateOf, listenTls, type TlsFiles } from './tls-listener.ts';

/** A client of the Authority, and what its OpToks say of it. */
export interface AuthorityClient {
  readonly id: string;
  readonly plan?: string;
  readonly license?: string;
  readonly tenant?: string;
  /** PEM, self-signed: in place of a secret, and its OpToks are bound to it. Needs `tls`. */
  readonly certificate?: string;
  /** In place of a secret: what verifies its assertions (private_key_jwt). */
  readonly assertionKey?: JWK;
  /** A public client for people (RFC 8628), with DPoP. Whoever enters any name and password at the Authority is let in. */
  readonly isForPeople?: true;
}

export interface AuthorityOptions {
  readonly clients: readonly AuthorityClient[];
  /** Default `ES256`. */
  readonly algorithm?: 'ES256' | 'RS256' | 'PS256';
  /** Seconds; default 600. */
  readonly tokenLifetime?: number;
  /** Of the code that a person enters, in seconds; default 600. */
  readonly deviceCodeLifetime?: number;
  /** Serves https in place of http, and asks for client certificates. */
  readonly tls?: TlsFiles;
  /** Whether it knows DPoP; the default is true. */
  readonly dpop?: boolean;
  /** How it takes the secrets; default `client_secret_basic`. */
  readonly secretMethod?: 'client_secret_basic' | 'client_secret_post';
}

export interface Authority extends AsyncDisposable {
  readonly issuer: string;
  readonly port: number;
  /** The secret of each client. */
  readonly clientSecret: string;
  /** The requests so far to a path: `/.well-known/openid-configuration`, `/jwks`, `/token`. */
  readonly requestsTo: (path: string) => number;
  /** From now on it signs with a new key, and publishes the old ones too where `keepOld`. */
  readonly rotateKey: (options: { readonly keepOld: boolean }) => Promise<void>;
  /** While unavailable it answers 503 to everything. */
  readonly setAvailable: (available: boolean) => void;
}

export const AUTHORITY_AUDIENCE = 'registry';
export const AUTHORITY_SCOPE = 'registry.token.issue';

/** RFC 8705 §2.2. */
const CERTIFICATE_METHOD = 'self_signed_tls_client_auth' as const;

/**
 * Starts it on a free port. The OpToks of its clients come by client_credentials, with or without DPoP. `onRequest` is
 * told the path of each request before it is answered.
 */
export async function startAuthority(
  options: AuthorityOptions,
  onRequest: (path: string) => void = () => {},
): Promise<Authority> {
  const { algorithm = 'ES256' } = options;
  const port = await findFreePort();
  const issuer = `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  const clientSecret = keepSecret(randomUUID());
  const requests = new Map<string, number>();
  let keys = [await createKey(algorithm)];
  let available = true;
  let answer = (await createProvider(issuer, clientSecret, keys, options)).callback();

  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?', 1).join('');
    requests.set(path, (requests.get(path) ?? 0) + 1);
    onRequest(path);
    if (available) void answer(request, response);
    else response.writeHead(503).end();
  });
  const listener = options.tls === undefined ? server : await listenTls(server, port, options.tls);
  if (listener === server) await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));

  return {
    issuer,
    port,
    clientSecret,
    requestsTo: (path) => requests.get(path) ?? 0,
    rotateKey: async ({ keepOld }) => {
      keys = [await createKey(algorithm), ...(keepOld ? keys : [])];
      answer = (await createProvider(issuer, clientSecret, keys, options)).callback();
    },
    setAvailable: (value) => {
      available = value;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

function createProvider(
  issuer: string,
  clientSecret: string,
  keys: readonly JWK[],
  options: AuthorityOptions,
): Promise<Provider> {
  const { clients, algorithm = 'ES256', tokenLifetime = 600, deviceCodeLifetime = 600, tls } = options;
  const { dpop = true, secretMethod = 'client_secret_basic' } = options;
  const signingKeyId = keys[0]?.kid ?? '';
  const isForPeople = clients.some((client) => client.isForPeople);
  const configuration: Configuration = {
    clients: clients.map((client) => clientMetadata(client, clientSecret, algorithm, secretMethod)),
    jwks: { keys },
    scopes: [AUTHORITY_SCOPE, ...(isForPeople ? ['openid', 'offline_access'] : [])],
    clientAuthMethods: [
      secretMethod,
      ...(isForPeople ? (['none'] as const) : []),
      'private_key_jwt',
      ...(tls === undefined ? [] : ([CERTIFICATE_METHOD] as const)),
    ],
    cookies: { keys: [randomUUID()] },
    rotateRefreshToken: true,
    ttl: { ClientCredentials: tokenLifetime, DeviceCode: deviceCodeLifetime },
    extraTokenClaims: (_context, { clientId }) => claimsOf(clients.find(({ id }) => id === clientId)),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: isForPeople },
      deviceFlow: { enabled: isForPeople },
      revocation: { enabled: isForPeople },
      dPoP: { enabled: dpop },
      mTLS: {
        enabled: tls !== undefined,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        getCertificate: ({ req }) => clientCertificateOf(req),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:registry',
        getResourceServerInfo: () => ({
          scope: AUTHORITY_SCOPE,
          audience: AUTHORITY_AUDIENCE,
          accessTokenFormat: 'jwt',
          accessTokenTTL: tokenLifetime,
          jwt: { sign: { alg: algorithm, kid: signingKeyId } },
        }),
      },
    },
  };
  return withoutNotices(async () => {
    const { default: Provider } = await import('oidc-provider');
    return new Provider(issuer, configuration);
  });
}

function clientMetadata(
  { id, certificate, assertionKey, isForPeople }: AuthorityClient,
  clientSecret: string,
  algorithm: string,
  secretMethod: NonNullable<AuthorityOptions['secretMethod']>,
): ClientMetadata {
  const common = {
    client_id: id,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope: AUTHORITY_SCOPE,
    id_token_signed_response_alg: algorithm,
  };
  if (isForPeople)
    return {
      ...common,
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
      scope: `${AUTHORITY_SCOPE} openid offline_access`,
      token_endpoint_auth_method: 'none',
      dpop_bound_access_tokens: true,
    };
  if (assertionKey !== undefined)
    return { ...common, token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [assertionKey] } };
  if (certificate === undefined)
    return { ...common, client_secret: clientSecret, token_endpoint_auth_method: secretMethod };
  return {
    ...common,
    token_endpoint_auth_method: CERTIFICATE_METHOD,
    jwks: { keys: [certificateJwk(certificate)] },
    tls_client_certificate_bound_access_tokens: true,
  };
}

/** RFC 8705 §2.2.2: the registered certificate is the `x5c` of a key in the client's key set. */
function certificateJwk(pem: string): JWK {
  const { publicKey, raw } = new X509Certificate(pem);
  return { ...(publicKey.export({ format: 'jwk' }) as JWK), x5c: [raw.toString('base64')] };
}

function claimsOf(client: AuthorityClient | undefined): Record<string, unknown> {
  return {
    ...(client?.plan === undefined ? {} : { 'stellaops:plan': client.plan }),
    ...(client?.license === undefined ? {} : { 'stellaops:license': client.license }),
    ...(client?.tenant === undefined ? {} : { tid: client.tenant }),
  };
}

async function createKey(algorithm: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: randomUUID(), alg: algorithm, use: 'sig' };
}

/** oidc-provider tells on the console what a production server must change. */
async function withoutNotices<Value>(make: () => Promise<Value>): Promise<Value> {
  const { info, warn } = console;
  console.info = () => {};
  console.warn = () => {};
  try {
    return await make();
  } finally {
    console.info = info;
    console.warn = warn;
  }
}
