/** Service, unknown parameters, the body of a POST. */
import { describe, expect, test } from 'bun:test';
import { ask, expectProblem, expectRefusal, expectToken, send } from '../support/ask.ts';
import { createHarness } from '../support/service.ts';
import { decodePart, REALM, SERVICE } from '../support/tokens.ts';

const harness = await createHarness();

/** A GET with good credentials and any query. */
function getWith(query: string, allowed = harness) {
  const opTok = allowed.opTok();
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: allowed.proof(opTok) };
  return send(allowed, new Request(`${REALM}${query}`, { headers }));
}

function postWith(
  body: string | Uint8Array | null,
  contentType: string | null,
  more: Record<string, string> = {},
) {
  const opTok = harness.opTok();
  const proof = harness.proof(opTok, { claims: { htm: 'POST' } });
  const headers = new Headers({ Authorization: `DPoP ${opTok}`, DPoP: proof, ...more });
  if (contentType !== null) headers.set('Content-Type', contentType);
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  return send(harness, new Request(REALM, { method: 'POST', headers, body: bytes }));
}

const FORM = 'application/x-www-form-urlencoded';

describe('service', () => {
  test.each(['', '?', '?service=', '?Service=registry.example.com', '?x=1'])(
    'is required: %j',
    async (query) => {
      expectRefusal(await getWith(query), 'malformed-request');
    },
  );

  test.each([
    '?service=registry.example.com&service=registry.example.com',
    '?service=registry.example.com&service=other',
    '?service=registry.example.com&service=',
  ])('is given once: %s', async (query) => {
    expectRefusal(await getWith(query), 'malformed-request');
  });

  test.each(['other', 'registry.example.com ', 'REGISTRY.EXAMPLE.COM', 'registry.example.com/', '__proto__'])(
    'is one of the allowed: %j',
    async (service) => {
      expectRefusal(await ask(harness, { service }), 'service-not-allowed');
    },
  );

  test('becomes aud, whatever it is, where all are allowed', async () => {
    const open = await createHarness({ allowedServices: null });
    for (const service of ['registry.docker.io', 'My Registry: "x"', 'x'.repeat(255)]) {
      const answer = await ask(open, { service });
      expectToken(answer);
      expect(decodePart(String(answer.body.token), 1).aud).toBe(service);
    }
  });

  test.each(['x'.repeat(256), 'a\u0000b', 'a\nb', 'ü', '\u2028'])(
    'is short and printable: %j',
    async (service) => {
      const open = await createHarness({ allowedServices: null });
      expectRefusal(await ask(open, { service }), 'malformed-request');
    },
  );

  test('is not looked for in the query of a POST', async () => {
    expectRefusal(
      await ask(harness, { method: 'POST', service: null, url: `${REALM}?service=x` }),
      'malformed-request',
    );
  });
});

describe('other parameters', () => {
  test('account, client_id, offline_token, access_type and unknown ones grant nothing', async () => {
    const query = `?service=${SERVICE}&account=admin&client_id=docker&offline_token=true&access_type=offline&foo=1&foo=2&sub=root&access=x`;
    const answer = await getWith(query);
    expectToken(answer);
    expect(decodePart(String(answer.body.token), 1)).toMatchObject({ sub: 'alice', access: [] });
    expect(answer.body.refresh_token).toBeUndefined();
  });

  test.each([
    '?service=registry.example.com&%ff=%',
    '?service=registry.example.com&&=&==',
    '?%73ervice=registry.example.com',
  ])('odd encodings are no fault: %s', async (query) => {
    expectToken(await getWith(query));
  });
});

describe('the body of a POST', () => {
  test.each([FORM, `${FORM}; charset=UTF-8`, `${FORM};charset=utf-8`, FORM.toUpperCase(), ` ${FORM} `])(
    'may be %j',
    async (contentType) => {
      expectToken(await postWith(`service=${SERVICE}`, contentType));
    },
  );

  test.each([
    null,
    '',
    'application/json',
    'multipart/form-data; boundary=x',
    'text/plain',
    `${FORM}x`,
    'application/*',
  ])('is 415 where its type is %j', async (contentType) => {
    const answer = await postWith(`service=${SERVICE}`, contentType);
    expect([answer.status, answer.body.error]).toEqual([415, 'invalid_request']);
    expect(answer.decision.refusal?.reason).toBe('malformed-request');
    expectProblem(answer);
  });

  test('is 413 where it is larger than 64 KiB, told by its length or found on reading', async () => {
    const body = `service=${SERVICE}&x=${'x'.repeat(64 * 1024)}`;
    for (const more of [{}, { 'Content-Length': String(body.length) }]) {
      const answer = await postWith(body, FORM, more);
      expect([answer.status, answer.body.error]).toEqual([413, 'invalid_request']);
      expect(answer.decision.refusal?.reason).toBe('malformed-request');
      expectProblem(answer);
    }
  });

  test('may be just below the limit', async () => {
    expectToken(await postWith(`service=${SERVICE}&x=`.padEnd(64 * 1024, 'x'), FORM));
  });

  test('is 400 where it is not UTF-8', async () => {
    expectRefusal(
      await postWith(Buffer.from(`service=${SERVICE}&x=\xff`, 'latin1'), FORM),
      'malformed-request',
    );
  });

  test('is 400 where it is empty or missing', async () => {
    expectRefusal(await postWith('', FORM), 'malformed-request');
    expectRefusal(await postWith(null, FORM), 'malformed-request');
  });
});
