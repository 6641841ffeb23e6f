/** What a refusal of a server becomes on the terminal. */
import { expect, test } from 'bun:test';
import { errorOf, type HttpAnswer, nonceAskedFor, refused } from '../../src/client/client-fault.ts';

function answer(status: number, body: unknown, headers: Record<string, string> = {}): HttpAnswer {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { status, text, headers: new Headers(headers) };
}

function messageOf(refusal: HttpAnswer, secrets: readonly string[] = []): string {
  const advice = { invalid_client: 'compare the secret', 404: 'compare the URL' };
  return refused(refusal, { what: 'OpTok', url: 'https://a.example.com/token?x=1', secrets, advice }).message;
}

test('a refusal names the step, the URL, the status, the error, its description and what to do', () => {
  const body = { error: 'invalid_client', error_description: 'client authentication failed' };
  expect(messageOf(answer(401, body))).toBe(
    'OpTok: https://a.example.com/token answered 401 invalid_client: "client authentication failed"; ' +
      'compare the secret',
  );
});

test('a problem document is quoted with its detail and its reason', () => {
  const body = {
    status: 403,
    detail: 'The plan allows pull.',
    error: 'insufficient_scope',
    reason: 'plan-denied',
  };
  expect(messageOf(answer(403, body))).toEndWith(
    'answered 403 insufficient_scope: "The plan allows pull." (plan-denied)',
  );
});

test('a refusal without a document is named by its status, and advised on by it', () => {
  expect(messageOf(answer(404, '<html>nothing</html>'))).toBe(
    'OpTok: https://a.example.com/token answered 404; compare the URL',
  );
});

test('the time that a server asks to wait is told', () => {
  expect(messageOf(answer(503, '', { 'Retry-After': '7' }))).toEndWith('answered 503; retry after 7 s');
  expect(messageOf(answer(503, '', { 'Retry-After': 'soon' }))).toEndWith('answered 503');
});

test('what a server says is cut, and nothing in it moves the cursor', () => {
  const body = { error: 'x\u001b[2J', error_description: `a\nb\u202e${'c'.repeat(5000)}` };
  const message = messageOf(answer(400, body));
  expect(message).toMatch(/^[\x20-\x7e]+$/);
  expect(message).toContain('x\\u001b[2J: "a\\u000ab\\u202eccc');
  expect(message.length).toBeLessThan(1000);
});

test('a secret that a server repeats is not shown', () => {
  const body = { error: 'invalid_token', error_description: 'the token abc.def.ghi is bad' };
  expect(messageOf(answer(401, body), ['abc.def.ghi'])).toContain('"the token [removed] is bad"');
});

test('the error of an answer without a document is that of its challenge', () => {
  const challenge = { 'WWW-Authenticate': 'DPoP algs="ES256", error="use_dpop_nonce"' };
  expect(errorOf(answer(401, '', challenge))).toBe('use_dpop_nonce');
  expect(errorOf(answer(401, { error: 'invalid_token' }, challenge))).toBe('invalid_token');
  expect(errorOf(answer(401, ''))).toBe(null);
});

test('a nonce is taken where the server asks for one, and only one that can be', () => {
  const body = { error: 'use_dpop_nonce' };
  expect(nonceAskedFor(answer(400, body, { 'DPoP-Nonce': 'n-1' }))).toBe('n-1');
  expect(nonceAskedFor(answer(401, body, { 'DPoP-Nonce': 'n-1' }))).toBe('n-1');
  expect(nonceAskedFor(answer(403, body, { 'DPoP-Nonce': 'n-1' }))).toBe(null);
  expect(nonceAskedFor(answer(401, { error: 'invalid_token' }, { 'DPoP-Nonce': 'n-1' }))).toBe(null);
  expect(nonceAskedFor(answer(401, body))).toBe(null);
  expect(nonceAskedFor(answer(401, body, { 'DPoP-Nonce': 'n-1, n-2' }))).toBe(null);
});
