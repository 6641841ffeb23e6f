/** Where `dev` listens, and to whom its Authority answers. */
import { expect, test } from 'bun:test';
import { isTaken, listenOnLoopback, parseLoopbackAddress } from '../../src/dev/loopback.ts';
import { findFreePort } from '../support/processes.ts';

test.each([
  ['127.0.0.1:8085', '127.0.0.1', 8085],
  ['127.8.9.10:1', '127.8.9.10', 1],
  ['[::1]:65535', '::1', 65535],
  ['LocalHost:8085', 'LocalHost', 8085],
])('takes %s for loopback', (text, host, port) => {
  expect(parseLoopbackAddress(text)).toEqual({ host, port, text: text.toLowerCase() });
});

test.each([
  '0.0.0.0:8085',
  '[::]:8085',
  '192.168.1.1:8085',
  '127.0.0.1.example.com:8085',
  '127.0.0.256:8085',
  'localhost.example.com:8085',
  '127.evil.example:8085',
  'dev.localhost:8085',
  '[localhost]:8085',
  '127.0.0.1',
  '127.0.0.1:0',
  '127.0.0.1:65536',
  ':8085',
  '8085',
  '',
])('takes %p for none', (text) => {
  expect(parseLoopbackAddress(text)).toBeNull();
});

test('listens, says that the address is taken, and lets go of it at once', async () => {
  const address = parseLoopbackAddress(`127.0.0.1:${await findFreePort()}`);
  if (address === null) throw new Error('no address');
  expect(isTaken(address)).toBe(false);
  const listener = listenOnLoopback(address, async () => new Response('here'));
  try {
    expect(await (await fetch(`http://${address.text}/`)).text()).toBe('here');
    expect(isTaken(address)).toBe(true);
    expect(() => listenOnLoopback(address, async () => new Response())).toThrow();
  } finally {
    await listener.stop();
  }
  expect(isTaken(address)).toBe(false);
});
