/** What a client sends its credentials over, and how much it takes back. */

import { beforeAll, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { shownUrl } from '../../src/client/client-fault.ts';
import { exchange, type HttpOptions, whyNotLedTo } from '../../src/client/http.ts';
import { proxiesOf } from '../../src/platform/proxy.ts';
import { LOOPBACK_NAMES, writeCertificate } from '../support/certificates.ts';
import { plainHttp } from '../support/client-parts.ts';
import { describeWith } from '../support/debian-parts.ts';
import { startFakeServer } from '../support/fake-server.ts';
import { createTemporaryFolder, findFreePort, runOrFail } from '../support/processes.ts';

function get(url: string, options: HttpOptions = plainHttp) {
  return exchange('discovery', { method: 'GET', url, headers: {}, body: null }, options);
}

test.each([
  'http://authority.example.com/',
  'http://localhost.example.com/',
  'http://notlocalhost/',
  'http://127.evil.example/',
  'http://registry.localhost/',
  'http://10.0.0.1/',
  'https://user:password@authority.example.com/',
  'ftp://127.0.0.1/',
  'authority.example.com',
])('sends nothing to %s', async (url) => {
  const fault: Error = await get(url).catch((cause) => cause);
  expect(fault.message).toContain('is neither https nor on loopback');
  expect(fault.message).not.toContain('password');
});

test.each([
  ['https://token.example.com/', 'https://registry.example.com/v2/', null],
  ['https://token.example.com/', 'http://127.0.0.1:5000/v2/', null],
  ['http://127.0.0.1:8085/token', 'http://localhost:5000/v2/', null],
  ['https://localhost/token', 'https://[::1]:5000/v2/', null],
  ['http://127.0.0.1:8085/token', 'https://registry.example.com/v2/', 'is on this machine'],
  ['https://localhost/token', 'https://registry.example.com/v2/', 'is on this machine'],
  ['https://127.1/token', 'https://127.0.0.1.example.com/v2/', 'is on this machine'],
  ['http://token.example.com/', 'http://127.0.0.1:5000/v2/', 'is neither https'],
  ['https://me@token.example.com/', 'https://registry.example.com/v2/', 'is neither https'],
  ['/token', 'https://registry.example.com/v2/', 'is neither https'],
])('to %s, which %s names, there is to be said: %p', (target, server, said) => {
  const whyNot = whyNotLedTo(URL.parse(target), new URL(server));
  if (said === null) expect(whyNot).toBeNull();
  else expect(whyNot).toContain(said);
});

test('a redirect is not followed, and the fault says where it led', async () => {
  await using server = startFakeServer(
    () => new Response(null, { status: 302, headers: { Location: '/elsewhere?code=secret' } }),
  );
  const fault: Error = await get(`${server.url}/here?q=1`).catch((cause) => cause);
  expect(fault.message).toBe(
    `discovery: ${server.url}/here redirects to ${server.url}/elsewhere; redirects are not followed`,
  );
  expect(server.heard).toHaveLength(1);
});

test('an answer of more than 1 MiB is not read to its end', async () => {
  await using server = startFakeServer(() => new Response('x'.repeat(1024 * 1024 + 1)));
  await expect(get(server.url)).rejects.toThrow('did not answer in full: more than 1048576 bytes');
});

test('an answer of 1 MiB is taken', async () => {
  await using server = startFakeServer(() => new Response('x'.repeat(1024 * 1024)));
  expect((await get(server.url)).text).toHaveLength(1024 * 1024);
});

test('a server that is not there is named with the reason', async () => {
  const server = startFakeServer(() => new Response());
  await server[Symbol.asyncDispose]();
  await expect(get(`${server.url}/path`)).rejects.toThrow(
    `discovery: ${server.url}/path did not answer: connection refused: nothing listens there (ECONNREFUSED)`,
  );
});

test('the URL in a message has neither user information nor query', () => {
  expect(shownUrl('https://me:pw@example.com/a?token=x#y')).toBe('https://example.com/a');
  expect(shownUrl('no url')).toBe('this');
});

describeWith(['openssl'], 'over TLS', () => {
  const names = ['server', 'client'] as const;
  const pem = new Map<string, { readonly cert: string; readonly key: string }>();
  const materialOf = (name: (typeof names)[number]) => pem.get(name) ?? { cert: '', key: '' };

  beforeAll(async () => {
    await using folder = await createTemporaryFolder();
    for (const name of names) {
      const [keyPath, certPath] = [folder.at(`${name}.key`), folder.at(`${name}.crt`)];
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyPath];
      const name127 = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2'];
      await runOrFail(['openssl', 'req', '-x509', ...key, ...name127, '-out', certPath]);
      pem.set(name, { cert: readFileSync(certPath, 'utf8'), key: readFileSync(keyPath, 'utf8') });
    }
  });

  test('a server that is not trusted gets no request', async () => {
    await using server = startFakeServer(() => new Response('hello'), materialOf('server'));
    await expect(get(server.url)).rejects.toThrow('its certificate authority is not trusted');
    expect(server.heard).toHaveLength(0);
  });

  test('a server is trusted by the certificate authority that is named, and by no other', async () => {
    await using server = startFakeServer(() => new Response('hello'), materialOf('server'));
    const options = { certificateAuthorities: materialOf('server').cert, clientCertificate: null };
    expect((await get(server.url, options)).text).toBe('hello');
    const other = { certificateAuthorities: materialOf('client').cert, clientCertificate: null };
    await expect(get(server.url, other)).rejects.toThrow('its certificate authority is not trusted');
  });

  test('the client shows its certificate to a server that asks for it', async () => {
    const tls = { ...materialOf('server'), ca: materialOf('client').cert };
    await using server = startFakeServer(() => new Response('hello'), tls);
    const { cert: certificate, key } = materialOf('client');
    const certificateAuthorities = materialOf('server').cert;
    const options = { certificateAuthorities, clientCertificate: { certificate, key } };
    expect((await get(server.url, options)).text).toBe('hello');
    await expect(get(server.url, { certificateAuthorities, clientCertificate: null })).rejects.toThrow(
      'did not answer',
    );
  });
});

test.each([
  [
    'nothing listens',
    async () => `127.0.0.1:${await findFreePort()}`,
    'cannot be used: connection refused: nothing listens there (ECONNREFUSED)',
  ],
  [
    'it refuses a tunnel',
    async () => {
      const proxy = createServer((socket) => {
        socket.once('data', () =>
          socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n'),
        );
      });
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
      proxy.unref();
      return `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    },
    'opened no connection to https://authority.example.com/token (407 Proxy Authentication Required)',
  ],
])('where %s the proxy is blamed, and not the server', async (_, start, message) => {
  const address = await start();
  const http = { ...plainHttp, proxies: proxiesOf({ HTTPS_PROXY: `http://me:s3cret@${address}` }) };
  const request = {
    method: 'GET',
    url: 'https://authority.example.com/token',
    headers: {},
    body: null,
  } as const;
  const fault = await exchange('discovery', request, http).catch((cause) => cause);
  expect(fault.message).toStartWith(`discovery: the proxy http://${address} (HTTPS_PROXY)`);
  expect(fault.message).toContain(message);
  expect(fault.message).not.toContain('s3cret');
});

describeWith(['openssl'], 'a server that wants a client certificate', () => {
  test.each([
    ['none', null, 'the server may want a client certificate'],
    ['one that it does not trust', 'other', 'the server may not trust our client certificate'],
  ])('and is shown %s is not blamed for its TLS alone', async (_, name, message) => {
    await using folder = await createTemporaryFolder();
    const read = async (of: string) => {
      const { certificatePath, keyPath } = await writeCertificate(folder, of, {
        alternativeNames: LOOPBACK_NAMES,
      });
      return { certificate: readFileSync(certificatePath, 'utf8'), key: readFileSync(keyPath, 'utf8') };
    };
    const own = await read('server');
    const trusted = await read('trusted');
    const tls = { cert: own.certificate, key: own.key, ca: trusted.certificate };
    await using server = startFakeServer(() => new Response(), tls);
    const clientCertificate = name === null ? null : await read(name);
    const fault = await get(server.url, { certificateAuthorities: own.certificate, clientCertificate }).catch(
      (cause) => cause,
    );
    expect(fault.message).toContain(message);
  });
});
