/** The end of a listener, and addresses that cannot be used. */
import { expect, test } from 'bun:test';
import { type AddressInfo, connect, createServer } from 'node:net';
import { listen } from '../../src/server/listen.ts';

function listenWith(handle: () => Promise<Response>) {
  return listen({ host: '127.0.0.1', port: 0, handle });
}

test('a stop answers a running request first, and takes no new one', async () => {
  const arrived = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Response>();
  const listener = listenWith(() => {
    arrived.resolve();
    return answer.promise;
  });
  const running = fetch(listener.url);
  await arrived.promise;
  let stopped = false;
  const stop = listener.stop(10_000).then(() => {
    stopped = true;
  });
  // No request comes meanwhile.
  await Bun.sleep(300);
  expect(stopped).toBe(false);
  expect(await fetch(listener.url).catch(() => 'refused')).toBe('refused');
  answer.resolve(new Response('done'));
  expect(await (await running).text()).toBe('done');
  await stop;
});

test('a stop answers what is written to an idle connection, and closes that with the answer', async () => {
  const listener = listenWith(async () => new Response('x'));
  const { promise: closed, resolve } = Promise.withResolvers<string>();
  const socket = connect({ host: '127.0.0.1', port: listener.port });
  let received = '';
  socket.on('data', (bytes) => {
    received += bytes.toString('latin1');
  });
  socket.on('close', () => resolve(received));
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await Bun.sleep(50);
  const stopped = listener.stop(10_000);
  received = '';
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  const answer = (await closed).toLowerCase();
  expect(answer).toStartWith('http/1.1 200 ok\r\n');
  expect(answer).toInclude('\r\nconnection: close\r\n');
  expect(answer).toEndWith('\r\n\r\nx');
  await stopped;
});

test('a stop does not wait for longer than it may', async () => {
  const arrived = Promise.withResolvers<void>();
  const listener = listenWith(() => {
    arrived.resolve();
    return new Promise(() => {});
  });
  const running = fetch(listener.url).catch(() => 'cut off');
  await arrived.promise;
  const started = performance.now();
  await listener.stop(200);
  expect(performance.now() - started).toBeWithin(150, 2000);
  expect(await running).toBe('cut off');
});

test('a stop with an idle connection open is soon over', async () => {
  const listener = listenWith(async () => new Response('x'));
  await (await fetch(listener.url)).text();
  const started = performance.now();
  await listener.stop(10_000);
  expect(performance.now() - started).toBeLessThan(3000);
});

test('a stop gives the port back', async () => {
  const first = listenWith(async () => new Response('first'));
  await first.stop(1000);
  const second = listen({ host: '127.0.0.1', port: first.port, handle: async () => new Response('second') });
  expect(await (await fetch(second.url)).text()).toBe('second');
  await second.stop(0);
});

test('a port that is taken is an error with its code', async () => {
  // Of a node:net server, because Bun.serve takes a port twice within one process.
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  const listenAgain = () => listen({ host: '127.0.0.1', port, handle: async () => new Response('x') });
  expect(listenAgain).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }));
  other.close();
});

test('the URL has the real port, and brackets around IPv6', async () => {
  const v4 = listenWith(async () => new Response('x'));
  expect(v4.url).toBe(`http://127.0.0.1:${v4.port}`);
  expect(v4.port).toBeGreaterThan(0);
  await v4.stop(0);
  const v6 = listen({ host: '::1', port: 0, handle: async (_, { address }) => new Response(address) });
  expect(v6.url).toBe(`http://[::1]:${v6.port}`);
  expect(await (await fetch(v6.url)).text()).toBe('::1');
  await v6.stop(0);
});
