/** The answer to a request that was granted. */
import { describe, expect, test } from 'bun:test';
import { renderToken } from '../../src/respond/render-token.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import { createHarness, createPlan } from '../support/service.ts';

const harness = await createHarness();
const scopes = ['repository:public/b:pull', 'repository:public/a:pull'];

describe('a success', () => {
  test('is JSON that nobody may store', async () => {
    const { status, headers } = await ask(harness);
    expect([status, headers.get('content-type'), headers.get('cache-control')]).toEqual([
      200,
      'application/json',
      'no-store',
    ]);
    expect(headers.get('www-authenticate')).toBeNull();
  });

  test('has exactly these members on GET', async () => {
    const { body } = await ask(harness, { scopes });
    expect(body).toEqual({
      token: String(body.token),
      access_token: String(body.token),
      expires_in: 300,
      issued_at: '2027-01-15T08:00:00Z',
    });
  });

  test('has scope besides on POST, sorted, and empty where nothing was asked', async () => {
    const { body } = await ask(harness, { method: 'POST', scopes });
    expect(Object.keys(body).sort()).toEqual(['access_token', 'expires_in', 'issued_at', 'scope', 'token']);
    expect(body.scope).toBe('repository:public/a:pull repository:public/b:pull');
    expect((await ask(harness, { method: 'POST' })).body.scope).toBe('');
  });

  test('never has a refresh token', async () => {
    const { body } = await ask(harness, { method: 'POST', url: 'https://x/token?offline_token=true' });
    expect(body.refresh_token).toBeUndefined();
  });
});

describe('the size of the answer', () => {
  const access = (names: number) =>
    Array.from({ length: names }, (_, index) => `repository:${`n${index}`.padEnd(255, 'x')}:pull`);
  const plan = createPlan('community', [['**', ['*']]]);

  test('is below 64 KiB for 64 resources of the longest name', async () => {
    const all = await createHarness({ policy: { plans: new Map([['community', plan]]) } });
    const answer = await ask(all, { method: 'GET', scopes: access(64) });
    expectToken(answer);
    expect(answer.text.length).toBeLessThan(64 * 1024);
  });

  test('is refused beyond, and nothing counts as issued', async () => {
    const all = await createHarness({ policy: { plans: new Map([['community', plan]]) } });
    const long = access(64).map((scope) => `${scope},${'y'.repeat(200)}`);
    expectRefusal(await ask(all, { method: 'POST', scopes: long }), 'malformed-scope');
  });

  test('is counted in bytes of the whole body', () => {
    const issued = { jti: 'x', access: [], issuedAt: 0, lifetime: 300 };
    const empty = JSON.stringify({
      token: '',
      access_token: '',
      expires_in: 300,
      issued_at: '1970-01-01T00:00:00Z',
    });
    const room = Math.floor((64 * 1024 - 1 - empty.length) / 2);
    expect(renderToken({ ...issued, token: 'x'.repeat(room) }, 'GET').status).toBe(200);
    expect(() => renderToken({ ...issued, token: 'x'.repeat(room + 1) }, 'GET')).toThrow('malformed-scope');
  });
});
