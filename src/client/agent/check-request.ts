/**
 * What the agent does with a request before it goes anywhere: whether it is a registry request to this agent, which access it
 * needs, and how the agent refuses in the registry's place.
 */
import { excerpt } from '../../platform/escape.ts';
import { isLoopback } from '../../platform/loopback.ts';
import { ClientFault } from '../client-fault.ts';

/** How clients name the agent. */
export interface AgentIdentity {
  readonly scheme: 'http' | 'https';
  /** Whether a Host field names the agent. */
  readonly isOwnHost: (host: string) => boolean;
}

export interface CheckedRequest {
  /** The same path and query at the registry. */
  readonly target: URL;
  /** The agent's origin as this client used it: `http://127.0.0.1:5001`. */
  readonly agentOrigin: string;
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** Throws AgentRefusal. `registry` is an origin. */
export function checkRequest(request: Request, identity: AgentIdentity, registry: URL): CheckedRequest {
  const host = request.headers.get('host') ?? '';
  // DNS rebinding: a web page's host name may resolve to this address, but then the Host field still has that name. A
  // repeated field arrives joined by a comma, and a missing one is empty: neither is a name of the agent.
  if (!identity.isOwnHost(host))
    throw new AgentRefusal(
      403,
      'DENIED',
      'The Host of the request is not this agent; use the address that it listens on.',
    );
  // Fetch: every cross-origin request with an effect has Origin, and every request to loopback has Sec-Fetch-Site.
  const site = request.headers.get('sec-fetch-site');
  if (request.headers.has('origin') || (site !== null && site !== 'none'))
    throw new AgentRefusal(
      403,
      'DENIED',
      'This agent is for registry clients, not for web pages in a browser.',
    );
  if (!methods.includes(request.method))
    throw new AgentRefusal(405, 'UNSUPPORTED', `${request.method} is not a method of the registry protocol.`);

  const agentOrigin = `${identity.scheme}://${host}`;
  // Bun takes only path and query from the request line, and has resolved dot segments.
  const asked = URL.parse(request.url);
  if (asked === null || asked.origin !== new URL(agentOrigin).origin || !isRegistryPath(asked.pathname))
    throw new AgentRefusal(404, 'NAME_UNKNOWN', 'Only /v2/ of the registry is here.');
  const target = new URL(registry);
  target.pathname = asked.pathname;
  target.search = asked.search;
  return { target, agentOrigin };
}

/**
 * A path under /v2/ that stays there however it is decoded. Some proxies resolve dot segments after decoding, so an encoded
 * slash, backslash, dot, percent or control character is refused. Servlet containers first remove what follows a
 * semicolon in a segment, so `..;` (also `..%3b`) would be a dot segment for them.
 */
export function isRegistryPath(path: string): boolean {
  if (!path.startsWith('/v2/') || path.includes('//')) return false;
  return !/%(?:2f|5c|2e|25|[01].|7f)|\/\.{0,2}(?:;|%3b)/i.test(path);
}

/** Whether a Host field is one of a client on this machine. Web pages cannot have these host names. */
export function namesLoopback(host: string, port: number): boolean {
  const [, name = '', digits] = /^(\[[\da-f:.]+\]|[^[\]:]+)(?::(\d{1,5}))?$/i.exec(host) ?? [];
  return Number(digits ?? 80) === port && isLoopback(name);
}

export interface RequiredAccess {
  /** Equal for requests that need the same scopes. */
  readonly key: string;
  /** The scopes that distribution asks for. Used only if the registry cannot be asked first; its own challenge counts. */
  readonly usualScopes: readonly string[];
}

const REPOSITORY =
  /^\/v2\/(.+)\/(?:manifests\/[^/]+|blobs\/(?:uploads(?:\/.*)?|[^/]+)|tags\/list|referrers\/[^/]+)$/;

/** As distribution does: GET and HEAD need pull, POST, PUT and PATCH pull and push, DELETE delete; a mount pulls its source. */
export function requiredAccess(method: string, { pathname, searchParams }: URL): RequiredAccess {
  const action = actionsOf(method);
  if (pathname === '/v2/') return { key: '', usualScopes: [] };
  if (pathname === '/v2/_catalog') return { key: `catalog ${action}`, usualScopes: ['registry:catalog:*'] };
  const repository = REPOSITORY.exec(pathname)?.[1];
  if (repository === undefined) return { key: `${pathname} ${action}`, usualScopes: [] };
  const source = mountSource(method, searchParams);
  return {
    key: `repository ${repository} ${action} ${source ?? ''}`,
    usualScopes: [
      `repository:${repository}:${action}`,
      ...(source === null ? [] : [`repository:${source}:pull`]),
    ],
  };
}

/** The repository that an upload asks to mount its blob from; null if it names none. */
export function mountSource(method: string, query: URLSearchParams): string | null {
  const { mount, from: source } = Object.fromEntries(query);
  return method === 'POST' && mount !== undefined ? (source ?? null) : null;
}

/** The same upload without the source, as a registry that cannot mount starts it. */
export function withoutMount(target: URL): URL {
  const plain = new URL(target);
  const others = [...plain.searchParams].filter(([name]) => !/^(?:mount|from)$/.test(name));
  plain.search = new URLSearchParams(others).toString();
  return plain;
}

function actionsOf(method: string): string {
  switch (method) {
    case 'GET':
    case 'HEAD':
      return 'pull';
    case 'DELETE':
      return 'delete';
    default:
      return 'pull,push';
  }
}

/** Codes of the distribution specification, and others that registries use. */
export type AgentErrorCode = 'DENIED' | 'NAME_UNKNOWN' | 'TOOMANYREQUESTS' | 'UNAVAILABLE' | 'UNSUPPORTED';

/** Thrown for a request that the agent cannot or must not forward. The client shows the message. */
export class AgentRefusal extends Error {
  readonly status: number;
  readonly code: AgentErrorCode;

  constructor(status: number, code: AgentErrorCode, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * A failure to get a token, as an answer: 403 for a refusal, so that the client does not retry; 503 for what may be over
 * soon. Never 401: the client has no credentials that it could change.
 */
export function refusalOf(fault: ClientFault): AgentRefusal {
  const { status, message } = fault;
  if (status === 429) return new AgentRefusal(429, 'TOOMANYREQUESTS', message);
  if (status !== null && status >= 400 && status < 500) return new AgentRefusal(403, 'DENIED', message);
  return new AgentRefusal(503, 'UNAVAILABLE', message);
}

/** Whether the token service or the Authority refused this client, or the registry the token. */
export function isDenied(cause: unknown): boolean {
  return (cause instanceof ClientFault || cause instanceof AgentRefusal) && cause.status === 403;
}

export function renderAgentRefusal({ status, code, message }: AgentRefusal): Response {
  const headers = new Headers({ 'Docker-Distribution-Api-Version': 'registry/2.0' });
  if (status === 503 || status === 429) headers.set('Retry-After', '1');
  return Response.json({ errors: [{ code, message: excerpt(message, 1500) }] }, { status, headers });
}
