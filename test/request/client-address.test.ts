/** X-Forwarded-For and Forwarded: which address the log shows. */
import { describe, expect, test } from 'bun:test';
import { clientAddress } from '../../src/request/forwarded-address.ts';
import { type Answer, ask, expectToken } from '../support/ask.ts';
import { forwarded } from '../support/forwarded-certificate.ts';
import { createHarness } from '../support/service.ts';

const PROXY = '10.1.2.3';
const STRANGER = '192.0.2.7';

const harness = await createHarness({ forwarded: forwarded('Client-Cert') });

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
    ['with its port', PROXY, '203.0.113.9:4711', '203.0.113.9'],
    ['of IPv6 in brackets', PROXY, '[2001:db8::5]', '2001:db8::5'],
    ['of IPv6 with its port', PROXY, '[2001:db8::5]:443', '2001:db8::5'],
    ['before proxies with ports', PROXY, '203.0.113.9:1, 10.9.9.9:2, [fd00::3]:3', '203.0.113.9'],
    ['up to brackets without an address', PROXY, '[203.0.113.9]', PROXY],
    ['up to a port without an address', PROXY, ':4711', PROXY],
    ['up to a port that is none', PROXY, '203.0.113.9:http', PROXY],
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

  test('the header Forwarded plays no part', async () => {
    const headers = { Forwarded: 'for=203.0.113.9', 'X-Forwarded-For': '198.51.100.1' };
    const answer = await ask(harness, { headers, connection: { address: PROXY, certificate: null } });
    expect(answer.decision.address).toBe('198.51.100.1');
    expect(answer.decision.unreadableAddress).toBeNull();
  });

  test.each([
    ['203.0.113.9, not an address, 10.9.9.9', 'not an address'],
    ['203.0.113.9, , 10.9.9.9', ''],
    ['unknown', 'unknown'],
    ['203.0.113.9', null],
    ['not an address, 203.0.113.9', null],
    ['', null],
  ])('what cannot be read as an address in "%s" is told: %s', async (header, told) => {
    const headers = { 'X-Forwarded-For': header };
    const byProxy = await ask(harness, { headers, connection: { address: PROXY, certificate: null } });
    expect(byProxy.decision.unreadableAddress).toBe(told);
    const byStranger = await ask(harness, { headers, connection: { address: STRANGER, certificate: null } });
    expect(byStranger.decision.unreadableAddress).toBeNull();
  });

  test('a hundred thousand entries cost next to nothing', async () => {
    const headers = { 'X-Forwarded-For': Array(100_000).fill('10.9.9.9').join(',') };
    const started = performance.now();
    const answer: Answer = await ask(harness, { headers, connection: { address: PROXY, certificate: null } });
    expectToken(answer);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe('with forwardedHeader: Forwarded the address is that of RFC 7239', () => {
  const options = { ...forwarded('Client-Cert'), addressHeader: 'Forwarded' as const };

  test.each([
    ['for=192.0.2.60;proto=http;by=203.0.113.43', '192.0.2.60', null],
    ['For="[2001:db8:cafe::17]:4711"', '2001:db8:cafe::17', null],
    ['for="[2001:db8::7]"', '2001:db8::7', null],
    ['for="192.0.2.43:47011"', '192.0.2.43', null],
    ['for="192.0.2.43:_port"', '192.0.2.43', null],
    ['for=192.0.2.43, for=198.51.100.17', '198.51.100.17', null],
    ['for=192.0.2.43,for=10.9.9.9;proto=https', '192.0.2.43', null],
    ['for=192.0.2.43, for="[fd00::3]:443"', '192.0.2.43', null],
    ['proto=https;for=192.0.2.43', '192.0.2.43', null],
    ['host="a,b;c=\\"d\\"";for=192.0.2.43', '192.0.2.43', null],
    ['for=192.0.2.43 ; proto=https', '192.0.2.43', null],
    ['for=192.0.2.43;host="a, for=198.51.100.1"', '192.0.2.43', null],
    // What a client left open takes nothing from the entry that the proxy adds.
    ['for="192.0.2.43, for=198.51.100.17', '198.51.100.17', null],
    ['for="x, for="[2001:db8::7]:443"', '2001:db8::7', null],
    ['}{=;;, for=198.51.100.17', '198.51.100.17', null],
    ['for=192.0.2.43, for=_hidden, for=10.9.9.9', '10.9.9.9', 'for=_hidden'],
    ['for=_SEVKISEK', PROXY, 'for=_SEVKISEK'],
    ['for=unknown', PROXY, 'for=unknown'],
    ['proto=https;by=203.0.113.43', PROXY, 'proto=https;by=203.0.113.43'],
    ['for=192.0.2.43;for=198.51.100.1', PROXY, 'for=192.0.2.43;for=198.51.100.1'],
    ['for=2001:db8::7', '2001:db8::7', null],
    ['for=[2001:db8::7', PROXY, 'for=[2001:db8::7'],
    ['for="192.0.2.43', PROXY, 'for="192.0.2.43'],
    ['192.0.2.43', PROXY, '192.0.2.43'],
    ['for', PROXY, 'for'],
    ['for=', PROXY, 'for='],
    ['', PROXY, null],
  ])('%s', (header, address, unreadable) => {
    const headers = new Headers({ Forwarded: header, 'X-Forwarded-For': '203.0.113.99' });
    expect(clientAddress(headers, PROXY, options)).toEqual({ address, unreadable });
    expect(clientAddress(headers, STRANGER, options)).toEqual({ address: STRANGER, unreadable: null });
  });

  test('X-Forwarded-For plays no part', () => {
    const headers = new Headers({ 'X-Forwarded-For': '203.0.113.99' });
    expect(clientAddress(headers, PROXY, options)).toEqual({ address: PROXY, unreadable: null });
  });
});
