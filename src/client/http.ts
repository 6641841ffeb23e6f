/** One HTTP exchange of a client: bounded in time and size, never redirected, never in the clear. */

import { readBody } from '../platform/bounded-body.ts';
import { errorCode } from '../platform/errors.ts';
import { excerpt } from '../platform/escape.ts';
import { isLoopback, isSecureUrl } from '../platform/loopback.ts';
import { fetchProxy, type Proxies, whoFailed } from '../platform/proxy.ts';
import { ClientFault, type HttpAnswer, shownUrl } from './client-fault.ts';

export interface HttpOptions {
  /** PEM of the certificate authorities to trust; null for those of the system. */
  readonly certificateAuthorities: string | null;
  /** PEM of the client's certificate (with its chain) and its key, shown to every server that asks; null for none. */
  readonly clientCertificate: { readonly certificate: string; readonly key: string } | null;
  /** Ends every exchange at once when it is aborted. */
  readonly stop?: AbortSignal;
  readonly proxies?: Proxies;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** A form; null for none. */
  readonly body: URLSearchParams | null;
}

/** What a client needs of the world around it. */
export interface ClientParts {
  readonly http: HttpOptions;
  /** Epoch seconds. */
  readonly clock: () => number;
  /** Resolves after so many milliseconds. */
  readonly pause: (milliseconds: number) => Promise<void>;
}

const TIMEOUT_MS = 15_000;
const MAX_BYTES = 1024 * 1024;

/**
 * Sends a request and reads the answer, whatever its status. `what` names the step in the fault: "discovery".
 * Throws ClientFault where there is no answer, a redirect (credentials do not follow one), or too large an answer,
 * and before anything is sent where the URL is neither https nor on loopback.
 */
export async function exchange(
  what: string,
  request: HttpRequest,
  options: HttpOptions,
): Promise<HttpAnswer> {
  const { method, headers, body } = request;
  const url = URL.parse(request.url);
  if (url === null || !isSecureUrl(url))
    throw new ClientFault(`${what}: ${shownUrl(request.url)} is neither an https URL nor one on loopback`);
  const fault = (why: string) => new ClientFault(`${what}: ${shownUrl(url.href)} ${why}`);
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers: { Accept: 'application/json', ...headers },
      ...(body === null ? {} : { body }),
      redirect: 'manual',
      signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(options.stop ? [options.stop] : [])]),
      tls: tlsOf(options),
      ...fetchProxy(url, options.proxies),
    });
  } catch (cause) {
    throw new ClientFault(`${what}: ${noAnswer(url, options, cause)}`);
  }
  if (response.status >= 300 && response.status < 400) {
    await response.body?.cancel();
    const target = URL.parse(response.headers.get('location') ?? '', url.href)?.href;
    throw fault(
      `redirects to ${target === undefined ? 'no valid URL' : shownUrl(target)}, which is not followed`,
    );
  }
  try {
    return {
      status: response.status,
      headers: response.headers,
      text: (await readBody(response, MAX_BYTES)).toString('utf8'),
    };
  } catch (cause) {
    throw fault(`did not answer in full: ${faultOf(cause)}`);
  }
}

/** The same as `fetch` takes it. */
export function tlsOf({
  certificateAuthorities,
  clientCertificate,
}: HttpOptions): NonNullable<BunFetchRequestInit['tls']> {
  return {
    ...(certificateAuthorities === null ? {} : { ca: certificateAuthorities }),
    ...(clientCertificate === null
      ? {}
      : { cert: clientCertificate.certificate, key: clientCertificate.key }),
  };
}

/**
 * Why a server may not lead its clients on to a URL, as the end of a sentence; null where it may. What a server of
 * another machine says is on this one would be some service here, asked in the name of the client.
 */
export function whyNotLedTo(target: URL | null, server: URL): string | null {
  if (target === null || !isSecureUrl(target)) return 'is neither an https URL nor one on loopback';
  if (isLoopback(target.hostname) && !isLoopback(server.hostname))
    return 'is on this machine, where the one that names it is not';
  return null;
}

/** A sentence about a request that got no answer. */
export function noAnswer(url: URL, { proxies }: HttpOptions, cause: unknown): string {
  return `${whoFailed(shownUrl(url.href), proxies?.(url) ?? null, cause)}: ${faultOf(cause)}`;
}

/** Why there was no answer, in words and with the short name of the fault. */
function faultOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'unknown fault';
  if (cause.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`;
  if (cause.name === 'AbortError') return 'it was interrupted';
  const code = errorCode(cause, '');
  if (code === '') return excerpt(cause.message);
  const hint = hints[code];
  return hint === undefined ? excerpt(code) : `${hint} (${code})`;
}

const untrusted = 'its certificate authority is not trusted here; name a file with it as the CA to trust';

const hints: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'this machine does not know the name',
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  CERT_HAS_EXPIRED: 'its certificate has expired',
};
