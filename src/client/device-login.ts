/** The device authorization grant (RFC 8628): a code that a person enters in a browser, and the wait until they have. */
import { isSecureUrl } from '../platform/loopback.ts';
import type { Authority } from './authority.ts';
import { sendToAuthority } from './authority-request.ts';
import { ClientFault, NoAnswer, parseObject, refused, shownUrl } from './client-fault.ts';
import { type ClientParts, whyNotLedTo } from './http.ts';
import { type NewOpTok, type OpTokRequest, requestOpTok, setTarget } from './op-tok.ts';

export interface DeviceAuthorization {
  readonly deviceCode: string;
  /** Text of the Authority: escape it before it is shown. */
  readonly userCode: string;
  /** https, or http on loopback, as URL.href has it. */
  readonly verificationUri: string;
  /** The same page with the code in it; null if there is none, or if it is on another origin. */
  readonly completeUri: string | null;
  /** Epoch seconds. */
  readonly expiresAt: number;
  /** Seconds between two polls. */
  readonly interval: number;
}

/** What a person is asked to approve. */
export type DeviceRequest = Pick<OpTokRequest, 'client' | 'scope' | 'resources' | 'audience'>;

const STEP = 'login';
const MAX_CODE_CHARACTERS = 8192;
const MAX_USER_CODE_CHARACTERS = 64;
/** As much as a QR code holds, with room. */
const MAX_URI_CHARACTERS = 2000;
/** Nobody enters a code an hour later. */
const LONGEST_LIFE_S = 3600;
/** RFC 8628 §3.2, §3.5. */
const DEFAULT_INTERVAL_S = 5;
const SLOW_DOWN_S = 5;
/** An Authority that does not answer is asked ever more seldom, down to this. */
const LONGEST_BACKOFF_S = 60;

/** Throws ClientFault if the Authority has no such grant, refuses, or answers with something that must not be shown. */
export async function authorizeDevice(
  authority: Authority,
  { client, scope, resources, audience }: DeviceRequest,
  parts: ClientParts,
): Promise<DeviceAuthorization> {
  const url = authority.deviceAuthorizationEndpoint;
  if (url === null)
    throw new ClientFault(
      `${STEP}: ${shownUrl(authority.issuer)} offers no device authorization grant (its metadata name no usable ` +
        'device_authorization_endpoint); enable it there',
    );
  const form = new URLSearchParams(scope === '' ? {} : { scope });
  setTarget(form, { resources, audience });
  const askedAt = parts.clock();
  // RFC 9449 has proofs at the token endpoint alone.
  const request = { url, form, client, dpopKey: null };
  const { answer, secrets } = await sendToAuthority(STEP, request, authority, parts);
  if (answer.status !== 200) {
    const grant = 'allow this client the device authorization grant at the Authority';
    const advice = {
      invalid_client:
        'compare the client ID with the one at the Authority, and check that it is a public client there',
      unauthorized_client: grant,
      invalid_grant: grant,
      unsupported_grant_type: grant,
      invalid_scope: `allow this client the scope "${scope}" at the Authority`,
      invalid_target: "check the resource or audience against the Authority's configuration",
    };
    throw refused(answer, { what: STEP, url, secrets, advice });
  }
  return parseDeviceAuthorization(parseObject(answer) ?? {}, authority.issuer, askedAt, (why) => {
    throw new ClientFault(`${STEP}: ${shownUrl(url)} ${why}`);
  });
}

function parseDeviceAuthorization(
  answer: Readonly<Record<string, unknown>>,
  issuer: string,
  askedAt: number,
  fail: (why: string) => never,
): DeviceAuthorization {
  const { device_code: deviceCode, user_code: userCode, expires_in: life, interval } = answer;
  if (!isText(deviceCode, MAX_CODE_CHARACTERS)) return fail('answered without a usable device_code');
  if (!isText(userCode, MAX_USER_CODE_CHARACTERS)) return fail('answered without a usable user_code');
  if (typeof life !== 'number' || !(life > 0)) return fail('answered without a usable expires_in');
  // verification_url is what Google and older drafts have.
  const { verification_uri: uri = answer.verification_url, verification_uri_complete: complete } = answer;
  const page = parsePage(uri);
  if (page === null) return fail('answered without a usable verification_uri');
  const whyNot = whyNotLedTo(page, new URL(issuer));
  if (whyNot !== null) return fail(`answered with a verification_uri that ${whyNot}`);
  const withCode = parsePage(complete);
  return {
    deviceCode,
    userCode,
    verificationUri: page.href,
    // A QR code hides where it leads, so it leads to the page that is shown, or nowhere.
    completeUri: isSecureUrl(withCode) && withCode?.origin === page.origin ? withCode.href : null,
    expiresAt: askedAt + Math.min(life, LONGEST_LIFE_S),
    interval: typeof interval === 'number' ? Math.max(interval, 1) : DEFAULT_INTERVAL_S,
  };
}

/** What a browser makes of it: escaped, and thereby longer. */
function parsePage(value: unknown): URL | null {
  const page = typeof value === 'string' ? URL.parse(value) : null;
  return page !== null && page.href.length <= MAX_URI_CHARACTERS ? page : null;
}

function isText(value: unknown, maxCharacters: number): value is string {
  return typeof value === 'string' && value.trim() !== '' && value.length <= maxCharacters;
}

/**
 * Polls until the person has decided or the code has expired. `onNoAnswer` is told of faults that may pass. Throws ClientFault unless
 * the person approved.
 */
export async function awaitApproval(
  authority: Authority,
  { deviceCode, expiresAt, ...device }: DeviceAuthorization,
  request: Omit<OpTokRequest, 'grant'>,
  parts: ClientParts,
  onNoAnswer: (fault: ClientFault) => void = () => {},
): Promise<NewOpTok> {
  const grant = { kind: 'device_code', deviceCode } as const;
  const expired = new ClientFault(
    `${STEP}: the code expired before it was approved; run registry-token login again`,
  );
  for (let interval = device.interval; ; ) {
    const left = expiresAt - parts.clock();
    if (left <= 0) throw expired;
    await parts.pause(Math.min(interval, left) * 1000);
    try {
      return await requestOpTok(authority, { ...request, grant }, parts);
    } catch (cause) {
      if (!(cause instanceof ClientFault)) throw cause;
      if (parts.http.stop?.aborted === true) throw cause;
      if (cause.error === 'authorization_pending') continue;
      if (cause.error === 'slow_down') interval += SLOW_DOWN_S;
      else if (cause.error === 'expired_token') throw expired;
      else if (cause.error === 'access_denied')
        throw new ClientFault(`${STEP}: the request was denied at the Authority`);
      else if (isPassing(cause)) {
        onNoAnswer(cause);
        interval = Math.min(interval * 2, Math.max(interval, LONGEST_BACKOFF_S));
      } else throw cause;
    }
  }
}

/** RFC 8628 §3.5: no answer in time; and the same from a proxy or from a server that has too much to do. */
function isPassing(fault: ClientFault): boolean {
  const { status } = fault;
  return fault instanceof NoAnswer || status === 429 || (status !== null && status >= 500);
}
