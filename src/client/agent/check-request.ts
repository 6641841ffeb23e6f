/**
 * What the agent does with a request before it goes anywhere: whether it is a registry request to this agent, which access it
 * needs, and how the agent refuses in the registry's place.
 */
import { excerpt } from '../../platform/escape.ts';
import { isLoopback } from '../../platform/loopback.ts';
import { ClientFault } from '../client-fault.ts';

/** Where the agent is, as its clients see it. */
export interface AgentDoor {
  readonly scheme: 'http' | 'https';
  /** Whether a Host field names the agent. */
  readonly isOwnHost: (host: string) => boolean;
}

export interface CheckedRequest {
  /** The same path and query at the registry. */
  readonly target: URL;
  /** The agent as this client reached it, `http://127.0.0.1:5001`. */
  readonly agentOrigin: string;
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** Throws AgentRefusal. `registry` is an origin. */
export function checkRequest(request: Request, door: AgentDoor, registry: URL): CheckedRequest {
  const host = request.headers.get('host') ?? '';
  // DNS rebinding: a page's own name may lead to this address, but it is still what the Host field says. A repeated
  // field arrives joined by a comma, and a missing one is empty: neither is a name of the agent.
  if (!door.isOwnHost(host))
    throw new AgentRefusal(
      403,
      'DENIED',
      'The Host of the request is not this agent; name it by the address that it listens on.',
    );
  // Fetch: every cross-origin request with an effect has Origin, and every request to loopback has Sec-Fetch-Site.
  const site = request.headers.get('sec-fetch-site');
  if (request.headers.has('origin') || (site !== null && site !== 'none'))
    throw new AgentRefusal(403, 'DENIED', 'This agent is for registry clients, not for pages in a browser.');
  if (!methods.includes(request.method))
    throw new AgentRefusal(405, 'UNSUPPORTED', `${request.method} is no method of a registry.`);

  const agentOrigin = `${door.scheme}://${host}`;
  // Bun has taken the path and query alone from the request line, and dot segments out of the path.
  const asked = URL.parse(request.url);
  if (asked === null || asked.origin !== new URL(agentOrigin).origin || !isRegistryPath(asked.pathname))
    throw new AgentRefusal(404, 'NAME_UNKNOWN', 'There is nothing here but /v2/ of the registry.');
  const target = new URL(registry);
  target.pathname = asked.pathname;
  target.search = asked.search;
  return { target, agentOrigin };
}

/**
 * A path under /v2/ that stays there whoever decodes it. Some proxies resolve dot segments after decoding, so an encoded
 * slash, backslash, dot, percent or control character is refused. Servlet containers first remove what follows a
 * semicolon in a segment, so `..;` (also `..%3b`) would be a dot segment for them.
 */
export function isRegistryPath(path: string): boolean {
  if (!path.startsWith('/v2/') || path.includes('//')) return false;
  return !/%(?:2f|5c|2e|25|[01].|7f)|\/\.{0,2}(?:;|%3b)/i.test(path);
}

/** What the Host field of a client on this machine can be. Browsers let no page have a name under these. */
export function namesLoopback(host: string, port: number): boolean {
  const [, name = '', digits] = /^(\[[\da-f:.]+\]|[^[\]:]+)(?::(\d{1,5}))?$/i.exec(host) ?? [];
  return Number(digits ?? 80) === port && isLoopback(name);
}

export interface RequiredAccess {
  /** Equal for requests that a registry wants the same scopes for. */
  readonly key: string;
  /** What distribution asks for. Only where the registry cannot be asked first: its own challenge counts. */
  readonly usualScopes: readonly string[];
}

const REPOSITORY =
  /^\/v2\/(.+)\/(?:manifests\/[^/]+|blobs\/(?:uploads(?:\/.*)?|[^/]+)|tags\/list|referrers\/[^/]+)$/;

/** Of distribution: GET and HEAD pull, POST, PUT and PATCH pull and push, DELETE delete; a mount pulls its source. */
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

/** The repository that a request, which starts an upload, would have the blob of; null where it names none. */
export function mountSource(method: string, query: URLSearchParams): string | null {
  const { mount, from: source } = Object.fromEntries(query);
  return method === 'POST' && mount !== undefined ? (source ?? null) : null;
}

/** The same upload without the source; a registry that cannot mount starts it like that too. */
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

/** Codes of the distribution specification, and what registries use beside them. */
export type AgentErrorCode = 'DENIED' | 'NAME_UNKNOWN' | 'TOOMANYREQUESTS' | 'UNAVAILABLE' | 'UNSUPPORTED';

/** Thrown for a request that the agent does not forward, or has no answer to. The message is shown to the client. */
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
 * A fault on the way to a token, as an answer: who is refused is told so with 403 and does not try again; what may
 * be over soon is 503. Never 401: the client has no credentials that it could better.
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
