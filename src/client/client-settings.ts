/** What a client is told about where its OpToks come from, and how it gets them. */

import { proxiesOf } from '../platform/proxy.ts';
import { type Authority, discoverAuthority } from './authority.ts';
import {
  type ClientAuthentication,
  type ClientAuthenticationMethod,
  chooseClientAuthentication,
  loadClientKey,
} from './client-authentication.ts';
import { ClientFault } from './client-fault.ts';
import { type DpopKey, generateDpopKey, openDpopKey } from './dpop.ts';
import { loadCertificateAuthorities, loadClientCertificate, readSecretFile } from './files.ts';
import { type GivenOpTok, readGivenOpTok } from './given-op-tok.ts';
import type { ClientParts, HttpOptions } from './http.ts';
import { type Binding, type NewOpTok, requestOpTok } from './op-tok.ts';

/** How an OpTok is requested from an Authority. */
export interface AuthoritySource {
  readonly kind: 'authority';
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

export interface ClientSettings {
  readonly source: AuthoritySource | GivenOpTok;
  /** What OpToks must be bound by; null to decide by the settings and the Authority's metadata. */
  readonly bind: Binding | null;
  /** Shown to every server that asks. */
  readonly certificate: { readonly certPath: string; readonly keyPath: string } | null;
  /** The certificate authorities to trust in place of the system's. */
  readonly caPath: string | null;
  readonly dpopKeyPath: string | null;
}

/** Who brings the OpTok to the service: this program, or a stock client, which cannot make proofs. */
export type OpTokBearer = 'ourselves' | 'stock client';

export interface Client {
  /** For requests to other servers: the same certificate, the same certificate authorities. */
  readonly parts: ClientParts;
  /** Gets an OpTok. The Authority's metadata are read, and the DPoP key is opened, once. Throws ClientFault. */
  readonly requestOpTok: () => Promise<NewOpTok>;
}

export interface ClientDependencies extends Omit<ClientParts, 'http'> {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Ends every exchange at once when it is aborted. */
  readonly stop?: AbortSignal;
  /** Called with the path of a DPoP key that was created. */
  readonly onNewKey: (path: string, key: DpopKey) => void;
  readonly warn: (warning: string) => void;
}

/** Reads the files that the settings name, before anything is sent. Throws ClientFault. */
export function openClient(
  settings: ClientSettings,
  bearer: OpTokBearer,
  dependencies: ClientDependencies,
): Client {
  const { certificate, caPath, source } = settings;
  const { clock, pause, stop } = dependencies;
  const http: HttpOptions = {
    certificateAuthorities: caPath === null ? null : loadCertificateAuthorities(caPath),
    clientCertificate:
      certificate === null ? null : loadClientCertificate(certificate.certPath, certificate.keyPath),
    ...(stop === undefined ? {} : { stop }),
    proxies: proxiesOf(dependencies.env),
  };
  const parts: ClientParts = { http, clock, pause };
  const requestOpTok =
    source.kind === 'authority'
      ? authorityRequester(source, settings, bearer, parts, dependencies)
      : () => readGiven(source, settings, http, dependencies);
  return { parts, requestOpTok };
}

function readGiven(
  source: GivenOpTok,
  { bind, dpopKeyPath }: ClientSettings,
  { clientCertificate }: HttpOptions,
  dependencies: ClientDependencies,
): Promise<NewOpTok> {
  return readGivenOpTok(source, {
    ...dependencies,
    bind,
    certificate: clientCertificate?.certificate ?? null,
    openKey: async () =>
      dpopKeyPath === null
        ? null
        : (await openDpopKey(dpopKeyPath, { mustExist: true, warn: dependencies.warn })).key,
  });
}

function authorityRequester(
  source: AuthoritySource,
  { bind, certificate, dpopKeyPath }: ClientSettings,
  bearer: OpTokBearer,
  parts: ClientParts,
  { onNewKey, warn }: ClientDependencies,
): Client['requestOpTok'] {
  const { secretPath, clientKeyPath, scope, resources, audience } = source;
  if (bind === 'certificate' && certificate === null)
    throw new ClientFault('bind is certificate, and there is no certificate: name it and its key');
  if (bind === 'dpop' && bearer === 'stock client')
    throw new ClientFault('bind is dpop, and only this program can make proofs: use the agent or token');
  const credentials = {
    clientId: source.clientId,
    secret: secretPath === null ? null : readSecretFile(secretPath, 'the client secret'),
    key: clientKeyPath === null ? null : loadClientKey(clientKeyPath, source.clientKeyId),
    hasCertificate: certificate !== null,
    assertionAudience: source.assertionAudience,
  };

  const chooseDpopKey = async (authority: Authority): Promise<DpopKey | null> => {
    if (bind === 'certificate' || bearer === 'stock client') return null;
    if (dpopKeyPath === null) {
      const bindsToCertificate = certificate !== null && authority.bindsToCertificates && bind === null;
      return bindsToCertificate ? null : generateDpopKey();
    }
    const { key, isNew } = await openDpopKey(dpopKeyPath, { warn });
    if (isNew) onNewKey(dpopKeyPath, key);
    return key;
  };

  let known: { authority: Authority; client: ClientAuthentication; dpopKey: DpopKey | null } | null = null;
  return async () => {
    if (known === null) {
      const authority = await discoverAuthority(source.authority, parts.http);
      const client = chooseClientAuthentication(authority, credentials, source.authenticationMethod);
      known = { authority, client, dpopKey: await chooseDpopKey(authority) };
    }
    const { authority, ...own } = known;
    return requestOpTok(authority, { ...own, bind, scope, resources, audience }, parts);
  };
}
