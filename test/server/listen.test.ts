/** HTTP over a real connection: methods, paths, repeated headers, and the sizes of bodies. */
import { afterAll, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { peerAddress } from '../../src/server/listen.ts';
import { parseChallenges } from '../support/ask.ts';
import { SERVICE } from '../support/tokens.ts';
import { expectProblem, fieldsOf, openPlainService, sendText, target } from './plain-connection.ts';

const service = await openPlainService();
const { site, port, send } = service;
afterAll(() => service[Symbol.asyncDispose]());

const FORM = 'Content-Type: application/x-www-form-urlencoded';

describe('a request over a real connection', () => {
  test('is answered with a token', async () => {
    const opTok = site.opTok();
    const answer = await send({
      target,
      headers: [`Authorization: DPoP ${opTok}`, `DPoP: ${site.proof(opTok)}`],
    });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({ token: expect.any(String), expires_in: 300 });
  });

  test('is one of several on one connection, each answered in its turn', async () => {
    const one = (path: string, close = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${close}\r\n`;
    const text = await sendText(
      port,
      `${one('/healthz')}${one('/token')}${one('/nothing', 'Connection: close\r\n')}`,
    );
    expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400', 'HTTP/1.1 404']);
  });

  test('knows the address of its peer', async () => {
    await send({ target });
    expect(site.logLines.at(-1)?.address).toBe('127.0.0.1');
    expect(['::ffff:192.0.2.7', '::1', '2001:db8::7', undefined].map(peerAddress)).toEqual([
      '192.0.2.7',
      '::1',
      '2001:db8::7',
      'unknown',
    ]);
  });

  test('has all its challenges, which Bun joins to one field', async () => {
    const answer = await send({ target });
    expect(answer.status).toBe(401);
    const challenges = parseChallenges(new Headers(answer.headers.map(([name, value]) => [name, value])));
    expect(challenges.map(({ scheme }) => scheme)).toEqual(['DPoP', 'Bearer', 'Basic']);
  });
});

describe('a repeated header', () => {
  test('Authorization is 400', async () => {
    const opTok = site.opTok();
    const twice = [`Authorization: DPoP ${opTok}`, `Authorization: DPoP ${opTok}`];
    expectProblem(
      await send({ target, headers: [...twice, `DPoP: ${site.proof(opTok)}`] }),
      400,
      'invalid_request',
    );
    const mixed = [`Authorization: Bearer ${opTok}`, `authorization: Basic eDp5`];
    expectProblem(await send({ target, headers: mixed }), 400, 'invalid_request');
  });

  test('DPoP is 401', async () => {
    const opTok = site.opTok();
    const proofs = [`DPoP: ${site.proof(opTok)}`, `dpop: ${site.proof(opTok)}`];
    const answer = await send({ target, headers: [`Authorization: DPoP ${opTok}`, ...proofs] });
    expectProblem(answer, 401, 'invalid_dpop_proof');
    expect(site.logLines.at(-1)?.reason).toBe('proof-malformed');
  });
});

describe('a method', () => {
  test.each([
    ['HEAD', '/token'],
    ['OPTIONS', '/token'],
    ['PUT', '/auth/token'],
    ['DELETE', '/token'],
    ['PATCH', '/token'],
  ])('%s of %s is 405 with Allow', async (method, path) => {
    const answer = await send({ method, target: path });
    expect(answer.status).toBe(405);
    expect(fieldsOf(answer, 'allow')).toEqual(['GET, POST']);
    if (method === 'HEAD') expect(answer.body).toBe('');
    else expectProblem(answer, 405, 'invalid_request');
  });

  test.each(['/healthz', '/readyz', '/metrics', '/.well-known/jwks.json'])(
    'GET and HEAD of %s are 200',
    async (path) => {
      const get = await send({ target: path });
      const head = await send({ method: 'HEAD', target: path });
      expect([get.status, head.status, head.body]).toEqual([200, 200, '']);
      expect(get.body).not.toBe('');
      const post = await send({ method: 'POST', target: path, headers: ['Content-Length: 0'] });
      expect([post.status, fieldsOf(post, 'allow')]).toEqual([405, ['GET, HEAD']]);
    },
  );

  test('HEAD of the token endpoint uses no proof up', async () => {
    const opTok = site.opTok();
    const headers = [`Authorization: DPoP ${opTok}`, `DPoP: ${site.proof(opTok)}`];
    expect((await send({ method: 'HEAD', target, headers })).status).toBe(405);
    expect((await send({ target, headers })).status).toBe(200);
  });

  test.each(['TRACE', 'CONNECT', 'get', 'FOO', 'PROPFIND'])(
    '%s never issues and is no fault of the server',
    async (method) => {
      const opTok = site.opTok();
      const headers = [`Authorization: DPoP ${opTok}`, `DPoP: ${site.proof(opTok)}`];
      const text = await sendText(
        port,
        `${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers.join('\r\n')}\r\n\r\n`,
      );
      expect(text).not.toMatch(/^HTTP\/1\.1 (?:200|5)/);
    },
  );
});

describe('a path', () => {
  test.each([
    '//token',
    '/token/',
    '/Token',
    '/token%2f',
    '/%74oken',
    '/token;x',
    '/auth//token',
    '/auth/token/',
    '/',
    '/v2/',
    '/token/../token/x',
    '/.well-known/',
    '/index.html',
    '/healthz/',
    '//healthz',
    '/metrics.txt',
  ])('%s is 404', async (path) => {
    expectProblem(await send({ target: path }), 404, 'not_found');
  });

  test.each(['/token', '/token?', '/auth/token', '/token?service'])(
    '%s is the token endpoint',
    async (path) => {
      expectProblem(await send({ target: path }), 400, 'invalid_request');
    },
  );

  test('of any kind is no fault of the server', async () => {
    const path = fc.stringMatching(/^\/[\x21-\x7e]{0,40}$/);
    await fc.assert(
      fc.asyncProperty(path, async (target) => {
        const { status } = await send({ target });
        expect([200, 400, 401, 404]).toContain(status);
      }),
      { numRuns: 200 },
    );
  });
});

describe('a body', () => {
  const large = `service=${SERVICE}&x=${'x'.repeat(64 * 1024)}`;

  test('of 64 KiB is read', async () => {
    const body = `service=${SERVICE}&x=`.padEnd(64 * 1024, 'x');
    const headers = [FORM, `Content-Length: ${body.length}`];
    expectProblem(await send({ method: 'POST', headers, body }), 401, null);
  });

  test('of more is 413', async () => {
    expectProblem(
      await send({ method: 'POST', headers: [FORM, `Content-Length: ${large.length}`], body: large }),
      413,
      'invalid_request',
    );
  });

  test('of more in chunks is 413', async () => {
    const pieces = large.match(/.{1,8000}/g) ?? [];
    const body = `${pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('')}0\r\n\r\n`;
    expectProblem(
      await send({ method: 'POST', headers: [FORM, 'Transfer-Encoding: chunked'], body }),
      413,
      'invalid_request',
    );
  });

  test('in chunks of one byte is read', async () => {
    const body = `${[...`service=${SERVICE}`].map((letter) => `1\r\n${letter}\r\n`).join('')}0\r\n\r\n`;
    expectProblem(
      await send({ method: 'POST', headers: [FORM, 'Transfer-Encoding: chunked'], body }),
      401,
      null,
    );
  });

  test('of megabytes is 413, whether or not it comes', async () => {
    const headers = [FORM, 'Content-Length: 104857600'];
    expect((await send({ method: 'POST', headers })).status).toBe(413);
  });

  test('that is no form is 415', async () => {
    const headers = ['Content-Type: application/json', 'Content-Length: 2'];
    expectProblem(await send({ method: 'POST', headers, body: '{}' }), 415, 'invalid_request');
    expectProblem(await send({ method: 'POST', headers: ['Content-Length: 0'] }), 415, 'invalid_request');
  });

  test('with two lengths is refused before anything else', async () => {
    const headers = [FORM, 'Content-Length: 5', 'Transfer-Encoding: chunked'];
    const { status } = await send({ method: 'POST', headers, body: '0\r\n\r\n' });
    expect(status).toBe(400);
  });
});

describe('a method that no endpoint has', () => {
  test.each(['OPTIONS', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND', 'QUERY', 'M-SEARCH', 'LINK'])(
    '%s is 405 with the methods that are allowed',
    async (method) => {
      for (const [path, allow] of [
        ['/token', 'GET, POST'],
        ['/healthz', 'GET, HEAD'],
      ] as const) {
        const answer = await send({ method, target: path });
        expectProblem(answer, 405, 'invalid_request');
        expect(fieldsOf(answer, 'allow')).toEqual([allow]);
      }
    },
  );

  test('CONNECT is an answer of ours too', async () => {
    expectProblem(await send({ method: 'CONNECT', target: 'registry.example.com:443' }), 404, 'not_found');
  });

  test.each(['FOO', 'get', 'Get'])(
    'that Bun does not know ends the connection without an answer: %s',
    async (method) => {
      expect(await sendText(port, `${method} /token HTTP/1.1\r\nHost: x\r\n\r\n`)).toBe('');
    },
  );

  test('of OPTIONS * is answered by Bun', async () => {
    expect(await sendText(port, 'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n')).toStartWith('HTTP/1.1 400');
  });
});

test('a body is read though Bun answers an Expect of unusual case with no 100', async () => {
  const body = `service=${SERVICE}`;
  const head = [FORM, `Content-Length: ${body.length}`, 'Expect: 100-Continue'];
  expectProblem(await send({ method: 'POST', target: '/token', headers: head, body }), 401, null);
});
