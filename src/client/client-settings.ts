/** All that a client is told about its Authority, and the way from there to OpToks. */
import { type Authority, discoverAuthority } from './authority.ts';
import {
  type ClientAuthentication,
  type ClientAuthenticationMethod,
  chooseClientAuthentication,
  loadClientKey,
} from './client-authentication.ts';
import { type DpopKey, generateDpopKey, openDpopKey } from './dpop.ts';
import { loadCertificateAuthorities, loadClientCertificate, readSecretFile } from './files.ts';
import type { ClientParts, HttpOptions } from './http.ts';
import { type NewOpTok, requestOpTok } from './op-tok.ts';

export interface ClientSettings {
  /** The Authority's issuer, exactly as its access tokens name it. */
  readonly authority: string;
  readonly clientId: string;
  /** Null where the Authority's metadata and what the client has are to decide. */
  readonly authenticationMethod: ClientAuthenticationMethod | null;
  readonly secretPath: string | null;
  /** The key of private_key_jwt. */
  readonly clientKeyPath: string | null;
  /** The `kid` of its assertions; null for the one in the key's file. */
  readonly clientKeyId: string | null;
  /** The `aud` of its assertions; null for the issuer. */
  readonly assertionAudience: string | null;
  /** Shown to every server that asks. */
  readonly certificate: { readonly certPath: string; readonly keyPath: string } | null;
  /** The certificate authorities to trust in place of the system's. */
  readonly caPath: string | null;
  readonly dpopKeyPath: string | null;
  /** Of the OpTok, space-separated; empty for none. */
  readonly scope: string;
  /** RFC 8707. */
  readonly resources: readonly string[];
  readonly audience: string | null;
}

/** What OpToks are to be bound to: the certificate alone, or whatever the settings and the Authority have. */
export type OpTokBinding = 'certificate' | 'any';

export interface AuthorityClient {
  /** For what is asked of other servers: the same certificate, the same certificate authorities. */
  readonly parts: ClientParts;
  /** Gets a new OpTok. The Authority's metadata are read, and the DPoP key opened, once. Throws ClientFault. */
  readonly requestOpTok: () => Promise<NewOpTok>;
}

export interface ClientSurroundings extends Omit<ClientParts, 'http'> {
  /** Ends every exchange at once when it is aborted. */
  readonly stop?: AbortSignal;
  /** Told of the DPoP key's file when it was made. */
  readonly onNewKey: (path: string, key: DpopKey) => void;
}

/** Reads the files that the settings name, before anything is sent. Throws ClientFault. */
export function openAuthorityClient(
  settings: ClientSettings,
  binding: OpTokBinding,
  { clock, pause, stop, onNewKey }: ClientSurroundings,
): AuthorityClient {
  const { certificate, caPath, secretPath, clientKeyPath, dpopKeyPath } = settings;
  const http: HttpOptions = {
    certificateAuthorities: caPath === null ? null : loadCertificateAuthorities(caPath),
    clientCertificate:
      certificate === null ? null : loadClientCertificate(certificate.certPath, certificate.keyPath),
    ...(stop === undefined ? {} : { stop }),
  };
  const credentials = {
    clientId: settings.clientId,
    secret: secretPath === null ? null : readSecretFile(secretPath, 'the client secret'),
    key: clientKeyPath === null ? null : loadClientKey(clientKeyPath, settings.clientKeyId),
    hasCertificate: certificate !== null,
    assertionAudience: settings.assertionAudience,
  };
  const parts: ClientParts = { http, clock, pause };

  const chooseDpopKey = async (authority: Authority): Promise<DpopKey | null> => {
    if (binding === 'certificate') return null;
    if (dpopKeyPath === null)
      return certificate !== null && authority.bindsToCertificates ? null : generateDpopKey();
    const { key, isNew } = await openDpopKey(dpopKeyPath);
    if (isNew) onNewKey(dpopKeyPath, key);
    return key;
  };

  let known: { authority: Authority; client: ClientAuthentication; dpopKey: DpopKey | null } | null = null;
  return {
    parts,
    requestOpTok: async () => {
      if (known === null) {
        const authority = await discoverAuthority(settings.authority, http);
        const client = chooseClientAuthentication(authority, credentials, settings.authenticationMethod);
        known = { authority, client, dpopKey: await chooseDpopKey(authority) };
      }
      const { authority, ...own } = known;
      const { scope, resources, audience } = settings;
      return requestOpTok(authority, { ...own, scope, resources, audience }, parts);
    },
  };
}
