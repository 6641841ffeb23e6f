/** The challenges of a 401, what a refusal tells whom, its media type and its size. */
import { describe, expect, test } from 'bun:test';
import { type Reason, Refusal, reasons } from '../../src/refusal.ts';
import type { Scheme } from '../../src/request/credentials.ts';
import { renderRefusal } from '../../src/respond/render-refusal.ts';
import { createLog, logDecision } from '../../src/telemetry/log.ts';
import { type Answer, ask, expectRefusal, expectToken, parseChallenges } from '../support/ask.ts';
import { createHarness, createPlan, noCertificate, SIGNING_ISSUER } from '../support/service.ts';

const options = { realm: 'the "realm" \\ ü', dpopAlgorithms: ['ES256', 'EdDSA'] };
const render = (refusal: Refusal, scheme: Scheme | null = null, accept: string | null = null) =>
  renderRefusal(refusal, { scheme, accept }, options);

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
    const { headers } = renderRefusal(
      refusal,
      { scheme: null, accept: null },
      { realm: 'r', dpopAlgorithms: [] },
    );
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
    const nonced = renderRefusal(
      new Refusal('proof-nonce', 'x', { dpopNonce: 'a-nonce' }),
      { scheme: 'DPoP', accept: null },
      options,
    );
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
      expect(body.errors).toEqual([{ code: 'DENIED', message: 'the exact fault' }]);
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

describe('the code of a refusal is one that docker knows, so that it does not retry', () => {
  const codes: Readonly<Record<number, string>> = {
    400: 'DENIED',
    401: 'UNAUTHORIZED',
    403: 'DENIED',
    413: 'UNSUPPORTED',
    415: 'UNSUPPORTED',
    429: 'TOOMANYREQUESTS',
    500: 'UNKNOWN',
    503: 'UNAVAILABLE',
  };
  const all = [
    ...reasons.map((reason) => new Refusal(reason, 'x')),
    new Refusal('malformed-request', 'x', { httpFault: 'body-too-large' }),
    new Refusal('malformed-request', 'x', { httpFault: 'media-type' }),
  ];

  test.each(all.map((refusal) => [`${refusal.status} ${refusal.reason}`, refusal] as const))(
    '%s',
    async (_, refusal) => {
      const body = JSON.parse(await render(refusal).text());
      expect(body.errors[0].code).toBe(codes[refusal.status]);
    },
  );
});

describe('the media type of a refusal is application/json, unless Accept names the other', () => {
  const PROBLEM = 'application/problem+json';
  const JSON_TYPE = 'application/json';

  test.each([
    [null, JSON_TYPE],
    ['', JSON_TYPE],
    ['*/*', JSON_TYPE],
    ['application/*', JSON_TYPE],
    ['application/json', JSON_TYPE],
    ['text/html', JSON_TYPE],
    [PROBLEM, PROBLEM],
    ['Application/Problem+JSON', PROBLEM],
    [`${PROBLEM}, */*`, PROBLEM],
    [`${PROBLEM}, application/json`, PROBLEM],
    [`application/json, ${PROBLEM}`, PROBLEM],
    [`text/html, ${PROBLEM};q=0.5, */*;q=0.1`, PROBLEM],
    [`${PROBLEM}; q=1.000`, PROBLEM],
    [`${PROBLEM};charset=utf-8`, PROBLEM],
    [`${PROBLEM};q=0`, JSON_TYPE],
    [`${PROBLEM};q=0.000, */*`, JSON_TYPE],
    [`${PROBLEM};q=0.5, application/json`, JSON_TYPE],
    [`application/json;q=0.6,${PROBLEM};Q=0.5`, JSON_TYPE],
    [`${PROBLEM};q=0.4, */*;q=0.5`, JSON_TYPE],
    [`${PROBLEM};q=0.4, application/json;q=0.3, */*;q=0.5`, PROBLEM],
    [`${PROBLEM};q=2`, JSON_TYPE],
    [`${PROBLEM};q=x`, JSON_TYPE],
    [`${PROBLEM}x`, JSON_TYPE],
    [`x${PROBLEM}`, JSON_TYPE],
    [',;,=', JSON_TYPE],
  ])('%p: %s', (accept, expected) => {
    const { headers } = render(new Refusal('plan-denied', 'x'), null, accept);
    expect(headers.get('content-type')).toBe(expected);
  });

  test('of every refusal, whichever endpoint it comes from', async () => {
    const harness = await createHarness({ failingParts: [{ part: 'authority-keys', detail: 'none.' }] });
    for (const [method, path] of [
      ['GET', '/token'],
      ['PUT', '/token'],
      ['GET', '/readyz'],
      ['GET', '/nowhere'],
      ['PUT', '/healthz'],
    ] as const)
      for (const [accept, expected] of [
        ['*/*', JSON_TYPE],
        [PROBLEM, PROBLEM],
      ] as const) {
        const request = new Request(`https://registry.example.com${path}`, { method, headers: { accept } });
        const { status, headers } = await harness.handle(request, noCertificate);
        expect([status >= 400, headers.get('content-type')]).toEqual([true, expected]);
      }
  });
});

describe('a refusal has at most 8 KiB in the answer and in the log', () => {
  const MOST = 8 * 1024;
  const lines: string[] = [];
  const log = createLog('info', 'json', (line) => lines.push(line));
  const name = (index: number) => `${'n'.repeat(120)}/${'m'.repeat(120)}/${index}`;
  const letters = [...'abcdefghij'];
  const hundred = letters.flatMap((first) => letters.map((second) => first + second)).join(',');

  const expectSmall = (answer: Answer, reason: Reason) => {
    expectRefusal(answer, reason);
    expect(Buffer.byteLength(answer.text)).toBeLessThanOrEqual(MOST);
    lines.length = 0;
    logDecision(log, answer.decision);
    expect(lines).toHaveLength(1);
    expect(Buffer.byteLength(lines[0] ?? '')).toBeLessThanOrEqual(MOST);
  };

  test('with 64 resources of 100 actions and long names', async () => {
    const harness = await createHarness({ allowedServices: null });
    const scopes = Array.from({ length: 64 }, (_, at) => `repository:${name(at)}:${hundred}`);
    const service = '"'.repeat(255);
    for (const claims of [{}, { sub: '"'.repeat(1000), 'stellaops:license': 'ü'.repeat(1000) }]) {
      const opTok = harness.opTok({ claims });
      const proof = harness.proof(opTok, { claims: { htm: 'POST' } });
      const asked = { method: 'POST', scopes: [scopes.join(' ')], service, opTok, proof } as const;
      const answer = await ask(harness, asked);
      expectSmall(answer, 'plan-denied');
      expect(answer.body.detail).toMatch(/ and 63 more\.$/);
      expect(JSON.parse(lines[0] ?? '').asked.at(-1)).toMatch(/^and 6\d more$/);
    }
  });

  test('with one action of 60,000 characters', async () => {
    const harness = await createHarness();
    const scopes = [`repository:a/b:${'a'.repeat(60_000)}`];
    const answer = await ask(harness, { method: 'POST', scopes });
    expectSmall(answer, 'plan-denied');
  });

  test('with a scope or a service of 20,000 characters that is none', async () => {
    const harness = await createHarness();
    const scopes = ['"\u0007'.repeat(10_000)];
    expectSmall(await ask(harness, { method: 'POST', scopes }), 'malformed-scope');
    const service = '"'.repeat(20_000);
    expectSmall(await ask(harness, { method: 'POST', service }), 'malformed-request');
  });

  test('with a catalogue of 2,000 plans with long names, which are for the log alone', async () => {
    const plans = Array.from({ length: 2000 }, (_, at) => createPlan(`${'p'.repeat(2000)}-${at}`, []));
    const harness = await createHarness({
      policy: { plans: new Map(plans.map((plan) => [plan.name, plan])) },
    });
    const opTok = harness.opTok({ claims: { 'stellaops:plan': 'x'.repeat(5000) } });
    const answer = await ask(harness, { opTok });
    expectSmall(answer, 'plan-unknown');
    expect(answer.text).not.toContain('ppp');
    expect(lines[0]).toContain('ppp');
  });

  test('and what was granted is logged whole', async () => {
    const harness = await createHarness();
    const scopes = Array.from({ length: 30 }, (_, at) => `repository:public/${name(at)}:pull`);
    const answer = await ask(harness, { method: 'POST', scopes });
    expectToken(answer);
    lines.length = 0;
    logDecision(log, answer.decision);
    const { asked, granted } = JSON.parse(lines[0] ?? '');
    expect([asked.toSorted(), granted.toSorted()]).toEqual([scopes.toSorted(), scopes.toSorted()]);
  });
});
