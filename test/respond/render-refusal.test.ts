/** CONTRACT §2.4: the challenges of a 401, and what a refusal tells whom. */
import { describe, expect, test } from 'bun:test';
import { Refusal, reasons } from '../../src/refusal.ts';
import type { Scheme } from '../../src/request/credentials.ts';
import { renderRefusal } from '../../src/respond/render-refusal.ts';
import { ask, expectRefusal, parseChallenges } from '../support/ask.ts';
import { createHarness, SIGNING_ISSUER } from '../support/service.ts';

const options = { realm: 'the "realm" \\ ü', dpopAlgorithms: ['ES256', 'EdDSA'] };
const render = (refusal: Refusal, scheme: Scheme | null = null) =>
  renderRefusal(refusal, scheme, options, null);

/** Which of the challenges tell a fault. */
function faults(headers: Headers): Record<string, string> {
  const told = parseChallenges(headers).flatMap(({ scheme, parameters: { error } }) =>
    error === undefined ? [] : [[scheme, error] as const],
  );
  return Object.fromEntries(told);
}

describe('the challenges of a 401', () => {
  // Bun's Headers hands repeated WWW-Authenticate fields out joined by a comma: they are told apart by scheme.
  test('are DPoP, Bearer and Basic, quoted', async () => {
    const { headers } = render(new Refusal('credentials-missing', 'x'));
    expect(parseChallenges(headers)).toEqual([
      { scheme: 'DPoP', parameters: { algs: 'ES256 EdDSA' } },
      { scheme: 'Bearer', parameters: { realm: 'the "realm" \\ ?' } },
      { scheme: 'Basic', parameters: { realm: 'the "realm" \\ ?' } },
    ]);
    expect(headers.get('www-authenticate')).toMatch(/^[\x20-\x7e]+$/);
  });

  test('have no DPoP where it is not accepted', () => {
    const refusal = new Refusal('credentials-missing', 'x');
    const { headers } = renderRefusal(refusal, null, { realm: 'r', dpopAlgorithms: [] }, null);
    expect(parseChallenges(headers).map(({ scheme }) => scheme)).toEqual(['Bearer', 'Basic']);
  });

  test('come with every 401, on GET and POST, and with nothing else', async () => {
    for (const reason of reasons) {
      const refusal = new Refusal(reason, 'x');
      const schemes = parseChallenges(render(refusal).headers).map(({ scheme }) => scheme);
      expect(schemes).toEqual(refusal.status === 401 ? ['DPoP', 'Bearer', 'Basic'] : []);
    }
    const harness = await createHarness();
    for (const method of ['GET', 'POST'] as const) {
      const answer = await ask(harness, { method, scheme: 'none', proof: null });
      expectRefusal(answer, 'credentials-missing');
      expect(parseChallenges(answer.headers).map(({ parameters }) => parameters.realm ?? '')).toEqual([
        '',
        SIGNING_ISSUER,
        SIGNING_ISSUER,
      ]);
    }
  });

  test.each<[Scheme | null, Record<string, string>]>([
    ['DPoP', { DPoP: 'invalid_token' }],
    ['Bearer', { Bearer: 'invalid_token' }],
    ['Basic', { Basic: 'invalid_token' }],
    ['form', { Bearer: 'invalid_token' }],
    [null, { Bearer: 'invalid_token' }],
  ])('tell the fault of an OpTok under the scheme that brought it: %s', (scheme, expected) => {
    expect(faults(render(new Refusal('token-signature', 'x'), scheme).headers)).toEqual(expected);
  });

  test.each<Scheme>(['DPoP', 'Bearer', 'Basic', 'form'])(
    'tell the fault of a proof under DPoP: %s',
    (scheme) => {
      const { headers } = render(new Refusal('proof-replayed', 'x'), scheme);
      expect(faults(headers)).toEqual({ DPoP: 'invalid_dpop_proof' });
    },
  );

  test('tell no fault where there were no credentials', () => {
    expect(faults(render(new Refusal('credentials-missing', 'x')).headers)).toEqual({});
  });

  test('come with one nonce where one is required', () => {
    const nonced = renderRefusal(new Refusal('proof-nonce', 'x'), 'DPoP', options, 'a-nonce');
    expect(nonced.headers.get('dpop-nonce')).toBe('a-nonce');
    expect(faults(nonced.headers)).toEqual({ DPoP: 'use_dpop_nonce' });
  });
});

describe('what a refusal tells', () => {
  test('on a 401 and a 500 is the class of the fault: neither reason nor detail', async () => {
    for (const reason of reasons) {
      const refusal = new Refusal(reason, 'the exact fault');
      if (refusal.status !== 401 && refusal.status !== 500) continue;
      const text = await render(refusal, 'Bearer').text();
      expect(text).not.toContain('the exact fault');
      expect(JSON.parse(text).reason).toBeUndefined();
      expect(render(refusal, 'Bearer').headers.get('www-authenticate') ?? '').not.toContain(
        'the exact fault',
      );
    }
  });

  test('on a 400 and a 403 is exact: reason and detail', async () => {
    for (const reason of reasons) {
      const refusal = new Refusal(reason, 'the exact fault');
      if (refusal.status !== 400 && refusal.status !== 403) continue;
      const body = JSON.parse(await render(refusal).text());
      expect(body).toMatchObject({ reason, detail: 'the exact fault', error_description: 'the exact fault' });
      expect(body.errors).toEqual([
        { code: String(refusal.error).toUpperCase(), message: 'the exact fault' },
      ]);
    }
  });

  test('has a title, and the same text for docker and containerd', async () => {
    for (const reason of reasons) {
      const body = JSON.parse(await render(new Refusal(reason, 'x')).text());
      expect(body.title).not.toBe('Refused');
      expect(body.errors[0].message).toBe(body.detail);
      expect(body.error_description).toBe(body.detail);
    }
  });

  test.each([
    [0.2, '1'],
    [1, '1'],
    [4.1, '5'],
    [30, '30'],
  ])('Retry-After is whole seconds, one at least: %d', (retryAfter, expected) => {
    const { headers } = render(new Refusal('replay-full', 'x', { retryAfter }));
    expect(headers.get('retry-after')).toBe(expected);
  });

  test('a 503 is not described as the fault of a client', async () => {
    const body = JSON.parse(
      await render(new Refusal('replay-unavailable', 'The replay store does not answer.')).text(),
    );
    expect(body.error).toBe('temporarily_unavailable');
    expect(body.reason).toBeUndefined();
  });
});
