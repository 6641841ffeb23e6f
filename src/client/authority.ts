/** The Authority's metadata, as far as a client needs them. */
import { excerpt } from '../platform/escape.ts';
import { ClientFault, type HttpAnswer, parseObject, refused, shownUrl } from './client-fault.ts';
import { exchange, type HttpOptions, whyNotLedTo } from './http.ts';

export interface Authority {
  /** As its access tokens name it. */
  readonly issuer: string;
  readonly tokenEndpoint: string;
  /** RFC 8628 §4; null if it names none that can be used. */
  readonly deviceAuthorizationEndpoint: string | null;
  /** RFC 7009; null if it names none that can be used. */
  readonly revocationEndpoint: string | null;
  /** RFC 8414 §2: the scopes that clients can request; null if it does not say. */
  readonly scopes: readonly string[] | null;
  /** RFC 8705 §3.3: whether it advertises that it binds access tokens to certificates. */
  readonly bindsToCertificates: boolean;
  /** RFC 9449 §5.1; null if it does not say. */
  readonly dpopAlgorithms: readonly string[] | null;
  /** RFC 8414 §2: how clients may authenticate; null if it does not say. */
  readonly authenticationMethods: readonly string[] | null;
  /** RFC 8414 §2: what clients may sign assertions with; null if it does not say. */
  readonly assertionAlgorithms: readonly string[] | null;
}

const STEP = 'discovery';

/**
 * Reads the Authority's metadata: OpenID Connect Discovery, else RFC 8414. A client with a certificate gets the endpoints that are for
 * such clients (RFC 8705 §5). Throws ClientFault if there is none, or if they name another issuer.
 */
export async function discoverAuthority(issuer: string, options: HttpOptions): Promise<Authority> {
  const [first, second] = metadataUrls(issuer);
  let url = first;
  let answer = await get(url, options);
  if (answer.status === 404) {
    url = second;
    answer = await get(url, options);
  }
  if (answer.status !== 200)
    throw refused(answer, {
      what: STEP,
      url,
      secrets: [],
      advice: { 404: "is this the Authority's issuer, exactly as its access tokens name it?" },
    });
  const metadata = parseObject(answer);
  const fault = (why: string) => new ClientFault(`${STEP}: ${shownUrl(url)} ${why}`);
  if (metadata === null) throw fault('did not answer with a JSON object');
  if (metadata.issuer !== issuer)
    throw fault(
      `names the issuer ${shownText(metadata.issuer)}, not ${excerpt(issuer)}; use that exact text`,
    );
  const aliases = (options.clientCertificate === null ? null : metadata.mtls_endpoint_aliases) as Aliases;
  const endpointOf = (name: string): unknown =>
    typeof aliases?.[name] === 'string' ? aliases[name] : metadata[name];
  const whyUnusable = (endpoint: unknown): string | null =>
    typeof endpoint === 'string' ? whyNotLedTo(URL.parse(endpoint), new URL(url)) : 'is missing';
  const optionalEndpoint = (name: string): string | null => {
    const endpoint = endpointOf(name);
    return whyUnusable(endpoint) === null ? String(endpoint) : null;
  };
  const tokenEndpoint = endpointOf('token_endpoint');
  if (typeof tokenEndpoint !== 'string' || !URL.canParse(tokenEndpoint)) throw fault('has no token_endpoint');
  const whyNot = whyUnusable(tokenEndpoint);
  if (whyNot !== null) throw fault(`has a token_endpoint that ${whyNot}`);
  return {
    issuer,
    tokenEndpoint,
    deviceAuthorizationEndpoint: optionalEndpoint('device_authorization_endpoint'),
    revocationEndpoint: optionalEndpoint('revocation_endpoint'),
    scopes: listOf(metadata.scopes_supported),
    bindsToCertificates: metadata.tls_client_certificate_bound_access_tokens === true,
    dpopAlgorithms: listOf(metadata.dpop_signing_alg_values_supported),
    authenticationMethods: listOf(metadata.token_endpoint_auth_methods_supported),
    assertionAlgorithms: listOf(metadata.token_endpoint_auth_signing_alg_values_supported),
  };
}

type Aliases = Readonly<Record<string, unknown>> | null | undefined;

/** OpenID Connect Discovery §4 appends to the issuer's path, RFC 8414 §3.1 inserts before it. */
function metadataUrls(issuer: string): readonly [string, string] {
  const url = URL.parse(issuer);
  if (url === null || url.search !== '' || url.hash !== '')
    throw new ClientFault(
      `${STEP}: the Authority must be given as the URL of its issuer, without query or fragment`,
    );
  const path = url.pathname.replace(/\/$/, '');
  return [
    `${url.origin}${path}/.well-known/openid-configuration`,
    `${url.origin}/.well-known/oauth-authorization-server${path}`,
  ];
}

function get(url: string, options: HttpOptions): Promise<HttpAnswer> {
  return exchange(STEP, { method: 'GET', url, headers: {}, body: null }, options);
}

function listOf(value: unknown): readonly string[] | null {
  return Array.isArray(value) ? value.map(String) : null;
}

function shownText(value: unknown): string {
  return typeof value === 'string' ? excerpt(value) : 'none';
}
