/** Which proxy a request goes through, and who is blamed where it gets no answer. */
import { describe, expect, test } from 'bun:test';
import { describeProxies, fetchProxy, proxiesOf, whoFailed } from '../../src/platform/proxy.ts';

const PROXY = 'http://proxy.example.com:3128';
const through = (env: Record<string, string>, url = 'https://authority.example.com/token') =>
  proxiesOf(env)(new URL(url));

describe('the proxy', () => {
  test.each([
    [{ HTTPS_PROXY: PROXY }, { variable: 'HTTPS_PROXY', url: PROXY }],
    [{ https_proxy: 'proxy.example.com:3128' }, { variable: 'https_proxy', url: PROXY }],
    [
      { HTTPS_PROXY: 'http://other', https_proxy: PROXY },
      { variable: 'https_proxy', url: PROXY },
    ],
    [{ ALL_PROXY: PROXY }, { variable: 'ALL_PROXY', url: PROXY }],
    [{ HTTP_PROXY: PROXY }, null],
    [{ HTTPS_PROXY: ' ' }, null],
    [{}, null],
  ])('of an https URL by %p is %p', (env, expected) => {
    expect(through(env as Record<string, string>)).toEqual(expected);
  });

  test.each([
    'authority.example.com',
    'example.com',
    '.example.com',
    '*.example.com',
    'EXAMPLE.COM',
    'authority.example.com:443',
    'other.example.org, authority.example.com',
    'other.example.org authority.example.com',
    '*',
  ])('is not used where NO_PROXY is %s', (names) => {
    expect(through({ HTTPS_PROXY: PROXY, NO_PROXY: names })).toBeNull();
  });

  test.each([
    '',
    'ample.com',
    'authority.example.com:8443',
    'authority',
    'example.com.evil.org',
    '10.0.0.0/8',
  ])('is used where NO_PROXY is %p', (names) => {
    expect(through({ HTTPS_PROXY: PROXY, NO_PROXY: names })?.url).toBe(PROXY);
  });

  test.each(['http://127.0.0.1:1/', 'http://localhost:1/', 'https://[::1]/'])(
    'is never used for %s',
    (url) => {
      const env = { HTTPS_PROXY: PROXY, HTTP_PROXY: PROXY, ALL_PROXY: PROXY };
      expect(through(env, url)).toBeNull();
      expect(fetchProxy(new URL(url), undefined)).toEqual({ proxy: false });
      expect(fetchProxy(new URL(url), proxiesOf(env))).toEqual({ proxy: false });
    },
  );
});

test('the variables in use are named without user name and password', () => {
  expect(
    describeProxies({ HTTPS_PROXY: 'http://me:s3cret@proxy.example.com:3128/?k=s3cret', no_proxy: '.local' }),
  ).toEqual(['HTTPS_PROXY=http://proxy.example.com:3128', 'no_proxy=.local']);
  expect(describeProxies({ HTTPS_PROXY: '::s3cret' })).toEqual(['HTTPS_PROXY=that is not a URL']);
  expect(describeProxies({})).toEqual([]);
});

test('who failed is the proxy, the server, or the server through the proxy', () => {
  const cause = (code: string, message = '') => Object.assign(new Error(message), { code });
  const proxy = { variable: 'HTTPS_PROXY', url: 'http://me:s3cret@proxy:3128' };
  expect(whoFailed('https://a', null, cause('ECONNREFUSED'))).toBe('https://a did not answer');
  expect(whoFailed('https://a', proxy, cause('ECONNREFUSED'))).toBe(
    'the proxy http://proxy:3128 (HTTPS_PROXY), through which https://a is asked, cannot be used',
  );
  expect(
    whoFailed('https://a', proxy, cause('ERR_PROXY_TUNNEL', 'refused: 407 Proxy Authentication Required')),
  ).toBe(
    'the proxy http://proxy:3128 (HTTPS_PROXY) opened no connection to https://a (407 Proxy Authentication Required)',
  );
  expect(whoFailed('https://a', proxy, cause('CERT_HAS_EXPIRED'))).toBe(
    'https://a did not answer through the proxy http://proxy:3128 (HTTPS_PROXY)',
  );
});
