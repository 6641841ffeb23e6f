/** Headers over a real connection: a Host that is none, too many bytes, and bytes of any kind. */
import { afterAll, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { expectProblem, openPlainService, parseAnswer, sendText, target } from './plain-connection.ts';

const service = await openPlainService();
const { site, port, send } = service;
afterAll(() => service[Symbol.asyncDispose]());

describe('a Host header', () => {
  test.each([
    '',
    'x',
    'registry.example.com:443',
    '[::1]:8085',
    '[::1',
    'a b',
    'a/b',
    'a?b',
    'a#b',
    'user@host',
    'http://x/',
    '%',
    '\\',
    '..',
    'x'.repeat(5000),
    ':99999',
    ':',
    '"',
    '<script>',
    'ü',
    'a,b',
    '//',
    'a:b:c',
    '\t',
  ])('%j never makes a 500, nor another answer', async (host) => {
    const answer = await send({ target, host });
    // What Bun itself does not take is 400; everything else is answered as always.
    if (answer.status !== 400) expectProblem(answer, 401, null);
    expect(answer.body).not.toInclude(host.length > 3 ? host : 'Internal');
  });

  test('may be missing in HTTP/1.0, as in the health checks of proxies', async () => {
    expect(await sendText(port, 'GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 [\s\S]*ok\n$/);
    expect(await sendText(port, 'GET //healthz HTTP/1.0\r\n\r\n')).toStartWith('HTTP/1.1 404');
    const nested = await sendText(port, `GET ${target}&x=//metrics HTTP/1.0\r\n\r\n`);
    expect(nested).toStartWith('HTTP/1.1 401');
  });

  test('changes nothing for a proof', async () => {
    for (const host of ['evil.example', '']) {
      const opTok = site.opTok();
      const headers = [`Authorization: DPoP ${opTok}`, `DPoP: ${site.proof(opTok)}`];
      expect((await send({ target, host, headers })).status).toBe(200);
      const other = site.opTok();
      const proof = site.proof(other, { claims: { htu: `http://${host}/token` } });
      expect(
        (await send({ target, host, headers: [`Authorization: DPoP ${other}`, `DPoP: ${proof}`] })).status,
      ).toBe(401);
    }
  });

  test('may be an absolute URL in the request line instead', async () => {
    const answer = await send({ target: `http://evil.example${target}` });
    expect([400, 401, 404]).toContain(answer.status);
  });
});

describe('headers', () => {
  test('of more than 16 KiB are 431', async () => {
    expect((await send({ target, headers: [`X-Long: ${'x'.repeat(17 * 1024)}`] })).status).toBe(431);
    const many = Array.from({ length: 40 }, (_, index) => `X-Long-${index}: ${'x'.repeat(500)}`);
    expect((await send({ target, headers: many })).status).toBe(431);
  });

  test('of 12 KiB are read', async () => {
    expectProblem(await send({ target, headers: [`X-Long: ${'x'.repeat(12 * 1024)}`] }), 401, null);
  });

  test('with a line break inside a value are refused or taken as two, and never issue', async () => {
    const opTok = site.opTok();
    const text = `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: DPoP\r\n ${opTok}\r\nDPoP: ${site.proof(opTok)}\r\n\r\n`;
    expect(await sendText(port, text)).not.toMatch(/^HTTP\/1\.1 (?:200|5)/);
  });

  test('of any bytes are no fault of the server', async () => {
    const value = fc
      .uint8Array({ maxLength: 60 })
      .filter((bytes) => !bytes.some((byte) => byte === 10 || byte === 13));
    const name = fc.constantFrom(
      'Authorization',
      'DPoP',
      'Client-Cert',
      'X-Forwarded-For',
      'Content-Type',
      'Accept',
    );
    await fc.assert(
      fc.asyncProperty(name, value, async (field, bytes) => {
        const head = `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${field}: `;
        const text = await sendText(port, Buffer.concat([Buffer.from(head), bytes, Buffer.from('\r\n\r\n')]));
        expect(text === '' || [400, 401].includes(parseAnswer(text).status)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
