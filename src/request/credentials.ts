/** The OpTok and how the client brought it: exactly one way per request. */
import { Refusal } from '../refusal.ts';
import { singleParameter } from './parameters.ts';

export type Scheme = 'DPoP' | 'Bearer' | 'Basic' | 'form';

/** The OpTok as received, unverified; empty where the credentials held none. */
export interface Credentials {
  readonly scheme: Scheme;
  readonly opTok: string;
}

/** The form field that holds the OpTok, by grant type, as containerd, BuildKit, helm and docker send it. */
const formFields = new Map([
  ['password', 'password'],
  ['refresh_token', 'refresh_token'],
]);

/**
 * Finds the request's credentials; null if there are none. Throws `credentials-ambiguous` if there are two. Unreadable
 * credentials are returned with an empty OpTok, so that the answer is 401 and not 400: after a 401 docker and containerd
 * ask for other credentials.
 */
export function parseCredentials(headers: Headers, form: URLSearchParams | null): Credentials | null {
  const header = headers.get('authorization');
  const fromHeader = header === null ? null : parseAuthorization(header);
  const fromForm = form === null ? null : parseForm(form);
  if (header !== null && fromForm !== null)
    throw new Refusal(
      'credentials-ambiguous',
      'The request has credentials in the Authorization header and in the form.',
    );
  return fromHeader ?? fromForm;
}

function parseAuthorization(header: string): Credentials | null {
  // Bun joins a repeated header with a comma, which no credential of these schemes can contain.
  if (header.includes(','))
    throw new Refusal('credentials-ambiguous', 'The request has two Authorization headers.');
  const [scheme = '', ...rest] = header.trim().split(/ +/);
  const value = rest.join(' ');
  switch (scheme.toLowerCase()) {
    case 'dpop':
      return { scheme: 'DPoP', opTok: value };
    case 'bearer':
      return { scheme: 'Bearer', opTok: value };
    case 'basic':
      return { scheme: 'Basic', opTok: passwordOf(value) };
    default:
      return null;
  }
}

/** RFC 7617 §2: the password is everything after the first colon. */
function passwordOf(encoded: string): string {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return '';
  const decoded = Buffer.from(encoded, 'base64').toString('latin1');
  const colon = decoded.indexOf(':');
  return colon === -1 ? '' : decoded.slice(colon + 1);
}

function parseForm(form: URLSearchParams): Credentials | null {
  const grantType = singleParameter(form, 'grant_type');
  const field = grantType === undefined ? undefined : formFields.get(grantType);
  const others = [...formFields.values()].filter((other) => other !== field);
  if (others.some((other) => singleParameter(form, other) !== undefined))
    throw new Refusal(
      'credentials-ambiguous',
      'The form holds a credential that its grant_type does not use. Use grant_type=password with password, or ' +
        'grant_type=refresh_token with refresh_token.',
    );
  return field === undefined ? null : { scheme: 'form', opTok: singleParameter(form, field) ?? '' };
}

/** The `DPoP` header as received; null if there is none. */
export function parseProofHeader(headers: Headers): string | null {
  return headers.get('dpop');
}
