/** One HTTP exchange of a client: bounded in time and size, never redirected, never in plain text. */

import { readBody } from '../platform/bounded-body.ts';
import { errorCode, explainError } from '../platform/errors.ts';
import { isLoopback, isSecureUrl } from '../platform/loopback.ts';
import { fetchProxy, type Proxies, whoFailed } from '../platform/proxy.ts';
import { ClientFault, type HttpAnswer, NoAnswer, shownUrl } from './client-fault.ts';

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

/** What a client needs from its environment. */
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
 * Throws ClientFault if there is no answer, a redirect (credentials must not follow one), or too large an answer,
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
    throw new ClientFault(`${what}: ${shownUrl(request.url)} is neither https nor on loopback`);
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
    throw new NoAnswer(`${what}: ${noAnswer(url, options, cause)}`);
  }
  if (response.status >= 300 && response.status < 400) {
    await response.body?.cancel();
    const target = URL.parse(response.headers.get('location') ?? '', url.href)?.href;
    throw fault(
      `redirects to ${target === undefined ? 'an invalid URL' : shownUrl(target)}; redirects are not followed`,
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
 * Why a server must not send its clients to a URL, as the end of a sentence; null if it may. A server on another machine
 * must not send them to a service on this one, which would take the request for the client's own.
 */
export function whyNotLedTo(target: URL | null, server: URL): string | null {
  if (target === null || !isSecureUrl(target)) return 'is neither https nor on loopback';
  if (isLoopback(target.hostname) && !isLoopback(server.hostname))
    return 'is on this machine, but the server that names it is not';
  return null;
}

/** A sentence about a request that got no answer. */
export function noAnswer(url: URL, { proxies, clientCertificate }: HttpOptions, cause: unknown): string {
  return `${whoFailed(shownUrl(url.href), proxies?.(url) ?? null, cause)}: ${tlsFaultOf(cause, clientCertificate !== null) ?? faultOf(cause)}`;
}

/** A server that does not trust a client's certificate ends the handshake or, by TLS 1.3, closes the connection after it. */
function tlsFaultOf(cause: unknown, hasCertificate: boolean): string | null {
  const code = errorCode(cause, '');
  const own =
    'the server may not trust our client certificate: use one of a certificate authority that it trusts';
  if (code === 'ECONNRESET' && hasCertificate) return `it closed the connection; ${own} (${code})`;
  if (code !== 'EPROTO') return null;
  const why = hasCertificate
    ? own
    : 'the server may want a client certificate (--cert and --key, certPath and keyPath)';
  return `the TLS handshake failed; ${why}, or not speak TLS on this port (${code})`;
}

/** Why there was no answer, in words and with the short name of the fault. */
function faultOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'unknown fault';
  if (cause.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`;
  if (cause.name === 'AbortError') return 'it was interrupted';
  return explainError(cause, 'connect');
}
