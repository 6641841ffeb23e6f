/** What of an address one client is known by. */
import { isIPv4, isIPv6 } from 'node:net';

/**
 * An IPv4 address as it is, also one in the clothes of IPv6; of an IPv6 address the /64 network, of which every
 * subscriber has one whole. What is no address stays as it is.
 */
export function clientNetwork(address: string): string {
  const plain = address.replace(/%.*$/, '');
  const mapped = /^::ffff:([\d.]+)$/i.exec(plain)?.[1] ?? '';
  if (isIPv4(mapped)) return mapped;
  if (!isIPv6(plain)) return address;
  const [left = '', right] = plain.split('::');
  const before = groupsOf(left);
  const after = groupsOf(right ?? '');
  // An IPv4 address at the end stands for two groups, and is never among the first four.
  const length = before.length + after.length + (plain.includes('.') ? 1 : 0);
  const zeros = right === undefined ? [] : Array<string>(8 - length).fill('0');
  const network = [...before, ...zeros, ...after].slice(0, 4);
  return `${network.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}

function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':');
}
