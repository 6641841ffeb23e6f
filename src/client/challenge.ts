/** What a registry asks its clients for: the realm and the service in its 401 (distribution: token authentication). */

import { isLoopback } from '../platform/loopback.ts';
import { ClientFault, type HttpAnswer, shownUrl } from './client-fault.ts';
import { exchange, type HttpOptions, whyNotLedTo } from './http.ts';

export interface RegistryChallenge {
  /** The URL of the token service. */
  readonly realm: string;
  readonly service: string;
}

const STEP = 'registry';

/**
 * Asks `GET /v2/`. `registry` is a host with or without a port, or a URL; a host on loopback that does not speak
 * https is asked over http, as docker does. Throws ClientFault if there is no usable challenge.
 */
export async function requestChallenge(registry: string, http: HttpOptions): Promise<RegistryChallenge> {
  const urls = registryUrls(registry);
  const { answer, url } = await askFirstThatAnswers(urls, http);
  const fault = (why: string) => new ClientFault(`${STEP}: ${shownUrl(url)} ${why}`);
  if (answer.status !== 401)
    throw fault(`answered ${answer.status}, not 401, so it does not ask for a token`);
  const challenge = parseBearerChallenge(answer.headers.get('www-authenticate') ?? '');
  if (challenge === null)
    throw fault('answered 401 without a Bearer challenge: it is not configured for a token service');
  const { realm, service } = challenge;
  const whyNot = whyNotLedTo(URL.parse(realm ?? ''), new URL(url));
  if (realm === undefined || whyNot !== null)
    throw fault(`names a realm that ${whyNot}; set auth.token.realm there`);
  if (service === undefined || service === '')
    throw fault('names no service; set auth.token.service there, or give --realm and --service');
  return { realm, service };
}

/** The name of a registry in docker's files and in image names: `registry.example.com:5000`. */
export function registryHost(registry: string): string {
  const [url] = registryUrls(registry);
  return new URL(url).host;
}

/** The parameters of the first Bearer challenge among those of a 401 (RFC 9110 §11.6.1); null if there is none. */
export function parseBearerChallenge(field: string): Readonly<Record<string, string>> | null {
  // A name alone is a scheme; a name with a value is a parameter of the scheme before it.
  const part = /[\s,=/]*([!#$%&'*+.^_`|~\w-]+)(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"=]+)))?/y;
  let found: Record<string, string> | null = null;
  let isBearer = false;
  for (let match = part.exec(field); match !== null; match = part.exec(field)) {
    const [, name = '', quoted, plain] = match;
    const value = quoted?.replace(/\\(.)/g, '$1') ?? plain;
    if (value === undefined) {
      if (found !== null) return found;
      isBearer = name.toLowerCase() === 'bearer';
      if (isBearer) found = {};
    } else if (isBearer && found !== null) found[name.toLowerCase()] = value;
  }
  return found;
}

function registryUrls(registry: string): readonly [string, ...string[]] {
  const hasScheme = /^https?:\/\//i.test(registry);
  const url = URL.parse(hasScheme ? registry : `https://${registry}`);
  if (url === null || url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw new ClientFault(`${STEP}: a registry must be given as its host, such as registry.example.com:5000`);
  if (!/^(?:\/v2)?\/?$/.test(url.pathname))
    throw new ClientFault(`${STEP}: ${shownUrl(url.href)} has a path; give the registry's host alone`);
  const first = `${url.origin}/v2/`;
  return hasScheme || !isLoopback(url.hostname) ? [first] : [first, `http://${url.host}/v2/`];
}

async function askFirstThatAnswers(
  urls: readonly [string, ...string[]],
  http: HttpOptions,
): Promise<{ readonly answer: HttpAnswer; readonly url: string }> {
  const [url, ...others] = urls;
  try {
    return { answer: await get(url, http), url };
  } catch (cause) {
    for (const other of others) {
      const answer = await get(other, http).catch(() => null);
      // 400 is what a TLS server answers to plain http: then the first fault is the one to report.
      if (answer !== null && answer.status !== 400) return { answer, url: other };
    }
    throw cause;
  }
}

function get(url: string, http: HttpOptions): Promise<HttpAnswer> {
  return exchange(STEP, { method: 'GET', url, headers: {}, body: null }, http);
}
