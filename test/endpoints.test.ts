/** Which path and method answers what. */
import { describe, expect, test } from 'bun:test';
import { ask, expectToken } from './support/ask.ts';
import { createHarness, noCertificate } from './support/service.ts';

const harness = await createHarness();
const ORIGIN = 'https://registry.example.com';

const fetchFrom = (path: string, init: RequestInit = {}) =>
  harness.handle(new Request(`${ORIGIN}${path}`, init), noCertificate);

async function expectProblem(response: Response, status: number): Promise<Record<string, unknown>> {
  expect([response.status, response.headers.get('content-type')]).toEqual([status, 'application/json']);
  const body = JSON.parse(await response.text());
  expect(body).toMatchObject({ status });
  expect([typeof body.type, typeof body.title, typeof body.detail, body.errors.length]).toEqual([
    'string',
    'string',
    'string',
    1,
  ]);
  return body;
}

describe('the token endpoint', () => {
  test.each(['/token', '/auth/token'])('answers at %s', async (path) => {
    expectToken(await ask(harness, { url: `${ORIGIN}${path}` }));
    expectToken(await ask(harness, { url: `${ORIGIN}${path}`, method: 'POST' }));
  });

  test.each(['PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS'])('refuses %s with Allow', async (method) => {
    const response = await fetchFrom('/token', { method });
    const body = await expectProblem(response, 405);
    expect([response.headers.get('allow'), body.error]).toEqual(['GET, POST', 'invalid_request']);
  });

  test('records no decision for another method', async () => {
    const before = harness.decisions.length;
    await fetchFrom('/token', { method: 'PUT' });
    expect(harness.decisions).toHaveLength(before);
  });
});

describe('the other endpoints', () => {
  test('healthz is 200 while the process can answer', async () => {
    const failing = await createHarness({ failingParts: [{ part: 'authority-keys', detail: 'none.' }] });
    const response = await failing.handle(new Request(`${ORIGIN}/healthz`), noCertificate);
    expect(response.status).toBe(200);
  });

  test('readyz is 200 when it can issue, else 503 with the failing part named', async () => {
    expect((await fetchFrom('/readyz')).status).toBe(200);
    const failing = await createHarness({
      failingParts: [
        { part: 'authority-keys', detail: 'not fetched yet.' },
        { part: 'replay-store', detail: 'no connection.' },
      ],
    });
    const response = await failing.handle(new Request(`${ORIGIN}/readyz`), noCertificate);
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/);
    const body = await expectProblem(response, 503);
    expect(String(body.detail)).toContain('authority-keys: not fetched yet.');
    expect(String(body.detail)).toContain('replay-store: no connection.');
  });

  test('metrics is the exposition, of the type that it says it is', async () => {
    const response = await fetchFrom('/metrics');
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await response.text()).toContain('registry_token_replay_entries');
  });

  test('jwks.json holds the public signing key and nothing private', async () => {
    const response = await fetchFrom('/.well-known/jwks.json');
    expect(response.headers.get('content-type')).toContain('json');
    const { keys } = JSON.parse(await response.text());
    expect(keys.map((key: { kid: string }) => key.kid)).toEqual([harness.signingKey.keyId]);
    expect(Object.keys(keys[0]).filter((member) => ['d', 'p', 'q', 'k'].includes(member))).toEqual([]);
  });

  test.each(['/healthz', '/readyz', '/metrics', '/.well-known/jwks.json'])(
    '%s takes GET and HEAD alone',
    async (path) => {
      expect((await fetchFrom(path, { method: 'HEAD' })).status).toBe(200);
      const response = await fetchFrom(path, { method: 'POST' });
      await expectProblem(response, 405);
      expect(response.headers.get('allow')).toBe('GET, HEAD');
    },
  );
});

describe('anything else', () => {
  test.each([
    '/',
    '/tokens',
    '/token/',
    '/Token',
    '/v2/',
    '/auth',
    '/token/x',
    '/.well-known/',
    '/healthz/',
    '/%74oken',
    '/__proto__',
  ])('is 404: %s', async (path) => {
    await expectProblem(await fetchFrom(path), 404);
  });

  test('is 404 whatever the method', async () => {
    await expectProblem(await fetchFrom('/x', { method: 'POST' }), 404);
  });

  test('a long or strange path does not come back', async () => {
    const long = await expectProblem(await fetchFrom(`/${'x'.repeat(5000)}`), 404);
    expect(String(long.detail).length).toBeLessThan(300);
  });

  test('the query and the host play no part in the path', async () => {
    expect((await fetchFrom('/healthz?/token')).status).toBe(200);
    const response = await harness.handle(new Request('http://evil.example:1/healthz'), noCertificate);
    expect(response.status).toBe(200);
  });
});
