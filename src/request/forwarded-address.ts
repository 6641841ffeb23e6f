/** The address of the client behind trusted proxies, from `X-Forwarded-For` or `Forwarded` (RFC 7239). */
import { isIPv4, isIPv6 } from 'node:net';
import { type ForwardedOptions, isTrusted } from './forwarded.ts';

export interface ClientAddress {
  /** An IP address without port: the client's, as far as trusted proxies tell it. */
  readonly address: string;
  /** The entry of a trusted proxy that could not be read, as it was sent; null where there is none. */
  readonly unreadable: string | null;
}

/**
 * The peer's address, or where that is a trusted proxy, the last one in its header that is none. Counted from the
 * right, because everything left of an entry was written by whoever sent it. Where a trusted proxy's entry cannot be
 * read, the proxy's own address is the last that is known.
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
 * Where the last entry of a list begins, less one; -1 where it is the only one. Quotes are paired from the right: one
 * that a client left open further left takes nothing from what the proxies added.
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

/** The `for` parameter of one element of `Forwarded` (RFC 7239 §4); null where there is not exactly one. */
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

/** An address with or without port (RFC 7239 §6); null for an obfuscated name, `unknown`, and anything else. */
function parseNode(node: string): string | null {
  if (isIPv4(node) || isIPv6(node)) return node;
  const [, bracketed, plain = ''] = /^(?:\[([^\]]+)\]|([\d.]+))(?::(?:\d{1,5}|_[\w.-]+))?$/.exec(node) ?? [];
  if (bracketed !== undefined) return isIPv6(bracketed) ? bracketed : null;
  return isIPv4(plain) ? plain : null;
}
