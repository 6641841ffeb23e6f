/**
 * The agent: a registry endpoint for clients that can neither make proofs nor present certificates. It forwards requests to
 * one registry with tokens that it gets itself, and stores no content. It knows neither sockets nor the command line.
 */
import { parseBearerChallenge } from '../challenge.ts';
import { ClientFault } from '../client-fault.ts';
import type { HttpOptions } from '../http.ts';
import {
  type AgentIdentity,
  AgentRefusal,
  checkRequest,
  isDenied,
  mountSource,
  refusalOf,
  renderAgentRefusal,
  requiredAccess,
  withoutMount,
} from './check-request.ts';
import { answerHeaders, canRepeat, forward, KeptBodies, type OutgoingBody } from './forward.ts';
import { type AccessOptions, RegistryAccess } from './registry-access.ts';
import { countBytes, reportTransfer, type Transfer, type TransferListener, Transfers } from './transfers.ts';

export interface AgentOptions extends Omit<AccessOptions, 'probe'> {
  readonly identity: AgentIdentity;
  /** Called for each request that the agent refused itself, unless its client had disconnected. */
  readonly onRefusal: (request: { method: string; path: string }, refusal: AgentRefusal) => void;
  /** Called for content that passes through; null if nobody looks. */
  readonly onTransfer: TransferListener | null;
}

export interface Agent {
  /** Answers a request. Never throws. */
  readonly handle: (request: Request) => Promise<Response>;
  /** Gets a token without scopes, as `docker login` does. Throws ClientFault or AgentRefusal: why requests would fail. */
  readonly tryOut: () => Promise<void>;
  readonly transfers: Transfers;
}

interface Outgoing {
  readonly method: string;
  readonly headers: Headers;
  readonly body: OutgoingBody;
  readonly signal: AbortSignal;
  readonly transfer: Transfer | null;
}

export function createAgent(options: AgentOptions): Agent {
  const { registry, identity, onRefusal, onTransfer, parts } = options;
  const transfers = new Transfers();
  const bodies = new KeptBodies();
  const base = new URL('/v2/', registry);
  const probe = () => askForChallenge(base, parts.http);
  const access = new RegistryAccess({ ...options, probe });

  const answer = async (request: Request, transfer: Transfer | null): Promise<Response> => {
    const { target, agentOrigin } = checkRequest(request, identity, registry);
    const { method, headers, signal } = request;
    // Clients ask here first, and do not show why that failed: the reason comes with the request that matters.
    if (target.pathname === '/v2/' && (method === 'GET' || method === 'HEAD'))
      return Response.json({}, { headers: { 'Docker-Distribution-Api-Version': 'registry/2.0' } });
    const answered = await bodies.use(request, (body) => {
      if (transfer !== null && body instanceof Uint8Array) transfer.bytes = body.length;
      const counted = body instanceof ReadableStream ? countBytes(body, transfer) : body;
      return sendOrUpload(target, { method, headers, body: counted, signal, transfer });
    });
    const { status } = answered.response;
    if (transfer !== null) transfer.status = status;
    return new Response(answered.response.body, {
      status,
      headers: answerHeaders(answered.response.headers, answered.target, agentOrigin),
    });
  };

  /** A mount whose source this client may not pull becomes an ordinary upload, as with a registry that cannot mount. */
  const sendOrUpload = async (target: URL, outgoing: Outgoing) => {
    try {
      return { target, response: await send(target, outgoing) };
    } catch (cause) {
      if (!isDenied(cause) || mountSource(outgoing.method, target.searchParams) === null) throw cause;
      const plain = withoutMount(target);
      return { target: plain, response: await send(plain, outgoing) };
    }
  };

  const send = async (target: URL, outgoing: Outgoing): Promise<Response> => {
    const { signal, transfer } = outgoing;
    const need = requiredAccess(outgoing.method, target);
    const repeatable = canRepeat(outgoing.body);
    const life = repeatable ? 'moment' : 'upload';
    const connection = { http: parts.http, signal };
    const first = await access.find(need, life);
    if (transfer !== null) transfer.token = first?.origin ?? null;
    const response = await forward(target, outgoing, first?.token ?? null, connection);
    if (response.status !== 401) return response;
    const challenge = response.headers.get('www-authenticate') ?? '';
    if (
      first !== null &&
      mountSource(outgoing.method, target.searchParams) !== null &&
      lacksScope(challenge)
    ) {
      await response.body?.cancel();
      throw refusedToken(challenge);
    }
    first?.forget();
    if (!access.learn(need, challenge)) return response;
    await response.body?.cancel();
    if (!repeatable)
      throw new AgentRefusal(
        503,
        'UNAVAILABLE',
        'The registry refused the token of this upload, whose content cannot be sent twice. Retry; the agent will use a new token.',
      );
    const second = await access.find(need, life);
    if (transfer !== null) transfer.token = second?.origin ?? null;
    const last = await forward(target, outgoing, second?.token ?? null, connection);
    if (last.status !== 401 || second === null) return last;
    await last.body?.cancel();
    throw refusedToken(last.headers.get('www-authenticate') ?? '');
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
    handle: (request) => {
      const { method } = request;
      const path = URL.parse(request.url)?.pathname ?? '';
      const transfer =
        onTransfer !== null && isContent(method, path)
          ? { method, path, bytes: 0, startedAt: parts.clock(), token: null, status: null }
          : null;
      const onEnd =
        transfer === null || onTransfer === null ? undefined : reportTransfer(transfer, onTransfer);
      return transfers.track(
        async () => {
          try {
            return await answer(request, transfer);
          } catch (cause) {
            const refusal = toRefusal(cause);
            if (!request.signal.aborted) onRefusal({ method, path }, refusal);
            return renderAgentRefusal(refusal);
          }
        },
        transfer,
        onEnd,
      );
    },
  };
}

/** Whether a request of the distribution protocol moves content. */
function isContent(method: string, path: string): boolean {
  return /^(?:GET|PUT|PATCH)$/.test(method) && /\/(?:blobs|manifests)\//.test(path);
}

/** The token is valid, but not for this: the service leaves out the source of a mount that the plan does not allow. */
function lacksScope(challenge: string): boolean {
  return parseBearerChallenge(challenge)?.error === 'insufficient_scope';
}

/** The registry refuses a token that is new: 403, because another one would be the same. */
function refusedToken(challenge: string): AgentRefusal {
  const { error, scope } = parseBearerChallenge(challenge) ?? {};
  const why =
    error === 'invalid_token'
      ? 'it does not trust the key or the issuer of the service'
      : 'the plan allows less than that';
  return new AgentRefusal(
    403,
    'DENIED',
    `The registry refused the token that the service has just issued (${error ?? 'no error named'}); it asks for ` +
      `${scope ?? 'no scope'}. Probable cause: ${why}.`,
  );
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
