/** How a client shows the Authority who it is: what that adds to a request at the token endpoint. */
import type { Authority } from './authority.ts';
import { ClientFault, printable } from './client-fault.ts';
import { type ClientKey, chooseAssertionAlgorithm, makeClientAssertion } from './client-key.ts';

export const clientAuthenticationMethods = [
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
  'tls_client_auth',
  'self_signed_tls_client_auth',
] as const;

export type ClientAuthenticationMethod = (typeof clientAuthenticationMethods)[number];

export type ClientAuthentication =
  | {
      readonly method: 'client_secret_basic' | 'client_secret_post';
      readonly clientId: string;
      readonly secret: string;
    }
  /** RFC 7523 §2.2. */
  | {
      readonly method: 'private_key_jwt';
      readonly clientId: string;
      readonly key: ClientKey;
      /** Who the assertions are for; null for the Authority's issuer. */
      readonly audience: string | null;
    }
  /** RFC 8705 §2: the certificate of the TLS connection. */
  | { readonly method: 'tls_client_auth' | 'self_signed_tls_client_auth'; readonly clientId: string };

/** What a client has to show. */
export interface ClientCredentials {
  readonly clientId: string;
  readonly secret: string | null;
  readonly key: ClientKey | null;
  readonly hasCertificate: boolean;
  readonly assertionAudience: string | null;
}

/** What the authentication adds to one request. */
export interface AuthenticatedRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly form: Readonly<Record<string, string>>;
  /** What must not be shown, should the server repeat it. */
  readonly secrets: readonly string[];
}

/**
 * Chooses the method: the one that is demanded, else by what the client has, a secret going in the form only where
 * the Authority says that it does not take client_secret_basic. Throws ClientFault where what it needs is missing.
 */
export function chooseClientAuthentication(
  { authenticationMethods }: Authority,
  credentials: ClientCredentials,
  demanded: ClientAuthenticationMethod | null,
): ClientAuthentication {
  const { clientId, secret, key, assertionAudience: audience } = credentials;
  const method = demanded ?? usualMethod(credentials, authenticationMethods);
  const lacks = (what: string) => new ClientFault(`the client authentication ${method} needs ${what}`);
  switch (method) {
    case 'client_secret_basic':
    case 'client_secret_post':
      if (secret === null) throw lacks('a client secret');
      return { method, clientId, secret };
    case 'private_key_jwt':
      if (key === null) throw lacks("the client's key");
      return { method, clientId, key, audience };
    default:
      if (!credentials.hasCertificate) throw lacks('a client certificate with its key');
      return { method, clientId };
  }
}

/** What goes into one request: an assertion is good for one only. `now` in epoch seconds. */
export async function authenticate(
  client: ClientAuthentication,
  authority: Authority,
  now: number,
): Promise<AuthenticatedRequest> {
  const { clientId } = client;
  switch (client.method) {
    case 'client_secret_basic': {
      const credentials = basicCredentials(clientId, client.secret);
      const headers = { Authorization: `Basic ${credentials}` };
      return { headers, form: {}, secrets: [client.secret, credentials] };
    }
    case 'client_secret_post': {
      const form = { client_id: clientId, client_secret: client.secret };
      return { headers: {}, form, secrets: [client.secret, formEncode(client.secret)] };
    }
    case 'private_key_jwt': {
      const algorithm = chooseAssertionAlgorithm(client.key, authority.assertionAlgorithms);
      const audience = client.audience ?? authority.issuer;
      const assertion = await makeClientAssertion(client.key, { clientId, audience, algorithm }, now);
      const form = {
        client_id: clientId,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      };
      return { headers: {}, form, secrets: [assertion] };
    }
    default:
      return { headers: {}, form: { client_id: clientId }, secrets: [] };
  }
}

/** What to compare where the Authority says `invalid_client`. */
export function credentialName({ method }: ClientAuthentication): string {
  switch (method) {
    case 'client_secret_basic':
    case 'client_secret_post':
      return 'secret';
    case 'private_key_jwt':
      return 'key (and its key ID)';
    default:
      return 'certificate';
  }
}

function usualMethod(
  { secret, key, hasCertificate }: ClientCredentials,
  offered: readonly string[] | null,
): ClientAuthenticationMethod {
  if (key !== null) return 'private_key_jwt';
  if (secret === null) return hasCertificate ? 'tls_client_auth' : 'client_secret_basic';
  if (offered === null || offered.includes('client_secret_basic')) return 'client_secret_basic';
  if (offered.includes('client_secret_post')) return 'client_secret_post';
  throw new ClientFault(
    `the Authority takes no client secrets; it offers ${printable(offered.join(', ')) || 'nothing'}`,
  );
}

/** RFC 6749 §2.3.1: both are form-encoded before they are joined. */
function basicCredentials(clientId: string, secret: string): string {
  return Buffer.from(`${formEncode(clientId)}:${formEncode(secret)}`).toString('base64');
}

function formEncode(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1);
}
