/** What passes through the agent and what does not, and what becomes of a transfer that breaks. */
import { expect, test } from 'bun:test';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { startAgentParties } from '../../support/agent-parties.ts';

/** Sends bytes as they are and returns what came until the connection was closed, or 2 s passed. */
function sendRaw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.setTimeout(2000, () => socket.destroy());
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(received));
  });
}

/** Of a length that nobody knows before the end. */
function inChunks(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull: (controller) => {
      controller.enqueue(bytes.subarray(at, at + 65536));
      at += 65536;
      if (at >= bytes.length) controller.close();
    },
  });
}

async function until(isTrue: () => boolean): Promise<void> {
  for (let waited = 0; !isTrue(); waited += 10) {
    if (waited > 5000) throw new Error('It did not happen in 5 s.');
    await Bun.sleep(10);
  }
}

test('the fields that registries read are passed on, and no others', async () => {
  let received = new Headers();
  await using parties = await startAgentParties({
    registry: (request) => {
      received = request.headers;
      return new Response('ok');
    },
  });
  await fetch(`${parties.url}/v2/a/blobs/sha256:ab`, {
    headers: {
      Accept: 'application/vnd.oci.image.manifest.v1+json',
      Range: 'bytes=5-',
      'If-None-Match': '"x"',
      'User-Agent': 'a client',
      Authorization: 'Basic bWU6cHc=',
      Cookie: 'session=1',
      'X-Forwarded-Host': 'evil.example',
      'X-Forwarded-Proto': 'https',
      Forwarded: 'host=evil.example',
      'Client-Cert': ':AAAA:',
      DPoP: 'a proof',
    },
  });
  received.delete('accept-encoding');
  expect(Object.fromEntries(received)).toEqual({
    accept: 'application/vnd.oci.image.manifest.v1+json',
    authorization: 'Bearer registry.token.1',
    connection: 'keep-alive',
    host: new URL(parties.registryUrl).host,
    'if-none-match': '"x"',
    range: 'bytes=5-',
    'user-agent': 'a client',
  });
});

test('compressed content passes as it is, and none is asked for in the client’s place', async () => {
  const compressed = gzipSync('x'.repeat(1000));
  const asked: (string | null)[] = [];
  await using parties = await startAgentParties({
    registry: (request) => {
      asked.push(request.headers.get('accept-encoding'));
      return new Response(compressed, { headers: { 'Content-Encoding': 'gzip' } });
    },
  });
  const request = `GET /v2/a/blobs/b HTTP/1.1\r\nHost: 127.0.0.1:${parties.port}\r\nConnection: close\r\n`;
  const answer = await sendRaw(parties.port, `${request}\r\n`);
  await sendRaw(parties.port, `${request}Accept-Encoding: gzip\r\n\r\n`);
  expect(Buffer.from(answer, 'latin1').subarray(-compressed.length).equals(compressed)).toBe(true);
  expect(answer.toLowerCase()).toContain('content-encoding: gzip');
  expect(answer.toLowerCase()).toContain(`content-length: ${compressed.length}`);
  expect(asked).toEqual(['identity', 'gzip']);
});

test('an upload of known length has it at the registry, and one of unknown length comes in chunks', async () => {
  const seen: unknown[] = [];
  await using parties = await startAgentParties({
    open: true,
    registry: async (request) => {
      if (request.method === 'GET') return new Response();
      const { headers } = request;
      const length = (await request.bytes()).length;
      seen.push([headers.get('content-length'), headers.get('transfer-encoding'), length]);
      return new Response(null, { status: 202 });
    },
  });
  const url = `${parties.url}/v2/a/blobs/uploads/1`;
  const large = new Uint8Array(6 * 1024 * 1024);
  await fetch(url, { method: 'PUT', body: large });
  await fetch(url, { method: 'PATCH', body: inChunks(large) });
  await fetch(url, { method: 'POST' });
  await fetch(url, { method: 'PUT', body: 'small' });
  expect(seen).toEqual([
    [String(large.length), null, large.length],
    [null, 'chunked', large.length],
    ['0', null, 0],
    ['5', null, 5],
  ]);
});

test('an absolute target and a second Host lead nowhere else', async () => {
  const hosts: (string | null)[] = [];
  await using parties = await startAgentParties({
    open: true,
    registry: (request) => {
      hosts.push(`${request.headers.get('host')} ${new URL(request.url).pathname}`);
      return new Response('the registry');
    },
  });
  const own = `Host: 127.0.0.1:${parties.port}\r\nConnection: close\r\n`;
  const ask = (line: string, headers = own) => sendRaw(parties.port, `${line} HTTP/1.1\r\n${headers}\r\n`);
  expect(await ask('GET http://evil.example/v2/x')).toContain('the registry');
  expect(hosts).toEqual([`${new URL(parties.registryUrl).host} /v2/x`]);
  expect(await ask('GET http://evil.example/secret')).toStartWith('HTTP/1.1 404');
  expect(await ask('GET /v2/../secret')).toStartWith('HTTP/1.1 404');
  expect(await ask('GET /v2/..%2fsecret')).toStartWith('HTTP/1.1 404');
  expect(await ask('GET /v2/x', `${own}Host: evil.example\r\n`)).toStartWith('HTTP/1.1 403');
  expect(await ask('GET /v2/x', 'Host: evil.example\r\nConnection: close\r\n')).toStartWith('HTTP/1.1 403');
  expect(await sendRaw(parties.port, 'GET /v2/x HTTP/1.0\r\n\r\n')).toStartWith('HTTP/1.1 403');
  expect(await ask('CONNECT evil.example:443', 'Host: evil.example:443\r\n')).not.toContain(' 200 ');
  expect(hosts).toHaveLength(1);
});

test('a download that breaks at the registry breaks at the client', async () => {
  await using parties = await startAgentParties({
    open: true,
    registry: () => {
      const body = new ReadableStream({
        pull: async (controller) => {
          await Bun.sleep(5);
          controller.enqueue(new Uint8Array(10_000));
        },
      });
      return new Response(body);
    },
  });
  const answer = await fetch(`${parties.url}/v2/a/blobs/b`);
  expect(answer.status).toBe(200);
  const reading = answer.bytes().then(
    () => 'complete',
    () => 'broken off',
  );
  await parties.stopRegistry();
  expect(await reading).toBe('broken off');
  await until(() => parties.agent.transfers.count === 0);
});

test('a client that goes away ends the transfer at the registry too, and an upload is not taken for complete', async () => {
  let cancelled = false;
  const uploads: unknown[] = [];
  await using parties = await startAgentParties({
    open: true,
    registry: async (request) => {
      if (request.method === 'GET') {
        const body = new ReadableStream({
          pull: async (controller) => {
            await Bun.sleep(1);
            controller.enqueue(new Uint8Array(65536));
          },
          cancel: () => {
            cancelled = true;
          },
        });
        return new Response(body);
      }
      uploads.push(
        await request.bytes().then(
          ({ length }) => length,
          () => 'broken off',
        ),
      );
      return new Response(null, { status: 202 });
    },
  });
  const controller = new AbortController();
  const answer = await fetch(`${parties.url}/v2/a/blobs/b`, { signal: controller.signal });
  await answer.body?.getReader().read();
  expect(parties.agent.transfers.count).toBe(1);
  controller.abort();
  await until(() => cancelled && parties.agent.transfers.count === 0);

  const fields = `PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nHost: 127.0.0.1:${parties.port}\r\n`;
  for (const framing of [
    'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
    'Content-Length: 9000000\r\n\r\nhello',
  ])
    await new Promise<void>((resolve) => {
      const socket = connect(parties.port, '127.0.0.1', () => socket.write(fields + framing));
      setTimeout(() => socket.destroy(), 200);
      socket.on('close', () => resolve());
    });
  await until(() => uploads.length === 2 && parties.agent.transfers.count === 0);
  expect(uploads).toEqual(['broken off', 'broken off']);
});

test('a client that goes away before the registry answers is not waited for', async () => {
  let gone = false;
  await using parties = await startAgentParties({
    open: true,
    registry: async ({ signal }) => {
      signal.addEventListener('abort', () => {
        gone = true;
      });
      while (!gone) await Bun.sleep(10);
      return new Response();
    },
  });
  const controller = new AbortController();
  const asking = fetch(`${parties.url}/v2/a/blobs/b`, { signal: controller.signal });
  await until(() => parties.agent.transfers.count === 1);
  await Bun.sleep(50);
  controller.abort();
  await expect(asking).rejects.toThrow();
  await until(() => gone && parties.agent.transfers.count === 0);
  // It is nothing that the registry is to be blamed for in the log.
  expect(parties.refusals).toEqual([]);
});

test('HEAD has the registry’s length and no body, and nothing is left under way, refused or not', async () => {
  await using parties = await startAgentParties({
    open: true,
    registry: ({ url }) =>
      url.endsWith('/here') ? new Response('x'.repeat(1234)) : new Response('{}', { status: 404 }),
  });
  const head = (path: string) => fetch(`${parties.url}${path}`, { method: 'HEAD' });
  const here = await head('/v2/a/blobs/here');
  expect([here.status, here.headers.get('content-length')]).toEqual([200, '1234']);
  expect((await head('/v2/a/blobs/missing')).status).toBe(404);
  expect((await head('/elsewhere')).status).toBe(404);
  await until(() => parties.agent.transfers.count === 0);
});

test('a registry that is not there is told, with the reason', async () => {
  await using parties = await startAgentParties({ open: true, registry: () => new Response() });
  await parties.stopRegistry();
  const answer = await fetch(`${parties.url}/v2/a/manifests/1`);
  expect(answer.status).toBe(502);
  expect(await answer.json()).toEqual({
    errors: [
      {
        code: 'UNAVAILABLE',
        message: expect.stringContaining('connection refused: nothing listens there (ECONNREFUSED)'),
      },
    ],
  });
});

test('content that passes is reported with its bytes and the way its token was got, and nothing else is', async () => {
  const reports: unknown[] = [];
  const blob = new Uint8Array(6 * 1024 * 1024);
  await using parties = await startAgentParties({
    registry: async (request) =>
      request.method === 'GET'
        ? new Response(blob)
        : new Response(null, { status: (await request.bytes()).length > 0 ? 201 : 400 }),
    onTransfer: ({ method, path, bytes, token, status }, isDone) =>
      void reports.push([method, path, bytes, token, status, isDone]),
  });
  const url = (path: string) => `${parties.url}/v2/${path}`;
  await (await fetch(url('a/blobs/sha256:ab'))).bytes();
  await fetch(url('a/blobs/uploads/1'), { method: 'PUT', body: blob });
  await fetch(url('a/manifests/1'), { method: 'PUT', body: 'a manifest' });
  await fetch(url('a/manifests/1'), { method: 'HEAD' });
  await (await fetch(url('a/tags/list'))).bytes();
  await until(() => reports.length >= 3);
  expect(reports).toEqual([
    ['GET', '/v2/a/blobs/sha256:ab', blob.length, 'new, by DPoP', 200, true],
    ['PUT', '/v2/a/blobs/uploads/1', blob.length, 'new, by DPoP', 201, true],
    ['PUT', '/v2/a/manifests/1', 10, 'kept', 201, true],
  ]);
});
