/** What the agent itself answers in place of the registry: the distribution error format. */
import { ClientFault, printable } from '../client-fault.ts';

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
  return Response.json({ errors: [{ code, message: printable(message, 1500) }] }, { status, headers });
}
