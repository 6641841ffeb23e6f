/**
 * Parses a token request into typed values. Whether the credentials are valid and what the client may have is decided by
 * the later steps.
 */
import { Refusal } from '../refusal.ts';
import type { ClientCertificate, ClientConnection } from './client-connection.ts';
import { type Credentials, parseCredentials, parseProofHeader } from './credentials.ts';
import type { ForwardedOptions } from './forwarded.ts';
import { clientCertificate } from './forwarded-certificate.ts';
import { singleParameter } from './parameters.ts';
import { parseScopes, type ResourceActions } from './resource-scope.ts';

export interface TokenRequest {
  readonly method: 'GET' | 'POST';
  /** The registry that the token is for; becomes `aud`. */
  readonly service: string;
  /** The requested access; empty for an authentication check (`docker login`). */
  readonly access: readonly ResourceActions[];
  readonly credentials: Credentials | null;
  /** True if there are no credentials, no proof and no `Authorization` header of any scheme. */
  readonly isAnonymous: boolean;
  /** The DPoP proof as received, unverified. */
  readonly proof: string | null;
  /** The client certificate of the connection, or as a trusted proxy forwarded it; null if there is none. */
  readonly certificate: ClientCertificate | null;
}

export interface TokenRequestOptions {
  /** The accepted values of `service`; null for any. */
  readonly allowedServices: ReadonlySet<string> | null;
  readonly forwarded: ForwardedOptions;
}

const SERVICE = /^[\x20-\x7e]{1,255}$/;

/**
 * Parses a GET or POST to the token endpoint, whose `parameters` have been read. Throws `malformed-request`,
 * `malformed-scope`, `service-not-allowed`, `credentials-ambiguous` or `certificate-untrusted`. `peer` is the other end of the
 * connection.
 */
export function parseTokenRequest(
  request: Request,
  parameters: URLSearchParams,
  peer: ClientConnection,
  options: TokenRequestOptions,
): TokenRequest {
  const method = request.method === 'POST' ? 'POST' : 'GET';
  const credentials = parseCredentials(request.headers, method === 'POST' ? parameters : null);
  const service = singleParameter(parameters, 'service');
  if (service === undefined) throw new Refusal('malformed-request', 'The parameter service is missing.');
  if (!SERVICE.test(service))
    throw new Refusal(
      'malformed-request',
      'The parameter service is not 1 to 255 printable ASCII characters.',
    );
  if (options.allowedServices !== null && !options.allowedServices.has(service))
    throw new Refusal('service-not-allowed', `The service "${service}" is not in registry.allowedServices.`, {
      forLog: "Make the registry's auth.token.service one of them.",
    });
  const proof = parseProofHeader(request.headers);
  const authorization = request.headers.get('authorization') ?? '';
  return {
    method,
    service,
    access: parseScopes(parameters.getAll('scope')),
    credentials,
    isAnonymous: credentials === null && proof === null && authorization === '',
    proof,
    certificate: clientCertificate(request.headers, peer, options.forwarded),
  };
}
