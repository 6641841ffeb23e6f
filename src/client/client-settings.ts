/** The settings that say where a client's OpToks come from, and how it gets them. */

import { proxiesOf } from '../platform/proxy.ts';
import type { Authority } from './authority.ts';
import { type AuthorityClient, type KnownAuthority, openAuthority } from './authority-client.ts';
import { ClientFault } from './client-fault.ts';
import { type DpopKey, generateDpopKey, openDpopKey } from './dpop.ts';
import { loadCertificateAuthorities, loadClientCertificate } from './files.ts';
import { type GivenOpTok, readGivenOpTok } from './given-op-tok.ts';
import type { ClientParts, HttpOptions } from './http.ts';
import { type LoginSource, loginRequester } from './login.ts';
import { type Binding, type NewOpTok, requestOpTok } from './op-tok.ts';

/** OpToks by client_credentials. */
export interface AuthoritySource extends AuthorityClient {
  readonly kind: 'authority';
}

export interface ClientSettings {
  readonly source: AuthoritySource | LoginSource | GivenOpTok;
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
  const parts = openParts(settings, dependencies);
  return { parts, requestOpTok: requesterOf(settings, bearer, parts, dependencies) };
}

/** What every request of the client has in common. Reads certificates. Throws ClientFault. */
export function openParts(
  { certificate, caPath }: ClientSettings,
  { clock, pause, stop, env }: ClientDependencies,
): ClientParts {
  const http: HttpOptions = {
    certificateAuthorities: caPath === null ? null : loadCertificateAuthorities(caPath),
    clientCertificate:
      certificate === null ? null : loadClientCertificate(certificate.certPath, certificate.keyPath),
    ...(stop === undefined ? {} : { stop }),
    proxies: proxiesOf(env),
  };
  return { http, clock, pause };
}

function requesterOf(
  settings: ClientSettings,
  bearer: OpTokBearer,
  parts: ClientParts,
  dependencies: ClientDependencies,
): Client['requestOpTok'] {
  const { source, bind } = settings;
  switch (source.kind) {
    case 'authority':
      return authorityRequester(source, settings, bearer, parts, dependencies);
    case 'login':
      return loginRequester(source, bearer === 'stock client', { bind, warn: dependencies.warn }, parts);
    default:
      return () => readGiven(source, settings, parts.http, dependencies);
  }
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
  const { scope, resources, audience } = source;
  if (bind === 'certificate' && certificate === null)
    throw new ClientFault('bind is certificate, and there is no certificate: name it and its key');
  if (bind === 'dpop' && bearer === 'stock client')
    throw new ClientFault('bind is dpop, and only this program can make proofs: use the agent or token');
  const open = openAuthority(source, parts.http);

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

  const grant = { kind: 'client_credentials' } as const;
  let known: (KnownAuthority & { readonly dpopKey: DpopKey | null }) | null = null;
  return async () => {
    if (known === null) {
      const { authority, client } = await open();
      known = { authority, client, dpopKey: await chooseDpopKey(authority) };
    }
    const { authority, ...own } = known;
    return requestOpTok(authority, { ...own, grant, bind, scope, resources, audience }, parts);
  };
}
