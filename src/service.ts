/** The token endpoint: five steps in order, one place that catches refusals, one decision per request. */
import { type AuthenticateParts, authenticate, type Caller, type Use } from './authenticate/authenticate.ts';
import {
  type Claimed,
  claimedBy,
  type Entitlement,
  entitlementOf,
  type Grant,
  grantAccess,
} from './authorize/authorize.ts';
import type { Policy } from './authorize/policy.ts';
import { type IssueOptions, issue, type RegistryToken } from './issue/registry-token.ts';
import type { Signer } from './issue/signer.ts';
import type { RunQueue } from './limit/run-queue.ts';
import { Refusal } from './refusal.ts';
import type { ClientConnection } from './request/client-connection.ts';
import { clientAddress } from './request/forwarded-address.ts';
import { readParameters } from './request/parameters.ts';
import { parseTokenRequest, type TokenRequest, type TokenRequestOptions } from './request/token-request.ts';
import { type ChallengeOptions, renderRefusal } from './respond/render-refusal.ts';
import { renderToken } from './respond/render-token.ts';

/** Returns epoch seconds with fractions. */
export type Clock = () => number;

/** What was known about a request when it was answered. Exactly one of `issued` and `refusal` is not null. */
export interface Decision {
  /** Also sent as `X-Request-ID`. */
  readonly requestId: string;
  /** The client's IP address, as the connection or trusted proxies tell it. */
  readonly address: string;
  /** What a trusted proxy sent instead of an address; null if every entry could be read. */
  readonly unreadableAddress: string | null;
  readonly request: TokenRequest | null;
  /** The holder of the OpTok; null unless the OpTok was verified. Its sender is verified too unless there is a refusal. */
  readonly caller: Caller | null;
  /** The caller's plan and licence; null if there is no plan, or the licence is revoked. */
  readonly entitlement: Entitlement | null;
  /** What is known of the caller without an entitlement; null with one, and for an anonymous caller. */
  readonly claimed: Claimed | null;
  readonly grant: Grant | null;
  readonly issued: RegistryToken | null;
  readonly refusal: Refusal | null;
  /** The error behind an `internal` refusal. Never sent to the client. */
  readonly fault: unknown;
  /** Of the configuration that decided. */
  readonly generation: number;
  readonly durationMs: number;
}

export interface ServiceParts {
  /** Of the configuration that they are made of. */
  readonly generation: number;
  readonly clock: Clock;
  /** When the entitlements end, in epoch seconds: nothing is issued later. Infinity where they do not. */
  readonly usableUntil: number;
  readonly request: TokenRequestOptions;
  readonly queue: RunQueue;
  readonly authenticate: AuthenticateParts;
  readonly policy: Policy;
  readonly signer: Signer;
  readonly issue: IssueOptions;
  readonly challenge: ChallengeOptions;
  /** Called once for each decision. */
  readonly record: (decision: Decision) => void;
}

/**
 * Answers a GET or POST to the token endpoint. Never throws. What decides is the configuration in force when the answer is
 * made: where `inForce` returns other parts than those that have decided, the request is decided again.
 */
export async function answerTokenRequest(
  httpRequest: Request,
  peer: ClientConnection,
  requestId: string,
  inForce: () => ServiceParts,
): Promise<Response> {
  const started = performance.now();
  using arrival = new Arrival(httpRequest, peer);
  let parts: ServiceParts;
  let decided: Decided;
  do {
    parts = inForce();
    decided = await decide(arrival, parts, requestId, started);
  } while (parts !== inForce());
  parts.record(decided.decision);
  return decided.response;
}

/** Throws `entitlements-expired`. */
function checkEntitlements({ usableUntil, clock }: ServiceParts): void {
  if (clock() <= usableUntil) return;
  throw new Refusal('entitlements-expired', "The vendor's entitlements have expired.", { retryAfter: 60 });
}

/** A request, and what must happen only once however often it is decided. */
class Arrival implements Disposable {
  readonly request: Request;
  readonly peer: ClientConnection;
  readonly use: Use = { isRecorded: false, holder: null };
  #parameters: Promise<URLSearchParams> | null = null;
  #place: Disposable | null = null;

  constructor(request: Request, peer: ClientConnection) {
    this.request = request;
    this.peer = peer;
  }

  readParameters(): Promise<URLSearchParams> {
    this.#parameters ??= readParameters(this.request);
    return this.#parameters;
  }

  /** Throws `overloaded` if the request has no place and will get none. */
  checkRoom(queue: RunQueue): void {
    if (this.#place === null) queue.checkRoom();
  }

  async waitForTurn(queue: RunQueue): Promise<void> {
    this.#place ??= await queue.enter();
  }

  [Symbol.dispose](): void {
    this.#place?.[Symbol.dispose]();
  }
}

/** What one configuration makes of a request. */
interface Decided {
  readonly decision: Decision;
  readonly response: Response;
}

/** `started` is the `performance.now()` of the request's arrival. */
async function decide(
  arrival: Arrival,
  parts: ServiceParts,
  requestId: string,
  started: number,
): Promise<Decided> {
  const { headers } = arrival.request;
  const { address, unreadable } = clientAddress(headers, arrival.peer.address, parts.request.forwarded);
  let request: TokenRequest | null = null;
  let caller: Caller | null = null;
  let entitlement: Entitlement | null = null;
  let grant: Grant | null = null;
  let issued: RegistryToken | null = null;
  let refusal: Refusal | null = null;
  let fault: unknown = null;
  let response: Response;
  arrival.use.holder = null;
  try {
    const parameters = await arrival.readParameters();
    arrival.checkRoom(parts.queue);
    request = parseTokenRequest(arrival.request, parameters, arrival.peer, parts.request);
    checkEntitlements(parts);
    await arrival.waitForTurn(parts.queue);
    // The clock is read only now, because reading the body may have taken a while.
    caller = await authenticate(request, address, parts.authenticate, parts.clock, arrival.use);
    entitlement = entitlementOf(caller, parts.policy);
    grant = grantAccess(caller, entitlement, request.service, request.access, parts.policy);
    const token = await issue(grant, parts.issue, parts.signer, parts.clock());
    response = renderToken(token, request.method);
    issued = token;
  } catch (thrown) {
    if (thrown instanceof Refusal) refusal = thrown;
    else {
      refusal = new Refusal('internal', 'The service failed.');
      fault = thrown;
    }
    const refused = { scheme: request?.credentials?.scheme ?? null, accept: headers.get('accept') };
    response = renderRefusal(refusal, refused, parts.challenge);
  }
  caller ??= arrival.use.holder;
  const claimed = entitlement === null && caller !== null ? claimedBy(caller, parts.policy) : null;
  const decision: Decision = {
    requestId,
    address,
    unreadableAddress: unreadable,
    request,
    caller,
    entitlement,
    claimed,
    grant,
    issued,
    refusal,
    fault,
    generation: parts.generation,
    durationMs: performance.now() - started,
  };
  return { decision, response };
}
