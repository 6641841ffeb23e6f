/** The address of the client behind trusted proxies: `X-Forwarded-For` or `Forwarded` (RFC 7239). */
import { isIPv4, isIPv6 } from 'node:net';
import { type ForwardedOptions, isTrusted } from './forwarded.ts';

export interface ClientAddress {
  /** An IP address without port: the client's, or that of the last proxy that could be told. */
  readonly address: string;
  /** The entry from a trusted proxy that is not an address, as received; null if there is none. */
  readonly unreadable: string | null;
}

/**
 * Returns the peer's address or, if the peer is a trusted proxy, the last address in the header that is not a trusted
 * proxy. Reads from the right: a proxy appends the address that it saw, and everything to the left came from there. If an
 * entry is not an address, returns the address of the proxy that added it, and the entry.
 */
export function clientAddress(
  headers: Headers,
  peerAddress: string,
  { trustedProxies, addressHeader }: ForwardedOptions,
): ClientAddress {
  let address = peerAddress;
  if (!isTrusted(address, trustedProxies)) return { address, unreadable: null };
  let rest = headers.get(addressHeader);
  while (rest !== null && rest.trim() !== '' && isTrusted(address, trustedProxies)) {
    const comma = lastComma(rest);
    const entry = rest.slice(comma + 1).trim();
    const node = addressHeader === 'Forwarded' ? forOf(entry) : entry;
    const next = node === null ? null : parseNode(node);
    if (next === null) return { address, unreadable: entry };
    address = next;
    rest = comma === -1 ? null : rest.slice(0, comma);
  }
  return { address, unreadable: null };
}

/**
 * The position of the comma before the last entry; -1 if there is only one entry. Quotes are paired from the right, so
 * that a quote which a client left open does not swallow the entries that proxies appended.
 */
function lastComma(list: string): number {
  let isQuoted = false;
  for (let at = list.length - 1; at >= 0; at -= 1) {
    const sign = list[at];
    if (sign === '"' && list[at - 1] !== '\\') isQuoted = !isQuoted;
    else if (sign === ',' && !isQuoted) return at;
  }
  return -1;
}

/** The `for` parameter of one element of `Forwarded` (RFC 7239 §4); null unless there is exactly one. */
function forOf(element: string): string | null {
  const parameter = /\s*([\w!#$%&'*+.^`|~-]+)=("(?:[^"\\]|\\.)*"|[^\s";,]*)\s*(?:;|$)/y;
  let found: string | null = null;
  while (parameter.lastIndex < element.length) {
    const [, name, value] = parameter.exec(element) ?? [];
    if (name === undefined || value === undefined) return null;
    if (name.toLowerCase() !== 'for') continue;
    if (found !== null) return null;
    found = value.replace(/^"(.*)"$/, '$1').replace(/\\(.)/g, '$1');
  }
  return found;
}

/** The address of a node, without its port (RFC 7239 §6); null for `unknown`, obfuscated names and anything else. */
function parseNode(node: string): string | null {
  if (isIPv4(node) || isIPv6(node)) return node;
  const [, bracketed, plain = ''] = /^(?:\[([^\]]+)\]|([\d.]+))(?::(?:\d{1,5}|_[\w.-]+))?$/.exec(node) ?? [];
  if (bracketed !== undefined) return isIPv6(bracketed) ? bracketed : null;
  return isIPv4(plain) ? plain : null;
}
