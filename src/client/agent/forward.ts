/**
 * A request on its way to the registry, and the answer on its way back: which fields are passed on, what happens to links,
 * and which bodies are kept to be sent again.
 */
import { fetchProxy } from '../../platform/proxy.ts';
import { type HttpOptions, noAnswer, tlsOf } from '../http.ts';
import { AgentRefusal, isRegistryPath } from './check-request.ts';

/** A body in memory can be sent again with another token; a stream can be sent only once. */
export type OutgoingBody = Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | null;

/** The fields that registries read. Nothing else is forwarded: no credentials, no cookies, nothing about proxies and hosts. */
const forwardedFields = [
  'accept',
  'accept-encoding',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
  'user-agent',
];

export function canRepeat(body: OutgoingBody): boolean {
  return !(body instanceof ReadableStream);
}

/**
 * Sends a request and returns the answer, whatever its status; redirects are not followed. The body of the answer stays as
 * the registry sent it, compressed or not. Throws AgentRefusal if there is no answer.
 */
export async function forward(
  target: URL,
  request: { readonly method: string; readonly headers: Headers; readonly body: OutgoingBody },
  token: string | null,
  { http, signal }: { readonly http: HttpOptions; readonly signal: AbortSignal },
): Promise<Response> {
  const { method, body } = request;
  // A registry may be silent for minutes while it stores 2 GiB; Bun takes `timeout: false` for no limit.
  const unlimited = { timeout: false, duplex: 'half' } as const;
  try {
    return await fetch(target, {
      method,
      headers: outgoingHeaders(request.headers, token),
      ...(body === null ? {} : { body }),
      redirect: 'manual',
      decompress: false,
      // A connection from the pool may turn out to be closed after the stream has begun, which is then lost.
      keepalive: canRepeat(body),
      signal,
      tls: tlsOf(http),
      ...fetchProxy(target, http.proxies),
      ...unlimited,
    });
  } catch (cause) {
    throw new AgentRefusal(
      502,
      'UNAVAILABLE',
      `The registry: ${noAnswer(new URL(target.origin), http, cause)}.`,
    );
  }
}

function outgoingHeaders(received: Headers, token: string | null): Headers {
  const headers = new Headers();
  for (const name of forwardedFields) {
    const value = received.get(name);
    if (value !== null) headers.set(name, value);
  }
  // Without one Bun would ask for compression by itself, and the client has not.
  if (!headers.has('accept-encoding')) headers.set('Accept-Encoding', 'identity');
  if (token !== null) headers.set('Authorization', `Bearer ${token}`);
  return headers;
}

/** As large as any manifest that registries accept, smaller than layers that matter. */
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_BYTES_TOGETHER = 64 * 1024 * 1024;

export class KeptBodies {
  #bytes = 0;

  /**
   * Runs `send` with the body of the request: read into memory if its length is known, small, and there is room; else as a
   * stream. The room is reserved before the first byte, so that slow senders cannot use more than the limit.
   */
  async use<Result>(request: Request, send: (body: OutgoingBody) => Promise<Result>): Promise<Result> {
    if (request.body === null) return send(null);
    const length = Number(request.headers.get('content-length') ?? Number.NaN);
    if (!(length <= MAX_BYTES && this.#bytes + length <= MAX_BYTES_TOGETHER)) return send(request.body);
    this.#bytes += length;
    try {
      return await send(new Uint8Array(await request.arrayBuffer()));
    } finally {
      this.#bytes -= length;
    }
  }
}

/**
 * Fields of one connection (RFC 9110 §7.6.1), and fields about the registry's own origin and clients. The agent answers the
 * challenge itself; a client that saw it would look for credentials that it does not have.
 */
const ownFields = [
  'alt-svc',
  'authentication-info',
  'connection',
  'dpop-nonce',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-connection',
  'set-cookie',
  'strict-transport-security',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'www-authenticate',
];

/** `target` is the URL that was requested from the registry, `agentOrigin` the origin that the client used. */
export function answerHeaders(received: Headers, target: URL, agentOrigin: string): Headers {
  const headers = new Headers(received);
  for (const name of (received.get('connection') ?? '').split(','))
    if (/^[\w-]+$/.test(name.trim())) headers.delete(name.trim());
  for (const name of ownFields) headers.delete(name);
  const location = headers.get('location');
  if (location !== null) headers.set('Location', rewriteReference(location, target, agentOrigin));
  const link = headers.get('link');
  if (link !== null) headers.set('Link', rewriteLinks(link, target, agentOrigin));
  return headers;
}

/**
 * A reference to /v2/ of the registry becomes one to the agent. Any other is left as it is, and the client follows it without
 * a token: storage backends sign their URLs, and the agent connects only to the registry and the token services.
 */
export function rewriteReference(reference: string, target: URL, agentOrigin: string): string {
  const url = URL.parse(reference, target.href);
  if (url === null) return reference;
  // By host, not by origin: a registry behind a proxy often does not know that its clients use https.
  const isRegistry = url.host === target.host && (url.protocol === 'https:' || url.protocol === 'http:');
  if (!isRegistry || !isRegistryPath(url.pathname)) return url.href;
  return `${agentOrigin}${url.pathname}${url.search}`;
}

/** RFC 8288 §3: the references are in angle brackets; parameters stay as they are. */
function rewriteLinks(field: string, target: URL, agentOrigin: string): string {
  return field.replace(
    /<([^<>]*)>/g,
    (_, reference: string) => `<${rewriteReference(reference, target, agentOrigin)}>`,
  );
}
