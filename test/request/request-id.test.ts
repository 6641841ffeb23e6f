/** X-Request-ID: one name for a request in the answer, in the log, and in the log of a proxy that is trusted. */
import { describe, expect, test } from 'bun:test';
import type { ClientConnection } from '../../src/request/client-connection.ts';
import { ask, expectToken } from '../support/ask.ts';
import { forwarded } from '../support/forwarded-certificate.ts';
import { createHarness, noCertificate } from '../support/service.ts';

const PROXY: ClientConnection = { address: '10.1.2.3', certificate: null };
const MADE = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const harness = await createHarness({ forwarded: forwarded('Client-Cert') });

async function idOf(path: string, given: string | null, connection = PROXY, method = 'GET') {
  const headers: Record<string, string> = given === null ? {} : { 'X-Request-ID': given };
  const url = `https://registry.example.com${path}`;
  return (await harness.handle(new Request(url, { headers, method }), connection)).headers.get(
    'x-request-id',
  );
}

describe('the answer names the request', () => {
  test.each([
    ['of a token', '/token?service=registry.example.com', 'GET'],
    ['to a form', '/token', 'POST'],
    ['to a wrong method', '/token', 'PUT'],
    ['to a path that is none', '/nowhere', 'GET'],
    ['of health', '/healthz', 'GET'],
  ])('%s', async (_, path, method) => {
    expect(await idOf(path, null, PROXY, method)).toMatch(MADE);
    expect(await idOf(path, 'abc-1', PROXY, method)).toBe('abc-1');
  });

  test('each by another name', async () => {
    const names = await Promise.all(Array.from({ length: 1000 }, () => idOf('/nowhere', null)));
    expect(new Set(names).size).toBe(1000);
  });
});

describe('the decision has the name that the answer has', () => {
  test.each([
    ['issued', {}],
    ['refused', { service: null }],
  ])('%s', async (_, asked) => {
    const answer = await ask(harness, {
      ...asked,
      headers: { 'X-Request-ID': 'trace.7' },
      connection: PROXY,
    });
    expect(answer.decision.requestId).toBe('trace.7');
    expect(answer.headers.get('x-request-id')).toBe('trace.7');
    const made = await ask(harness, asked);
    expect(made.decision.requestId).toMatch(MADE);
    expect(made.headers.get('x-request-id')).toBe(made.decision.requestId);
  });
});

describe('a given name counts from a trusted proxy alone, and only as one word', () => {
  test.each(['a', 'x'.repeat(128), '4bf92f3577b34da6a3ce929d0e0e4736', 'A-Z_a.z~0'])('%s', async (given) => {
    expect(await idOf('/nowhere', given)).toBe(given);
    expect(await idOf('/nowhere', given, noCertificate)).toMatch(MADE);
  });

  test.each(['', 'x'.repeat(129), 'a b', 'a, b', 'a"b', '<script>', 'é', 'a\tb', '%00', '{"a":1}'])(
    'not %j',
    async (given) => {
      expect(await idOf('/nowhere', given)).toMatch(MADE);
    },
  );

  test('not two of them', async () => {
    const headers = new Headers([
      ['X-Request-ID', 'a'],
      ['X-Request-ID', 'b'],
    ]);
    const request = new Request('https://registry.example.com/nowhere', { headers });
    expect((await harness.handle(request, PROXY)).headers.get('x-request-id')).toMatch(MADE);
  });
});

test('a request with a name gets its token like any other', async () => {
  expectToken(await ask(harness, { headers: { 'X-Request-ID': 'abc' } }));
});
