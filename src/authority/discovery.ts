/** The Authority's metadata (RFC 8414, OpenID Connect Discovery) and bounded HTTP for it. */
import { isLoopback, isSecureUrl } from '../platform/loopback.ts';

export interface HttpOptions {
  /** PEM of the certificate authorities to trust; null for those of the system. */
  readonly certificateAuthorities: string | null;
  /** Ends a fetch before its time. */
  readonly stop?: AbortSignal;
}

const MAX_BYTES = 1024 * 1024;
const TIMEOUT_MS = 5000;

/** Fetches the metadata and returns its `jwks_uri`. Throws an Error that says what is wrong with it. */
export async function fetchJwksUri(
  metadataUrl: string,
  issuer: string,
  options: HttpOptions,
): Promise<string> {
  let metadata: { issuer?: unknown; jwks_uri?: unknown } | null;
  try {
    metadata = JSON.parse(await fetchText(metadataUrl, options));
  } catch (cause) {
    if (cause instanceof SyntaxError) throw new Error(`${metadataUrl} did not answer with JSON.`);
    throw cause;
  }
  if (metadata?.issuer !== issuer)
    throw new Error(`${metadataUrl} names another issuer than authority.issuer: ${shown(metadata?.issuer)}.`);
  const { jwks_uri: jwksUri } = metadata;
  if (typeof jwksUri !== 'string' || !isSecureUrl(URL.parse(jwksUri)))
    throw new Error(
      `${metadataUrl} has a jwks_uri that is neither https nor on loopback: ${shown(jwksUri)}.`,
    );
  return jwksUri;
}

/**
 * GETs a document of at most 1 MiB within 5 seconds. A redirect is followed once, inside the same origin. Throws
 * an Error that says what went wrong.
 */
export function fetchText(url: string, options: HttpOptions): Promise<string> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = options.stop === undefined ? timeout : AbortSignal.any([timeout, options.stop]);
  return fetchWithin(signal, url, options, false);
}

async function fetchWithin(
  signal: AbortSignal,
  url: string,
  options: HttpOptions,
  redirected: boolean,
): Promise<string> {
  const tls = options.certificateAuthorities === null ? {} : { tls: { ca: options.certificateAuthorities } };
  let response: Response;
  try {
    response = await fetch(url, {
      redirect: 'manual',
      signal,
      headers: { Accept: 'application/json' },
      // HTTP_PROXY is not for what is on this machine; Bun would go there through it.
      ...(isLoopback(new URL(url).hostname) ? { proxy: false } : {}),
      ...tls,
    });
  } catch (cause) {
    throw new Error(`${url} did not answer: ${faultOf(cause)}.`);
  }
  const location = response.headers.get('location');
  if (response.status >= 300 && response.status < 400 && location !== null) {
    await response.body?.cancel();
    const target = URL.parse(location, url);
    if (redirected || target?.origin !== new URL(url).origin)
      throw new Error(`${url} redirects to another origin, or twice: that is not followed.`);
    return fetchWithin(signal, target.href, options, true);
  }
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`${url} answered ${response.status}.`);
  }
  try {
    return await readBounded(response);
  } catch (cause) {
    throw new Error(`${url} did not answer in full: ${faultOf(cause)}.`);
  }
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function faultOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'unknown fault';
  if (cause.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`;
  return 'code' in cause && typeof cause.code === 'string'
    ? cause.code
    : cause.message.split('\n', 1).join('');
}

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 200)) : 'none';
}
