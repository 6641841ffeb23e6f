/** Normalises http and https URLs (RFC 3986 §6.2), to compare `htu` (RFC 9449 §4.3, step 9). */

const FORM = /^(https?):\/\/([^/?#]*)([^?#]*)(?:\?[^#]*)?(?:#.*)?$/i;
const AUTHORITY = /^(\[[0-9a-f:.]+\]|[a-z0-9._~-]+)(?::([0-9]*))?$/;
const PATH = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*$/;
const MAX_LENGTH = 2048;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443' };

/**
 * Normalises scheme, host, port, percent-encoding and dot segments, and drops query and fragment. Returns null
 * for other schemes, for user information, and for text that is not a URL. Keeps the case of the path.
 *
 * The WHATWG parser does not do this: it repairs backslashes, tabs and spaces, and does not decode percent-encoded
 * unreserved characters.
 */
export function normalizeUrl(text: string): string | null {
  if (text.length > MAX_LENGTH) return null;
  const [, rawScheme, rawAuthority, rawPath] = FORM.exec(text) ?? [];
  if (rawScheme === undefined || rawAuthority === undefined || rawPath === undefined) return null;
  const scheme = rawScheme.toLowerCase();
  const [, host, port] = AUTHORITY.exec(rawAuthority.toLowerCase()) ?? [];
  if (host === undefined || !PATH.test(rawPath)) return null;
  const number = port?.replace(/^0+(?=\d)/, '');
  const explicitPort = number && number !== DEFAULT_PORTS[scheme] ? `:${number}` : '';
  return `${scheme}://${host}${explicitPort}${removeDotSegments(normalizePercent(rawPath))}`;
}

/** RFC 3986 §6.2.2.1 and §6.2.2.2: upper-case hex digits, unreserved characters decoded. */
function normalizePercent(path: string): string {
  return path.replace(/%[0-9A-Fa-f]{2}/g, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16));
    return /[A-Za-z0-9._~-]/.test(character) ? character : encoded.toUpperCase();
  });
}

/** RFC 3986 §5.2.4 for a path that is empty or starts with a slash. */
function removeDotSegments(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/').slice(1);
  for (const [index, segment] of segments.entries()) {
    const last = index === segments.length - 1;
    if (segment === '..') kept.pop();
    if (segment !== '.' && segment !== '..') kept.push(segment);
    else if (last) kept.push('');
  }
  return `/${kept.join('/')}`;
}
