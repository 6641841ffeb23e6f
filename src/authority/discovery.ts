/** The Authority's metadata (RFC 8414, OpenID Connect Discovery) and bounded HTTP for it. */

import { isJsonObject, type JsonObject } from '../authenticate/compact-jws.ts';
import { readBody } from '../platform/bounded-body.ts';
import { explainError } from '../platform/errors.ts';
import { isSecureUrl } from '../platform/loopback.ts';
import { fetchProxy, type Proxies, whoFailed } from '../platform/proxy.ts';
import { withoutByteOrderMark } from './key-set.ts';

export interface HttpOptions {
  /** PEM of the certificate authorities to trust; null for those of the system. */
  readonly certificateAuthorities: string | null;
  readonly proxies?: Proxies;
  /** Ends a fetch before its time. */
  readonly stop?: AbortSignal;
  /** Called with the time by the responder's clock, in epoch seconds. */
  readonly onDate?: (date: number) => void;
}

const MAX_BYTES = 1024 * 1024;
const TIMEOUT_MS = 5000;

/** What the media types of metadata (RFC 8414 §3.2) and of a key set (RFC 7517 §8.5) are called, and what else may come. */
const ACCEPT_METADATA = 'application/json, */*;q=0.1';
const ACCEPT_KEY_SET = 'application/jwk-set+json, application/json;q=0.9, */*;q=0.1';

/** An answer of another status than 200. */
class StatusFault extends Error {
  readonly status: number;

  constructor(url: string, status: number) {
    super(`${url} answered ${status}.`);
    this.status = status;
  }
}

/**
 * Where the metadata of an issuer may be: OpenID Connect Discovery §4 appends to the issuer's path, RFC 8414 §3.1
 * inserts before it.
 */
export function metadataUrlsOf(issuer: string): readonly [string, string] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  return [
    `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
}

/** The Authority's metadata, as far as it is checked: the rest is read by those who look for it. */
export interface Metadata extends JsonObject {
  readonly issuer: string;
  readonly jwks_uri: string;
}

/**
 * Fetches the metadata from the first of these URLs that knows it: a 404 leads to the next one. Throws an Error that says
 * what is wrong.
 */
export async function fetchMetadata(
  metadataUrls: readonly string[],
  issuer: string,
  options: HttpOptions,
): Promise<Metadata> {
  const missing: string[] = [];
  for (const url of metadataUrls) {
    try {
      return checkMetadata(await fetchText(url, options, ACCEPT_METADATA), url, issuer);
    } catch (cause) {
      if (!(cause instanceof StatusFault) || cause.status !== 404) throw cause;
      missing.push(cause.message);
    }
  }
  throw new Error(missing.join(' '));
}

/** GETs a JWKS document; its content is checked by `parseKeySet`. */
export function fetchKeySet(jwksUri: string, options: HttpOptions): Promise<string> {
  return fetchText(jwksUri, options, ACCEPT_KEY_SET);
}

function checkMetadata(json: string, metadataUrl: string, issuer: string): Metadata {
  let metadata: unknown;
  try {
    metadata = JSON.parse(withoutByteOrderMark(json));
  } catch {
    throw new Error(`${metadataUrl} did not answer with JSON.`);
  }
  if (!isJsonObject(metadata)) throw new Error(`${metadataUrl} did not answer with a JSON object.`);
  if (metadata.issuer !== issuer)
    throw new Error(
      `${metadataUrl} names another issuer than authority.issuer (${issuer}): ${shown(metadata.issuer)}.`,
    );
  const { jwks_uri: jwksUri } = metadata;
  if (typeof jwksUri !== 'string' || !isSecureUrl(URL.parse(jwksUri)))
    throw new Error(
      `${metadataUrl} has a jwks_uri that is neither https nor on loopback: ${shown(jwksUri)}.`,
    );
  return { ...metadata, issuer, jwks_uri: jwksUri };
}

/**
 * GETs a document of at most 1 MiB within 5 seconds. A redirect is followed once, inside the same origin. Throws
 * an Error that says what went wrong.
 */
export function fetchText(url: string, options: HttpOptions, accept = ACCEPT_METADATA): Promise<string> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = options.stop === undefined ? timeout : AbortSignal.any([timeout, options.stop]);
  return fetchWithin(signal, url, options, accept, false);
}

async function fetchWithin(
  signal: AbortSignal,
  url: string,
  options: HttpOptions,
  accept: string,
  redirected: boolean,
): Promise<string> {
  const tls = options.certificateAuthorities === null ? {} : { tls: { ca: options.certificateAuthorities } };
  let response: Response;
  try {
    response = await fetch(url, {
      redirect: 'manual',
      signal,
      headers: { Accept: accept },
      ...fetchProxy(new URL(url), options.proxies),
      ...tls,
    });
  } catch (cause) {
    const proxy = options.proxies?.(new URL(url)) ?? null;
    throw new Error(`${whoFailed(url, proxy, cause)}: ${faultOf(cause)}.`);
  }
  const date = dateOf(response.headers);
  if (date !== null) options.onDate?.(date);
  const location = response.headers.get('location');
  if (response.status >= 300 && response.status < 400 && location !== null) {
    await response.body?.cancel();
    const target = URL.parse(location, url);
    if (redirected || target?.origin !== new URL(url).origin)
      throw new Error(`${url} redirects to another origin, or more than once, which is not followed.`);
    return fetchWithin(signal, target.href, options, accept, true);
  }
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new StatusFault(url, response.status);
  }
  try {
    return (await readBody(response, MAX_BYTES)).toString('utf8');
  } catch (cause) {
    throw new Error(`${url} did not answer in full: ${faultOf(cause)}.`);
  }
}

/** RFC 9110 §6.6.1; of an answer that a cache kept, RFC 9111 §5.1 says how long. Epoch seconds. */
export function dateOf(headers: Headers): number | null {
  const time = Date.parse(headers.get('date') ?? '');
  const [age = 0] = /^\d{1,9}$/.exec(headers.get('age') ?? '') ?? [];
  return Number.isNaN(time) ? null : time / 1000 + Number(age);
}

function faultOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'unknown fault';
  if (cause.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`;
  return explainError(cause, 'connect');
}

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 200)) : 'none';
}
