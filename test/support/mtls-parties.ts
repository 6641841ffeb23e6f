/** Who takes part where OpToks are bound to certificates: an Authority over TLS, its clients, and what they hold. */
import { copyFile, mkdir, stat } from 'node:fs/promises';
import { generateKeyPair as generateDpopKeyPair, generateProof } from 'dpop';
import { exportJWK, generateKeyPair } from 'jose';
import * as client from 'openid-client';
import { AUTHORITY_SCOPE, type AuthorityOptions, startAuthority } from './authority.ts';
import type { DpopClient } from './authority-client.ts';
import { type AuthorityProcess, startAuthorityProcess } from './authority-process.ts';
import { type CertificateFiles, writeCertificate } from './certificates.ts';
import { writeImage } from './images.ts';
import type { MovableClock } from './movable-clock.ts';
import { createTemporaryFolder, type TemporaryFolder } from './processes.ts';
import { type CertificateAuthority, createCertificateAuthority, type TlsIdentity } from './tls-identities.ts';

/** Those whom a service and a registry over TLS are started for, whichever Authority it is. */
export interface TlsParties {
  readonly folder: TemporaryFolder;
  readonly certificateAuthority: CertificateAuthority;
  /** For `localhost` and `127.0.0.1`. */
  readonly server: TlsIdentity;
  readonly authority: { readonly issuer: string };
  /** Of the service's `signing`: signs registry tokens. */
  readonly signing: CertificateFiles & { readonly lifetime?: string };
  /** Of every process that is told the time by them. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface MtlsParties extends TlsParties, AsyncDisposable {
  readonly authority: AuthorityProcess;
  /** Has the plan enterprise. */
  readonly alice: TlsIdentity;
  /** Has no plan of its own. */
  readonly bob: TlsIdentity;
  /** The private key of a client without a certificate, `builder`, whose OpToks are bound by DPoP. */
  readonly builderKey: CryptoKey;
  /** A folder as /etc/containers/certs.d has one for each registry; without a client certificate for null. */
  readonly certificateFolder: (identity: TlsIdentity | null) => Promise<string>;
  /** Writes an image whose blobs no client has seen; its folder. */
  readonly newImage: () => Promise<string>;
}

/** Their clock is that of the tests where none is given. A registry, being a Go program, always has that one. */
export async function createMtlsParties(clock: MovableClock | null = null): Promise<MtlsParties> {
  const folder = await createTemporaryFolder();
  const environment = clock?.environment ?? {};
  const certificateAuthority = await createCertificateAuthority(folder, 'authority', environment);
  const server = await certificateAuthority.issue('server');
  const ofClients = { extensions: ['extendedKeyUsage=clientAuth'] };
  const alice = await certificateAuthority.issue('alice', ofClients);
  const bob = await certificateAuthority.issue('bob', ofClients);
  const signing = await writeCertificate(folder, 'registry-signing', { environment });
  const builder = await generateKeyPair('ES256', { extractable: true });
  const options: AuthorityOptions = {
    clients: [
      { id: alice.name, plan: 'enterprise', certificate: alice.certificate },
      { id: bob.name, certificate: bob.certificate },
      { id: 'builder', plan: 'enterprise', assertionKey: await exportJWK(builder.publicKey) },
    ],
    tls: server,
  };
  const authority =
    clock === null ? await startAuthority(options) : await startAuthorityProcess(options, environment);
  let images = 0;
  return {
    folder,
    certificateAuthority,
    server,
    authority,
    alice,
    bob,
    builderKey: builder.privateKey,
    // What is issued by a clock that is behind has to be good for the registry too.
    signing: clock === null ? signing : { ...signing, lifetime: '1h' },
    environment,
    certificateFolder: (identity) => writeCertificateFolder({ folder, certificateAuthority }, identity),
    newImage: async () => {
      images += 1;
      await writeImage(folder.at(`image-${images}`));
      return folder.at(`image-${images}`);
    },
    [Symbol.asyncDispose]: async () => {
      await authority[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** A folder as /etc/containers/certs.d has one for each registry; without a client certificate for null. */
export async function writeCertificateFolder(
  { folder, certificateAuthority }: Pick<TlsParties, 'folder' | 'certificateAuthority'>,
  identity: TlsIdentity | null,
): Promise<string> {
  const path = folder.at(`certs.d-${identity?.name ?? 'nobody'}`);
  if (await stat(path).catch(() => null)) return path;
  await mkdir(path);
  await copyFile(certificateAuthority.certificatePath, `${path}/ca.crt`);
  if (identity === null) return path;
  await copyFile(identity.certificatePath, `${path}/client.cert`);
  await copyFile(identity.keyPath, `${path}/client.key`);
  return path;
}

/** An OpTok that the Authority bound to the certificate over which openid-client asked for it. */
export async function obtainBoundOpTok(
  { authority, certificateAuthority }: MtlsParties,
  identity: TlsIdentity,
): Promise<string> {
  const tls = { ca: certificateAuthority.certificate, cert: identity.certificate, key: identity.key };
  const configuration = await discover(authority, identity.name, client.TlsClientAuth(), tls);
  const answer = await client.clientCredentialsGrant(configuration, { scope: AUTHORITY_SCOPE });
  return answer.access_token;
}

/** The client without a certificate, with an OpTok that is bound to a new key of its own. */
export async function createBuilder({
  authority,
  certificateAuthority,
  builderKey,
}: MtlsParties): Promise<DpopClient> {
  const keyPair = await generateDpopKeyPair('ES256', { extractable: true });
  const authentication = client.PrivateKeyJwt(builderKey);
  const tls = { ca: certificateAuthority.certificate };
  const configuration = await discover(authority, 'builder', authentication, tls);
  const DPoP = client.getDPoPHandle(configuration, keyPair);
  const answer = await client.clientCredentialsGrant(configuration, { scope: AUTHORITY_SCOPE }, { DPoP });
  const opTok = answer.access_token;
  const proof = (url: string, sentOpTok = opTok) => generateProof(keyPair, url, 'GET', undefined, sentOpTok);
  return { keyPair, opTok, proof };
}

function discover(
  { issuer }: AuthorityProcess,
  clientId: string,
  authentication: client.ClientAuth,
  tls: { readonly ca: string; readonly cert?: string; readonly key?: string },
): Promise<client.Configuration> {
  const fetchOverTls = (url: string, options: client.CustomFetchOptions) =>
    fetch(url, { ...(options as RequestInit), tls });
  return client.discovery(new URL(issuer), clientId, undefined, authentication, {
    [client.customFetch]: fetchOverTls,
  });
}
