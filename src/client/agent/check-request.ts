/** Whether a request is one of a registry client to this agent, and where it goes: to /v2/ of the registry or nowhere. */
import { isLoopback } from '../../platform/loopback.ts';
import { AgentRefusal } from './agent-refusal.ts';

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
