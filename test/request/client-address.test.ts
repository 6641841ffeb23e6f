/** X-Forwarded-For: which address the log shows. */
import { describe, expect, test } from 'bun:test';
import { BlockList } from 'node:net';
import { type Answer, ask, expectToken } from '../support/ask.ts';
import { createHarness } from '../support/service.ts';

const PROXY = '10.1.2.3';
const STRANGER = '192.0.2.7';

const trustedProxies = new BlockList();
trustedProxies.addSubnet('10.0.0.0', 8, 'ipv4');
trustedProxies.addSubnet('fd00::', 8, 'ipv6');
const harness = await createHarness({ forwarded: { trustedProxies, certificateHeader: 'Client-Cert' } });

describe("the client's address in the log is what trusted proxies tell, counted from the right", () => {
  test.each([
    ['of a stranger, whatever he writes', STRANGER, '203.0.113.9', STRANGER],
    ['of a stranger who names a proxy', STRANGER, PROXY, STRANGER],
    ['of a proxy that says nothing', PROXY, null, PROXY],
    ['that a proxy tells', PROXY, '203.0.113.9', '203.0.113.9'],
    ['that the client could not forge on the left', PROXY, '198.51.100.1, 203.0.113.9', '203.0.113.9'],
    ['before a chain of proxies', PROXY, '198.51.100.1, 203.0.113.9, 10.9.9.9, fd00::3', '203.0.113.9'],
    ['that is a proxy itself, where all are', PROXY, '10.7.7.7, 10.9.9.9', '10.7.7.7'],
    ['of IPv6', PROXY, '2001:db8::5', '2001:db8::5'],
    ['by a proxy of IPv4-mapped address', '::ffff:10.1.2.3', '203.0.113.9', '203.0.113.9'],
    ['without spaces', PROXY, '198.51.100.1,203.0.113.9,10.9.9.9', '203.0.113.9'],
    ['up to garbage', PROXY, '203.0.113.9, not an address, 10.9.9.9', '10.9.9.9'],
    ['up to an empty entry', PROXY, '203.0.113.9, , 10.9.9.9', '10.9.9.9'],
    ['up to one with a port', PROXY, '203.0.113.9:4711', PROXY],
    ['up to one in brackets', PROXY, '[2001:db8::5]', PROXY],
    ['up to unknown', PROXY, 'unknown', PROXY],
    ['up to a script', PROXY, '<script>alert(1)</script>', PROXY],
    ['up to octal digits', PROXY, '0313.0.113.9', PROXY],
    ['with an empty field', PROXY, '', PROXY],
    ['with commas alone', PROXY, ',,,', PROXY],
  ])('the address %s', async (_, address, header, expected) => {
    const headers: Record<string, string> = header === null ? {} : { 'X-Forwarded-For': header };
    const connection = { address, certificate: null };
    for (const answer of [
      await ask(harness, { headers, connection }),
      await ask(harness, { headers, connection, service: null }),
    ])
      expect(answer.decision.address).toBe(expected);
  });

  test('a hundred thousand entries cost next to nothing', async () => {
    const headers = { 'X-Forwarded-For': Array(100_000).fill('10.9.9.9').join(',') };
    const started = performance.now();
    const answer: Answer = await ask(harness, { headers, connection: { address: PROXY, certificate: null } });
    expectToken(answer);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
