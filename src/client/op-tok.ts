/** Requests an OpTok from the Authority's token endpoint, and checks that it is bound to its sender. */
import { createHash, X509Certificate } from 'node:crypto';
import { excerpt } from '../platform/escape.ts';
import type { Authority } from './authority.ts';
import { sendToAuthority } from './authority-request.ts';
import { type ClientAuthentication, credentialName } from './client-authentication.ts';
import {
  ClientFault,
  clockDifference,
  clockHint,
  clocksAgree,
  errorOf,
  type HttpAnswer,
  parseObject,
  refused,
  shownUrl,
} from './client-fault.ts';
import type { DpopKey } from './dpop.ts';
import type { ClientParts } from './http.ts';

export type Grant =
  /** RFC 6749 §4.4. */
  | { readonly kind: 'client_credentials' }
  /** RFC 8628 §3.4. */
  | { readonly kind: 'device_code'; readonly deviceCode: string }
  /** RFC 6749 §6. */
  | { readonly kind: 'refresh_token'; readonly refreshToken: string };

export interface OpTokRequest {
  readonly client: ClientAuthentication;
  readonly grant: Grant;
  /** Space-separated; empty for none. Not sent with a device code or a refresh token, whose scope is decided already. */
  readonly scope: string;
  /** RFC 8707. */
  readonly resources: readonly string[];
  /** What some Authorities have for it; null for none. */
  readonly audience: string | null;
  /** The key to bind the OpTok to; null if the certificate of the TLS connection binds it. */
  readonly dpopKey: DpopKey | null;
  /** What the OpTok must be bound by; null to accept either. */
  readonly bind: Binding | null;
  /**
   * Called with the refresh token that comes with an OpTok, before anything is made of the OpTok: one that was exchanged for it is
   * used up, whatever is wrong with the rest of the answer.
   */
  readonly onRefreshToken?: (refreshToken: string) => void;
}

export type Binding = 'dpop' | 'certificate';

/** An OpTok and how it is brought to a resource: with a proof by this key, or over TLS with the certificate. */
export interface OpTok {
  readonly accessToken: string;
  readonly dpopKey: DpopKey | null;
  /** It is bound to nothing: anyone who sees it can use it, so it is only sent to a realm that the user has named. */
  readonly isBearer: boolean;
}

/** An OpTok as it came from the Authority, or as it was found. */
export interface NewOpTok extends OpTok {
  /** Epoch seconds; null if unknown. */
  readonly expiresAt: number | null;
  /** Whether it may be kept for the next use. */
  readonly isReusable: boolean;
}

const STEP = 'OpTok';

const MAX_TOKEN_CHARACTERS = 64 * 1024;

/** An OpTok is not kept for longer, whatever the Authority says. */
const LONGEST_LIFETIME_S = 86_400;

/** Throws ClientFault if the Authority refuses, or answers with a token that is bound to nothing. */
export async function requestOpTok(
  authority: Authority,
  request: OpTokRequest,
  parts: ClientParts,
): Promise<NewOpTok> {
  const { client, dpopKey } = request;
  checkAlgorithm(authority, dpopKey);
  const { clientCertificate } = parts.http;
  const url = authority.tokenEndpoint;
  const askedAt = parts.clock();
  const { answer, secrets } = await sendToAuthority(
    STEP,
    { url, form: formOf(request), client, dpopKey },
    authority,
    parts,
  );
  if (answer.status !== 200)
    throw refused(answer, {
      what: STEP,
      url,
      secrets: [...secrets, ...secretsOf(request.grant)],
      advice: adviceFor(request, answer, parts.clock()),
      hint: timeHint(answer, client, parts.clock()),
    });

  const fault = (why: string) => new ClientFault(`${STEP}: ${shownUrl(url)} ${why}`);
  const {
    access_token: accessToken,
    token_type: tokenType,
    expires_in: lifetime,
    refresh_token: refreshToken,
  } = parseObject(answer) ?? {};
  if (isRefreshToken(refreshToken)) request.onRefreshToken?.(refreshToken);
  if (typeof accessToken !== 'string' || !isAccessToken(accessToken) || typeof tokenType !== 'string')
    throw fault('answered 200 without a usable access_token and token_type');
  const expiresAt =
    typeof lifetime === 'number' && lifetime >= 0 ? askedAt + Math.min(lifetime, LONGEST_LIFETIME_S) : null;
  const granted = { accessToken, expiresAt, isBearer: false, isReusable: true };
  switch (tokenType.toLowerCase()) {
    case 'dpop':
      if (dpopKey !== null) return { ...granted, dpopKey };
      throw fault('answered with a DPoP token, but no proof was sent');
    case 'bearer':
      if (request.bind === 'dpop')
        throw fault(
          'accepted the proof but answered with a Bearer token; make the Authority bind the access tokens of this client by DPoP',
        );
      if (clientCertificate !== null) {
        checkCertificateBinding(accessToken, clientCertificate.certificate);
        return { ...granted, dpopKey: null };
      }
      throw fault(
        'accepted the proof but answered with a Bearer token, which is bound to nothing; let the Authority bind ' +
          'the access tokens of this client by DPoP, or give the client a certificate',
      );
    default:
      throw fault(`answered with a token of unknown type ${excerpt(tokenType, 40)}`);
  }
}

/** The characters of a token in an Authorization field (RFC 6750 §2.1), and a length that servers accept there. */
export function isAccessToken(text: string): boolean {
  return text.length <= MAX_TOKEN_CHARACTERS && /^[A-Za-z0-9._~+/-]+=*$/.test(text);
}

/** RFC 6749 appendix A.17, and a length that fits a file. */
export function isRefreshToken(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_TOKEN_CHARACTERS && /^[\x20-\x7e]+$/.test(value);
}

function checkAlgorithm({ dpopAlgorithms }: Authority, dpopKey: DpopKey | null): void {
  if (dpopKey === null || dpopAlgorithms === null || dpopAlgorithms.includes(dpopKey.algorithm)) return;
  throw new ClientFault(
    `${STEP}: the Authority accepts DPoP proofs signed with ${excerpt(dpopAlgorithms.join(', '))}, but this key ` +
      `signs with ${dpopKey.algorithm}; use another kind of key`,
  );
}

function formOf({ grant, scope, resources, audience }: OpTokRequest): URLSearchParams {
  const form = new URLSearchParams({ grant_type: grantTypes[grant.kind] });
  if (grant.kind === 'device_code') form.set('device_code', grant.deviceCode);
  if (grant.kind === 'refresh_token') form.set('refresh_token', grant.refreshToken);
  if (grant.kind === 'client_credentials' && scope !== '') form.set('scope', scope);
  setTarget(form, { resources, audience });
  return form;
}

/** Sets what the OpTok is for. */
export function setTarget(
  form: URLSearchParams,
  { resources, audience }: Pick<OpTokRequest, 'resources' | 'audience'>,
): void {
  for (const resource of resources) form.append('resource', resource);
  if (audience !== null) form.set('audience', audience);
}

const grantTypes: Readonly<Record<Grant['kind'], string>> = {
  client_credentials: 'client_credentials',
  device_code: 'urn:ietf:params:oauth:grant-type:device_code',
  refresh_token: 'refresh_token',
};

function secretsOf(grant: Grant): readonly string[] {
  switch (grant.kind) {
    case 'client_credentials':
      return [];
    case 'device_code':
      return [grant.deviceCode];
    case 'refresh_token':
      return [grant.refreshToken];
  }
}

/** Proofs and assertions are dated, so the clocks may be the cause. */
function timeHint(answer: HttpAnswer, { method }: ClientAuthentication, now: number): string {
  const error = errorOf(answer);
  if (error === 'invalid_dpop_proof') return clockHint(answer, now);
  const isAssertion = method === 'private_key_jwt' && error === 'invalid_client';
  return isAssertion && Math.abs(clockDifference(answer, now) ?? 0) > 10 ? clockHint(answer, now) : '';
}

function adviceFor(
  { client, scope, grant }: OpTokRequest,
  answer: HttpAnswer,
  now: number,
): Readonly<Record<string, string>> {
  const credential = `compare the client ID and its ${credentialName(client)} with those at the Authority`;
  // Keycloak says unauthorized_client for a wrong secret too, and 401 for a client that may not use the grant.
  const isCredential =
    /credential|secret/i.test(answer.text) ||
    (answer.status === 401 && !/service account|grant/i.test(answer.text));
  const grantType = grantTypes[grant.kind];
  const asked = scope === '' ? '' : `, the scope "${excerpt(scope)}"`;
  // Some servers have words of their own (Glewlwyd: scope_invalid), or none.
  const adviceByStatus = {
    400: `check what this client may have at the Authority: the grant ${grantType}${asked}, the resource or audience`,
    401: credential,
    403: credential,
  };
  return {
    invalid_client: credential,
    unauthorized_client: isCredential
      ? credential
      : `allow this client the grant ${grantType} at the Authority`,
    unsupported_grant_type: `allow the grant ${grantType} at the Authority`,
    invalid_scope: `allow this client the scope "${excerpt(scope)}" at the Authority`,
    invalid_target:
      'allow this client the resource or audience at the Authority, or correct it here (resources, audience)',
    ...(clocksAgree(answer, now)
      ? {}
      : { invalid_dpop_proof: "compare this machine's clock with the Authority's" }),
    ...(grant.kind === 'client_credentials' ? {} : { invalid_grant: loginAdvice[grant.kind] }),
    use_dpop_nonce: 'the Authority did not send a nonce, or refused the one it sent',
    ...(errorOf(answer) === 'invalid_dpop_proof' ? {} : adviceByStatus),
  };
}

const loginAdvice = {
  device_code: 'run registry-token login again',
  refresh_token: 'the login has ended; run registry-token login again, for the same profile',
} as const;

/**
 * Throws ClientFault unless the OpTok is bound to this certificate (PEM): what is given to a stock client, kept in a cache, or
 * sent to the realm that a registry names must be useless to anyone who copies it.
 */
export function checkCertificateBinding(accessToken: string, certificate: string): void {
  const { cnf } = claimsOf(accessToken);
  const found =
    typeof cnf === 'object' && cnf !== null ? (cnf as Record<string, unknown>)['x5t#S256'] : undefined;
  if (found === certificateThumbprint(certificate)) return;
  throw new ClientFault(
    `OpTok: the Authority issued one that is ${found === undefined ? 'not bound to a' : 'bound to another'} ` +
      "certificate; make it bind this client's access tokens to its certificate " +
      '(tls_client_certificate_bound_access_tokens)',
  );
}

/** The SHA-256 of the certificate's DER, in base64url: the first of the chain in a PEM. */
export function certificateThumbprint(certificate: string): string {
  return createHash('sha256').update(new X509Certificate(certificate).raw).digest('base64url');
}

/** The claims of a JWT, not verified; none if it is not a JWT. */
export function claimsOf(accessToken: string): Readonly<Record<string, unknown>> {
  try {
    const claims: unknown = JSON.parse(
      Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString('utf8'),
    );
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
