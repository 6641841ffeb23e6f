/** Routes paths and methods to their endpoints. */
import { isIP } from 'node:net';
import type { JWK } from 'jose';
import { isLoopback } from './platform/loopback.ts';
import type { ClientConnection } from './request/client-connection.ts';
import { requestIdOf } from './request/request-id.ts';
import { renderProblem } from './respond/problem.ts';
import { answerTokenRequest, type ServiceParts } from './service.ts';

export interface EndpointParts {
  /** The paths of the token endpoint: `/token`, `/auth/token` and that of each realm. */
  readonly tokenPaths: ReadonlySet<string>;
  readonly service: ServiceParts;
  readonly jwks: { readonly keys: readonly JWK[] };
  /** The parts that do not work at the moment, with the cause; empty if the service can issue tokens. */
  readonly failingParts: () => Promise<readonly FailingPart[]>;
  /** Every metric in the Prometheus text format. */
  readonly exposeMetrics: () => Promise<string>;
}

export interface FailingPart {
  readonly part: 'authority-keys' | 'replay-store' | 'signing-key' | 'entitlements';
  readonly detail: string;
  /** Whether the service can still issue tokens for others: one of several Authorities. */
  readonly isPartial?: boolean;
}

/** The paths of the other endpoints. A realm must not use them. */
export const otherPaths = ['/healthz', '/readyz', '/metrics', '/.well-known/jwks.json'] as const;

export type Handle = (request: Request, connection: ClientConnection) => Promise<Response>;

/**
 * Returns one function for all endpoints. It never throws, and every response has an `X-Request-ID`. `inForce` returns the
 * parts of the configuration in force.
 */
export function createEndpoints(inForce: () => EndpointParts): Handle {
  return async (request, connection) => {
    const parts = inForce();
    const requestId = requestIdOf(request.headers, connection, parts.service.request.forwarded);
    const response = await answer(request, connection, requestId, parts, inForce);
    response.headers.set('X-Request-ID', requestId);
    return response;
  };
}

async function answer(
  request: Request,
  connection: ClientConnection,
  requestId: string,
  parts: EndpointParts,
  inForce: () => EndpointParts,
): Promise<Response> {
  const path = pathOf(request.url);
  const accept = request.headers.get('accept');
  if (parts.tokenPaths.has(path)) {
    if (request.method === 'GET' || request.method === 'POST')
      return answerTokenRequest(request, connection, requestId, () => inForce().service);
    return methodNotAllowed(request.method, 'GET, POST', accept);
  }
  if (!otherPaths.some((other) => other === path)) return notFound(path, accept);
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return methodNotAllowed(request.method, 'GET, HEAD', accept);
  switch (path as (typeof otherPaths)[number]) {
    case '/healthz':
      return text('ok\n');
    case '/readyz':
      return readiness(await parts.failingParts(), accept);
    case '/metrics':
      return text(await parts.exposeMetrics(), 'text/plain; version=0.0.4; charset=utf-8');
    case '/.well-known/jwks.json':
      return new Response(JSON.stringify(parts.jwks), {
        headers: { 'Content-Type': 'application/jwk-set+json', 'Cache-Control': 'public, max-age=300' },
      });
  }
}

/**
 * The path as received. Not parsed as a URL, because its host is whatever the client sent as Host header. Without a valid
 * Host header Bun's URL is only the path.
 */
function pathOf(url: string): string {
  const start = url.startsWith('/') ? 0 : url.indexOf('/', url.indexOf('//') + 2);
  return start === -1 ? '/' : (/^[^?#]*/.exec(url.slice(start))?.[0] ?? '/');
}

export interface TelemetryParts {
  readonly handle: Handle;
  /** The host that the listener is bound to; null for a socket in the file system. */
  readonly host: string | null;
  /** The report of `status/`, as JSON. */
  readonly status: () => Promise<string>;
  /** Answers `/console` and below, and null for paths that it does not have; null where it is off. */
  readonly console: ((path: string, request: Request) => Promise<Response | null>) | null;
}

/** Health, readiness, metrics and the state of every part: for the telemetry listener. */
export function telemetryEndpoints({ handle, host, status, console }: TelemetryParts): Handle {
  const passedOn = ['/healthz', '/readyz', '/metrics'];
  return async (request, connection) => {
    const path = pathOf(request.url);
    const accept = request.headers.get('accept');
    if (passedOn.includes(path)) return handle(request, connection);
    const isConsole = console !== null && (path === '/console' || path.startsWith('/console/'));
    if (path !== '/status' && !isConsole) return notFound(path, accept);
    if (!isOwnHost(request.headers.get('host'), host)) return wrongHost(accept);
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return methodNotAllowed(request.method, 'GET, HEAD', accept);
    if (isConsole) return (await console(path, request)) ?? notFound(path, accept);
    const response = text(await status(), 'application/json');
    response.headers.set('Cross-Origin-Resource-Policy', 'same-origin');
    response.headers.set('X-Content-Type-Options', 'nosniff');
    return response;
  };
}

/**
 * Whether a Host field names this listener: its address, this machine, or any address where it listens on all. A page of
 * a browser whose own name was made to resolve to this machine (DNS rebinding) sends that name.
 */
function isOwnHost(field: string | null, bound: string | null): boolean {
  const [, bracketed, plain] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(field ?? '') ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) return false;
  if (isLoopback(host) || host.toLowerCase() === bound?.toLowerCase()) return true;
  return (bound === '0.0.0.0' || bound === '::') && isIP(host) !== 0;
}

function wrongHost(accept: string | null): Response {
  const detail = 'The Host field names another host. Use the address of telemetry.listen, or localhost.';
  return renderProblem(
    { status: 421, title: 'Misdirected request', detail, error: 'invalid_request', reason: null },
    accept,
  );
}

function readiness(failing: readonly FailingPart[], accept: string | null): Response {
  const lines = failing.map(({ part, detail }) => `${part}: ${detail}`);
  if (failing.every(({ isPartial }) => isPartial === true))
    return text(['ready', ...lines.map((line) => `except ${line}`), ''].join('\n'));
  return renderProblem(
    {
      status: 503,
      title: 'Not ready',
      detail: lines.join(' '),
      error: 'temporarily_unavailable',
      reason: null,
    },
    accept,
    { 'Retry-After': '1' },
  );
}

function notFound(path: string, accept: string | null): Response {
  const detail =
    path.length < 200 && /^[\x20-\x7e]+$/.test(path)
      ? `There is no endpoint at ${path}.`
      : 'There is no endpoint at this path.';
  return renderProblem({ status: 404, title: 'Not found', detail, error: 'not_found', reason: null }, accept);
}

function methodNotAllowed(method: string, allow: string, accept: string | null): Response {
  return renderProblem(
    {
      status: 405,
      title: 'Method not allowed',
      detail: `${method} is not allowed here. Use ${allow.replace(', ', ' or ')}.`,
      error: 'invalid_request',
      reason: null,
    },
    accept,
    { Allow: allow },
  );
}

function text(body: string, type = 'text/plain; charset=utf-8'): Response {
  return new Response(body, { headers: { 'Content-Type': type, 'Cache-Control': 'no-store' } });
}
