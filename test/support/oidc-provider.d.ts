/** The part of oidc-provider that the tests use; the package brings no types. */
declare module 'oidc-provider' {
  import type { IncomingMessage, ServerResponse } from 'node:http';
  import type { JWK } from 'jose';

  export interface Context {
    readonly req: IncomingMessage;
    readonly path: string;
  }

  export interface Client {
    readonly clientId: string;
  }

  export interface AccessToken {
    readonly clientId: string;
    readonly jti: string;
  }

  export interface ResourceServer {
    readonly scope: string;
    readonly audience: string;
    readonly accessTokenFormat: 'jwt' | 'opaque';
    /** Seconds. */
    readonly accessTokenTTL: number;
    readonly jwt: { readonly sign: { readonly alg: string; readonly kid?: string } };
  }

  export interface ClientMetadata {
    readonly client_id: string;
    readonly client_secret?: string;
    readonly token_endpoint_auth_method:
      | 'client_secret_basic'
      | 'client_secret_post'
      | 'private_key_jwt'
      | 'none'
      | 'self_signed_tls_client_auth';
    readonly grant_types: readonly string[];
    readonly redirect_uris: readonly string[];
    readonly response_types: readonly string[];
    readonly scope: string;
    readonly id_token_signed_response_alg: string;
    readonly jwks?: { readonly keys: readonly JWK[] };
    readonly tls_client_certificate_bound_access_tokens?: boolean;
    readonly dpop_bound_access_tokens?: boolean;
  }

  export interface Configuration {
    readonly clients: readonly ClientMetadata[];
    readonly jwks: { readonly keys: readonly JWK[] };
    readonly scopes: readonly string[];
    readonly clientAuthMethods: readonly ClientMetadata['token_endpoint_auth_method'][];
    readonly cookies: { readonly keys: readonly string[] };
    readonly rotateRefreshToken: boolean;
    readonly ttl: { readonly ClientCredentials: number; readonly DeviceCode: number };
    readonly enabledJWA?: { readonly dPoPSigningAlgValues: readonly string[] };
    readonly extraTokenClaims: (context: Context, token: AccessToken) => Record<string, unknown>;
    readonly features: {
      readonly clientCredentials: { readonly enabled: boolean };
      readonly devInteractions: { readonly enabled: boolean };
      readonly deviceFlow: { readonly enabled: boolean };
      readonly revocation: { readonly enabled: boolean };
      readonly dPoP: { readonly enabled: boolean };
      readonly mTLS?: {
        readonly enabled: boolean;
        readonly certificateBoundAccessTokens: boolean;
        readonly selfSignedTlsClientAuth: boolean;
        readonly getCertificate: (context: Context) => string | undefined;
      };
      readonly resourceIndicators: {
        readonly enabled: boolean;
        readonly defaultResource: (context: Context, client: Client, oneOf?: readonly string[]) => string;
        readonly getResourceServerInfo: (
          context: Context,
          resource: string,
          client: Client,
        ) => ResourceServer;
      };
    };
  }

  export default class Provider {
    constructor(issuer: string, configuration: Configuration);
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
    on(event: 'server_error' | 'grant.error', listener: (context: Context, error: Error) => void): this;
  }
}
