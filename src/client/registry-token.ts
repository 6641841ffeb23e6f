/** Sends an OpTok to the realm of a registry and gets a registry token for it. */
import {
  ClientFault,
  clockHint,
  clocksAgree,
  errorOf,
  type HttpAnswer,
  type JsonObject,
  nonceAskedFor,
  parseObject,
  refused,
  shownUrl,
} from './client-fault.ts';
import { makeDpopProof } from './dpop.ts';
import { type ClientParts, exchange } from './http.ts';
import { isAccessToken, type OpTok } from './op-tok.ts';

export interface RegistryTokenRequest {
  /** The URL of the token service, as the registry's challenge names it. */
  readonly realm: string;
  readonly service: string;
  /** Whether the user has named the realm, and not just the registry: only there may a bearer token go. */
  readonly isRealmNamed: boolean;
  /** `repository:name:pull`; none for an authentication check. */
  readonly scopes: readonly string[];
}

export interface RegistryToken {
  readonly token: string;
  /** The whole answer. */
  readonly answer: JsonObject;
}

const STEP = 'registry token';
/** A service of several nodes may ask for the nonce of each. */
const MOST_NONCES = 2;

/** Throws ClientFault if the service refuses. A nonce that the service asks for is sent, as RFC 9449 §8 says. */
export async function requestRegistryToken(
  opTok: OpTok,
  request: RegistryTokenRequest,
  parts: ClientParts,
): Promise<RegistryToken> {
  if (opTok.isBearer && !request.isRealmNamed)
    throw new ClientFault(
      `${STEP}: the OpTok is a bearer token, which is sent only to a realm that you name: set realm in the profile, or --realm`,
      403,
    );
  const url = urlOf(request);
  const { answer, sent } = await sendUntilSettled(opTok, url, parts);
  if (answer.status !== 200) {
    const hint = errorOf(answer) === 'invalid_dpop_proof' ? clockHint(answer, parts.clock()) : '';
    const secrets = [opTok.accessToken, ...(sent.DPoP === undefined ? [] : [sent.DPoP])];
    throw refused(answer, {
      what: STEP,
      url,
      secrets,
      advice: adviceFor(clocksAgree(answer, parts.clock())),
      hint,
    });
  }
  const body = parseObject(answer);
  const token = [body?.token, body?.access_token].find(
    (member) => typeof member === 'string' && isAccessToken(member),
  );
  if (body === null || typeof token !== 'string')
    throw new ClientFault(
      `${STEP}: ${shownUrl(url)} answered 200 without a token; is it the registry's realm?`,
    );
  return { token, answer: body };
}

/** Sends the request, and again with each nonce that the service asks for. */
async function sendUntilSettled(
  opTok: OpTok,
  url: string,
  { http, clock }: ClientParts,
): Promise<{ readonly answer: HttpAnswer; readonly sent: Credentials }> {
  let nonce: string | null = null;
  for (let nonces = 0; ; nonces += 1) {
    const sent = await credentialsOf(opTok, url, nonce, clock());
    const request = { method: 'GET', url, headers: { ...sent }, body: null } as const;
    const answer: HttpAnswer = await exchange(STEP, request, http);
    const asked: string | null = opTok.dpopKey === null ? null : nonceAskedFor(answer);
    if (asked === null || asked === nonce || nonces === MOST_NONCES) return { answer, sent };
    nonce = asked;
  }
}

interface Credentials {
  readonly Authorization: string;
  readonly DPoP?: string;
}

/** RFC 9449 §7.1, RFC 6750 §2.1. */
async function credentialsOf(
  { accessToken, dpopKey }: OpTok,
  url: string,
  nonce: string | null,
  now: number,
): Promise<Credentials> {
  if (dpopKey === null) return { Authorization: `Bearer ${accessToken}` };
  const proof = await makeDpopProof(dpopKey, { method: 'GET', url, accessToken, nonce }, now);
  return { Authorization: `DPoP ${accessToken}`, DPoP: proof };
}

function urlOf({ realm, service, scopes }: RegistryTokenRequest): string {
  const url = URL.parse(realm);
  if (url === null) throw new ClientFault(`${STEP}: the realm is not a URL; the registry's 401 names it`);
  url.hash = '';
  url.searchParams.append('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  return url.href;
}

const adviceFor = (clocksAgree: boolean): Readonly<Record<string, string>> => ({
  invalid_token:
    "the service's log says which check failed; compare its authority.issuer and authority.audiences with the " +
    'access token, and senderConstraint.accept with how it is bound',
  invalid_dpop_proof:
    "the service's log says which check failed; compare the realm with its registry.realm" +
    (clocksAgree ? '' : ', and the clocks'),
  use_dpop_nonce: 'the service did not send a nonce, or refused the one it sent',
  'token-scope': 'request that scope from the Authority, and allow it for this client there',
  404: "compare the realm with the one in the registry's 401",
});
