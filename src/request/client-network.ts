/** The part of an IP address that identifies one client, for rate limits. */
import { isIPv4, isIPv6 } from 'node:net';

/**
 * Returns an IPv4 address (also an IPv4-mapped one) unchanged. Returns the /64 network of an IPv6 address, because a
 * subscriber has at least a whole /64. Returns any other text unchanged.
 */
export function clientNetwork(address: string): string {
  const plain = address.replace(/%.*$/, '');
  const mapped = /^::ffff:([\d.]+)$/i.exec(plain)?.[1] ?? '';
  if (isIPv4(mapped)) return mapped;
  if (!isIPv6(plain)) return address;
  const [left = '', right] = plain.split('::');
  const before = groupsOf(left);
  const after = groupsOf(right ?? '');
  // An IPv4 address at the end counts as two groups. They are never among the first four.
  const length = before.length + after.length + (plain.includes('.') ? 1 : 0);
  const zeros = right === undefined ? [] : Array<string>(8 - length).fill('0');
  const network = [...before, ...zeros, ...after].slice(0, 4);
  return `${network.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}

function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':');
}
