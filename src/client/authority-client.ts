/** A client as the Authority knows it: what the settings say of it, and how its files and the Authority's metadata are read. */
import { type Authority, discoverAuthority } from './authority.ts';
import {
  type ClientAuthentication,
  type ClientAuthenticationMethod,
  chooseClientAuthentication,
  loadClientKey,
} from './client-authentication.ts';
import { readSecretFile } from './files.ts';
import type { HttpOptions } from './http.ts';

export interface AuthorityClient {
  /** The Authority's issuer, exactly as its access tokens name it. */
  readonly authority: string;
  readonly clientId: string;
  /** null to decide by the Authority's metadata and what the client has. */
  readonly authenticationMethod: ClientAuthenticationMethod | null;
  readonly secretPath: string | null;
  /** The key of private_key_jwt. */
  readonly clientKeyPath: string | null;
  /** The `kid` of its assertions; null for the one in the key's file. */
  readonly clientKeyId: string | null;
  /** The `aud` of its assertions; null for the issuer. */
  readonly assertionAudience: string | null;
  /** Of the OpTok, space-separated; empty for none. */
  readonly scope: string;
  /** RFC 8707. */
  readonly resources: readonly string[];
  readonly audience: string | null;
}

export interface KnownAuthority {
  readonly authority: Authority;
  readonly client: ClientAuthentication;
}

/** Reads the files that the settings name; the metadata are read at the first call, once. Throws ClientFault. */
export function openAuthority(settings: AuthorityClient, http: HttpOptions): () => Promise<KnownAuthority> {
  const { secretPath, clientKeyPath } = settings;
  const credentials = {
    clientId: settings.clientId,
    secret: secretPath === null ? null : readSecretFile(secretPath, 'the client secret'),
    key: clientKeyPath === null ? null : loadClientKey(clientKeyPath, settings.clientKeyId),
    hasCertificate: http.clientCertificate !== null,
    assertionAudience: settings.assertionAudience,
  };
  let known: KnownAuthority | null = null;
  return async () => {
    if (known === null) {
      const authority = await discoverAuthority(settings.authority, http);
      const client = chooseClientAuthentication(authority, credentials, settings.authenticationMethod);
      known = { authority, client };
    }
    return known;
  };
}
