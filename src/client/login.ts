/** A person's login: started by the device authorization grant, kept as a refresh token, ended by logout. */
import { existsSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { explainError } from '../platform/errors.ts';
import type { Authority } from './authority.ts';
import { type AuthorityClient, openAuthority } from './authority-client.ts';
import { sendToAuthority } from './authority-request.ts';
import { ClientFault, refused } from './client-fault.ts';
import { authorizeDevice, awaitApproval, type DeviceAuthorization } from './device-login.ts';
import { type DpopKey, openDpopKey } from './dpop.ts';
import type { ClientParts } from './http.ts';
import {
  checkLogin,
  type Login,
  prepareLoginFile,
  readLogin,
  removeLogin,
  withLoginLock,
  writeLogin,
} from './login-file.ts';
import { type Binding, certificateThumbprint, claimsOf, type NewOpTok, requestOpTok } from './op-tok.ts';

/** OpToks by the refresh token of a login. */
export interface LoginSource extends AuthorityClient {
  readonly kind: 'login';
  readonly loginPath: string;
  readonly dpopKeyPath: string;
  /** Whether the user has named the key, so that it is theirs to keep. */
  readonly isKeyNamed: boolean;
}

export interface LoginOptions {
  readonly bind: Binding | null;
  readonly onNewKey: (path: string, key: DpopKey) => void;
  readonly warn: (warning: string) => void;
}

const OFFLINE_ACCESS = 'offline_access';

/**
 * Asks for a code, has it shown by `onCode`, and waits for the approval. The login replaces a former one. Returns the `sub` of the
 * access token, null if it is not readable. Throws ClientFault; a former login is then still there.
 */
export async function logIn(
  source: LoginSource,
  options: LoginOptions,
  parts: ClientParts,
  onCode: (device: DeviceAuthorization) => void,
): Promise<string | null> {
  const { loginPath: path, resources, audience } = source;
  const open = openAuthority(source, parts.http);
  prepareLoginFile(path);
  const { authority, client } = await open();
  const scope = scopeOf(source, authority);
  const request = { client, scope, resources, audience };
  const device = await authorizeDevice(authority, request, parts);
  const { dpopKey, binding } = await chooseBinding(source, options, authority, parts);
  onCode(device);
  let refreshToken: string | null = null;
  const { accessToken } = await awaitApproval(
    authority,
    device,
    {
      ...request,
      dpopKey,
      bind: dpopKey === null ? 'certificate' : 'dpop',
      onRefreshToken: (token) => {
        refreshToken = token;
      },
    },
    parts,
    (fault) => options.warn(`${fault.message}; trying again`),
  );
  if (refreshToken === null)
    throw new ClientFault(
      'login: the Authority gave no refresh token, so the login would end with the first OpTok; allow this client the grant ' +
        `refresh_token there${scope.split(' ').includes(OFFLINE_ACCESS) ? '' : `, or add ${OFFLINE_ACCESS} to authorityScope`}`,
    );
  const login: Login = { authority: source.authority, clientId: source.clientId, binding, refreshToken };
  await withLoginLock(path, parts.pause, () => writeLogin(path, login));
  const { sub } = claimsOf(accessToken);
  return typeof sub === 'string' ? sub : null;
}

/** OpenID Connect Core §11: where the Authority knows the scope, it is what gets a refresh token that outlives the session. */
function scopeOf({ scope }: LoginSource, { scopes }: Authority): string {
  const wanted = scope.split(' ').filter((word) => word !== '');
  if (scopes?.includes(OFFLINE_ACCESS) && !wanted.includes(OFFLINE_ACCESS)) wanted.push(OFFLINE_ACCESS);
  return wanted.join(' ');
}

async function chooseBinding(
  { dpopKeyPath, isKeyNamed }: LoginSource,
  { bind, onNewKey, warn }: LoginOptions,
  authority: Authority,
  { http: { clientCertificate } }: ClientParts,
): Promise<{ readonly dpopKey: DpopKey | null; readonly binding: Login['binding'] }> {
  if (bind === 'certificate' && clientCertificate === null)
    throw new ClientFault('bind is certificate, and there is no certificate: name it and its key');
  const byMetadata = bind === null && !isKeyNamed && authority.bindsToCertificates;
  if (clientCertificate !== null && (bind === 'certificate' || byMetadata))
    return { dpopKey: null, binding: { 'x5t#S256': certificateThumbprint(clientCertificate.certificate) } };
  const { key, isNew } = await openDpopKey(dpopKeyPath, { mustBeOwn: true, warn });
  if (isNew) onNewKey(dpopKeyPath, key);
  return { dpopKey: key, binding: { jkt: key.thumbprint } };
}

/**
 * Gets OpToks by the refresh token. One process at a time uses it, and the next refresh token is on the disk before the OpTok that
 * came with it is used. `needsCertificate` if a client that can make no proofs gets the OpTok.
 */
export function loginRequester(
  source: LoginSource,
  needsCertificate: boolean,
  options: Pick<LoginOptions, 'bind' | 'warn'>,
  parts: ClientParts,
): () => Promise<NewOpTok> {
  const { loginPath: path, scope, resources, audience } = source;
  const open = openAuthority(source, parts.http);
  // A refresh that was sent is waited for: its answer has the only refresh token that is still good.
  const { stop: _, ...uninterrupted } = parts.http;
  return async () => {
    checkLogin(readLogin(path), source, path);
    const { authority, client } = await open();
    return withLoginLock(path, parts.pause, async () => {
      const login = checkLogin(readLogin(path), source, path);
      const dpopKey = await openBinding(login, source, needsCertificate, options, parts);
      // A file that cannot be replaced is noticed while the present refresh token is still good.
      writeLogin(path, login);
      const request = {
        client,
        grant: { kind: 'refresh_token', refreshToken: login.refreshToken },
        scope,
        resources,
        audience,
        dpopKey,
        bind: dpopKey === null ? 'certificate' : 'dpop',
        onRefreshToken: (refreshToken: string) => {
          if (refreshToken !== login.refreshToken) writeLogin(path, { ...login, refreshToken });
        },
      } as const;
      return requestOpTok(authority, request, { ...parts, http: uninterrupted });
    });
  };
}

/** The DPoP key that the login is bound to; null if it is bound to the certificate of these connections. */
async function openBinding(
  { binding }: Login,
  { dpopKeyPath }: LoginSource,
  needsCertificate: boolean,
  { bind, warn }: Pick<LoginOptions, 'bind' | 'warn'>,
  { http: { clientCertificate } }: ClientParts,
): Promise<DpopKey | null> {
  const fault = (why: string) => new ClientFault(`the login is bound to ${why}`);
  if ('jkt' in binding) {
    if (bind === 'certificate')
      throw fault('a DPoP key, and bind is certificate; run registry-token login again');
    if (needsCertificate)
      throw fault(
        "a DPoP key, and only this program can make proofs: use 'agent' or 'token', or set bind: certificate and log in again",
      );
    if (!existsSync(dpopKeyPath))
      throw fault(`a DPoP key that is gone (${dpopKeyPath}); run registry-token login again`);
    const { key } = await openDpopKey(dpopKeyPath, { mustExist: true, mustBeOwn: true, warn });
    if (key.thumbprint === binding.jkt) return key;
    throw fault(`another DPoP key than the one in ${dpopKeyPath}; run registry-token login again`);
  }
  if (bind === 'dpop') throw fault('a certificate, and bind is dpop; run registry-token login again');
  if (clientCertificate === null) throw fault('a certificate; name it and its key (certPath and keyPath)');
  if (certificateThumbprint(clientCertificate.certificate) === binding['x5t#S256']) return null;
  throw fault('another certificate than the one in certPath; run registry-token login again');
}

export type Revocation =
  | 'revoked'
  /** The Authority's metadata name no revocation endpoint. */
  | 'not offered'
  /** Nobody was logged in. */
  | 'nothing'
  | ClientFault;

/**
 * Revokes the refresh token (RFC 7009), and removes it and a DPoP key that the user has not named, whether or not it could be
 * revoked: `open` throws ClientFault if the files for it cannot be read. Throws ClientFault if something could not be removed.
 */
export async function logOut(
  source: LoginSource,
  { pause, warn }: Pick<ClientParts, 'pause'> & Pick<LoginOptions, 'warn'>,
  open: () => ClientParts,
): Promise<Revocation> {
  const { loginPath: path, dpopKeyPath, isKeyNamed } = source;
  if (!existsSync(dirname(path))) return 'nothing';
  return withLoginLock(path, pause, async () => {
    const revocation = await revoke(source, warn, open).catch((cause) => {
      if (cause instanceof ClientFault) return cause;
      throw cause;
    });
    removeLogin(path);
    try {
      if (!isKeyNamed) rmSync(dpopKeyPath, { force: true });
    } catch (cause) {
      throw new ClientFault(`cannot remove the DPoP key ${dpopKeyPath}: ${explainError(cause, 'write')}`);
    }
    return revocation;
  });
}

async function revoke(
  source: LoginSource,
  warn: LoginOptions['warn'],
  open: () => ClientParts,
): Promise<Revocation> {
  const found = readLogin(source.loginPath);
  if (found === null) return 'nothing';
  const login = checkLogin(found, source, source.loginPath);
  const parts = open();
  const { authority, client } = await openAuthority(source, parts.http)();
  const url = authority.revocationEndpoint;
  if (url === null) return 'not offered';
  // RFC 7009 needs no proof, but a server may want one for what is bound to a key.
  const hasKey = 'jkt' in login.binding && existsSync(source.dpopKeyPath);
  const dpopKey = hasKey ? (await openDpopKey(source.dpopKeyPath, { mustExist: true, warn })).key : null;
  const form = new URLSearchParams({ token: login.refreshToken, token_type_hint: 'refresh_token' });
  const request = { url, form, client, dpopKey };
  const { answer, secrets } = await sendToAuthority('logout', request, authority, parts);
  if (answer.status >= 200 && answer.status < 300) return 'revoked';
  throw refused(answer, { what: 'logout', url, secrets: [...secrets, login.refreshToken], advice: {} });
}
