/** One request of a client to an endpoint of the Authority: authenticated, and with a proof if there is a DPoP key. */
import type { Authority } from './authority.ts';
import { authenticate, type ClientAuthentication } from './client-authentication.ts';
import { type HttpAnswer, nonceAskedFor } from './client-fault.ts';
import { type DpopKey, makeDpopProof } from './dpop.ts';
import { type ClientParts, exchange } from './http.ts';

export interface AuthorityRequest {
  readonly url: string;
  /** Without what authenticates the client. */
  readonly form: URLSearchParams;
  readonly client: ClientAuthentication;
  /** null to send no proof. */
  readonly dpopKey: DpopKey | null;
}

export interface AuthorityAnswer {
  readonly answer: HttpAnswer;
  /** Credentials and proof that were sent: they must not be shown if the server echoes them. */
  readonly secrets: readonly string[];
}

/** Sends it, and once more with the nonce that the Authority asks for (RFC 9449 §8). Throws ClientFault if there is no answer. */
export async function sendToAuthority(
  step: string,
  { url, form, client, dpopKey }: AuthorityRequest,
  authority: Authority,
  { http, clock }: ClientParts,
): Promise<AuthorityAnswer> {
  const send = async (nonce: string | null): Promise<AuthorityAnswer> => {
    const subject = { method: 'POST', url, accessToken: null, nonce };
    const proof = dpopKey === null ? {} : { DPoP: await makeDpopProof(dpopKey, subject, clock()) };
    const own = await authenticate(client, authority, clock());
    const body = new URLSearchParams([...form, ...Object.entries(own.form)]);
    const headers = { ...own.headers, ...proof };
    const answer = await exchange(step, { method: 'POST', url, headers, body }, http);
    return { answer, secrets: [...own.secrets, ...Object.values(proof)] };
  };
  const first = await send(null);
  const nonce = dpopKey === null ? null : nonceAskedFor(first.answer);
  return nonce === null ? first : send(nonce);
}
