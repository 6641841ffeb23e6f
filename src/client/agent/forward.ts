/** One request to the registry: which of the client's fields go with it, and its body as it comes. */
import { isLoopback } from '../../platform/loopback.ts';
import { faultOf, type HttpOptions, shownUrl, tlsOf } from '../http.ts';
import { AgentRefusal } from './agent-refusal.ts';

/** A body that is kept can be sent again with another token; a stream passes through, and that once. */
export type OutgoingBody = Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | null;

/** What registries read. Everything else stays here: credentials, cookies, and what speaks of proxies and hosts. */
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
 * Sends a request and returns the answer whatever it is; redirects are not followed. The body of the answer is as
 * the registry sent it, compressed or not. Throws AgentRefusal where there is no answer.
 */
export async function forward(
  target: URL,
  request: { readonly method: string; readonly headers: Headers; readonly body: OutgoingBody },
  token: string | null,
  { http, signal }: { readonly http: HttpOptions; readonly signal: AbortSignal },
): Promise<Response> {
  const { method, body } = request;
  // Bun takes `timeout: false` for no limit to the silence while a registry puts 2 GiB in their place.
  const unlimited = { timeout: false, duplex: 'half' } as const;
  try {
    return await fetch(target, {
      method,
      headers: outgoingHeaders(request.headers, token),
      ...(body === null ? {} : { body }),
      redirect: 'manual',
      decompress: false,
      // A kept connection may turn out to be closed when the stream has begun, which is then lost.
      keepalive: canRepeat(body),
      signal,
      tls: tlsOf(http),
      ...(isLoopback(target.hostname) ? { proxy: false } : {}),
      ...unlimited,
    });
  } catch (cause) {
    throw new AgentRefusal(
      502,
      'UNAVAILABLE',
      `The registry ${shownUrl(target.origin)} did not answer: ${faultOf(cause)}.`,
    );
  }
}

function outgoingHeaders(received: Headers, token: string | null): Headers {
  const headers = new Headers();
  for (const name of forwardedFields) {
    const value = received.get(name);
    if (value !== null) headers.set(name, value);
  }
  // Without one Bun would ask for compression on its own account, and the client has not.
  if (!headers.has('accept-encoding')) headers.set('Accept-Encoding', 'identity');
  if (token !== null) headers.set('Authorization', `Bearer ${token}`);
  return headers;
}
