/**
 * The agent: a registry endpoint for clients that can neither make proofs nor show certificates. What lives here is
 * the way of a request to the one registry and back, with tokens that the agent gets; it stores no content, and
 * knows neither sockets nor the command line.
 */
import { ClientFault } from '../client-fault.ts';
import type { HttpOptions } from '../http.ts';
import { AgentRefusal, isDenied, refusalOf, renderAgentRefusal } from './agent-refusal.ts';
import { answerHeaders } from './answer-headers.ts';
import { type AgentDoor, checkRequest } from './check-request.ts';
import { canRepeat, forward, type OutgoingBody } from './forward.ts';
import { KeptBodies } from './kept-bodies.ts';
import { type AccessOptions, RegistryAccess } from './registry-access.ts';
import { mountSource, requiredAccess, withoutMount } from './required-access.ts';
import { Transfers } from './transfers.ts';

export interface AgentOptions extends Omit<AccessOptions, 'probe'> {
  readonly door: AgentDoor;
  /** Told of every request that the agent answered in place of the registry, but of those whose client had gone. */
  readonly onRefusal: (request: { method: string; path: string }, refusal: AgentRefusal) => void;
}

export interface Agent {
  /** Answers a request. Never throws. */
  readonly handle: (request: Request) => Promise<Response>;
  /** Gets a token for nothing, as `docker login` does. Throws ClientFault or AgentRefusal: why it would not work. */
  readonly tryOut: () => Promise<void>;
  readonly transfers: Transfers;
}

interface Outgoing {
  readonly method: string;
  readonly headers: Headers;
  readonly body: OutgoingBody;
}

export function createAgent(options: AgentOptions): Agent {
  const { registry, door, onRefusal, parts } = options;
  const transfers = new Transfers();
  const bodies = new KeptBodies();
  const base = new URL('/v2/', registry);
  const probe = () => askForChallenge(base, parts.http);
  const access = new RegistryAccess({ ...options, probe });

  const answer = async (request: Request): Promise<Response> => {
    const { target, agentOrigin } = checkRequest(request, door, registry);
    const { method, headers, signal } = request;
    const answered = await bodies.use(request, (body) =>
      sendOrUpload(target, { method, headers, body }, signal),
    );
    const { status } = answered.response;
    return new Response(answered.response.body, {
      status,
      headers: answerHeaders(answered.response.headers, answered.target, agentOrigin),
    });
  };

  /** A mount whose source this client may not pull is an upload like any other, as where a registry cannot mount. */
  const sendOrUpload = async (target: URL, outgoing: Outgoing, signal: AbortSignal) => {
    try {
      return { target, response: await send(target, outgoing, signal) };
    } catch (cause) {
      if (!isDenied(cause) || mountSource(outgoing.method, target.searchParams) === null) throw cause;
      const plain = withoutMount(target);
      return { target: plain, response: await send(plain, outgoing, signal) };
    }
  };

  const send = async (target: URL, outgoing: Outgoing, signal: AbortSignal): Promise<Response> => {
    const need = requiredAccess(outgoing.method, target);
    const repeatable = canRepeat(outgoing.body);
    const life = repeatable ? 'moment' : 'upload';
    const connection = { http: parts.http, signal };
    const first = await access.find(need, life);
    const response = await forward(target, outgoing, first?.token ?? null, connection);
    if (response.status !== 401) return response;
    first?.forget();
    if (!access.learn(need, response.headers.get('www-authenticate') ?? '')) return response;
    await response.body?.cancel();
    if (!repeatable)
      throw new AgentRefusal(
        503,
        'UNAVAILABLE',
        'The registry refused the token of this upload, whose content has gone by; send it again, with a new token.',
      );
    const second = await access.find(need, life);
    return forward(target, outgoing, second?.token ?? null, connection);
  };

  return {
    transfers,
    tryOut: async () => {
      const need = requiredAccess('GET', base);
      const challenge = await probe();
      if (challenge === null || !access.learn(need, challenge))
        throw new AgentRefusal(
          502,
          'UNAVAILABLE',
          `${base.href} does not ask for a token (no Bearer challenge).`,
        );
      await access.find(need, 'moment');
    },
    handle: (request) =>
      transfers.track(async () => {
        try {
          return await answer(request);
        } catch (cause) {
          const refusal = toRefusal(cause);
          const path = URL.parse(request.url)?.pathname ?? '';
          if (!request.signal.aborted) onRefusal({ method: request.method, path }, refusal);
          return renderAgentRefusal(refusal);
        }
      }),
  };
}

async function askForChallenge(base: URL, http: HttpOptions): Promise<string | null> {
  const signal = AbortSignal.any([AbortSignal.timeout(15_000), ...(http.stop ? [http.stop] : [])]);
  const asked = { method: 'GET', headers: new Headers(), body: null };
  const response = await forward(base, asked, null, { http, signal });
  await response.body?.cancel();
  return response.status === 401 ? response.headers.get('www-authenticate') : null;
}

function toRefusal(cause: unknown): AgentRefusal {
  if (cause instanceof AgentRefusal) return cause;
  if (cause instanceof ClientFault) return refusalOf(cause);
  return new AgentRefusal(500, 'UNAVAILABLE', 'The agent failed.');
}
