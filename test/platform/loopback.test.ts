/** Which hosts count as this machine. */
import { expect, test } from 'bun:test';
import { isLoopback, isSecureUrl } from '../../src/platform/loopback.ts';

test.each([
  '127.0.0.1',
  '127.255.255.254',
  'localhost',
  'LocalHost',
  '::1',
  '[::1]',
  '0:0:0:0:0:0:0:1',
  '[0:0::0:1]',
  '::ffff:127.0.0.1',
  '::FFFF:127.9.9.9',
  '[::ffff:7f00:1]',
])('%s is this machine', (host) => {
  expect(isLoopback(host)).toBe(true);
});

test.each([
  '127.evil.example',
  '127.0.0.1.evil.example',
  'localhost.evil.example',
  'registry.localhost',
  'localhost.',
  'notlocalhost',
  '127.0.0.1.',
  '127.0.0.256',
  '127.1',
  '1127.0.0.1',
  '128.0.0.1',
  '0.0.0.0',
  '10.127.0.0.1',
  '::',
  '::2',
  '::1:1',
  '::127.0.0.1',
  '::ffff:10.0.0.1',
  '[::ffff:7e00:1]',
  'fe80::1',
  '::1%lo',
  '[localhost]',
  '[127.0.0.1]',
  '[::1',
  'localhost ',
  'locаlhost',
  '',
])('%j is not this machine', (host) => {
  expect(isLoopback(host)).toBe(false);
});

test('an address in a URL counts however it is written', () => {
  for (const url of ['http://127.1/', 'http://2130706433/', 'http://0x7f000001/', 'http://LOCALHOST/'])
    expect([url, isSecureUrl(URL.parse(url))]).toEqual([url, true]);
});

test.each([
  'http://127.evil.example/token',
  'http://localhost.evil.example/token',
  'http://127.0.0.1@evil.example/',
  'https://user@registry.example.com/',
  'https://:password@registry.example.com/',
  'ftp://127.0.0.1/',
  'registry.example.com',
])('%s is not a URL for secrets', (url) => {
  expect(isSecureUrl(URL.parse(url))).toBe(false);
});
