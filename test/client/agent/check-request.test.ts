/** Which requests the agent takes to the registry, by their Host, method, path and origin. */
import { describe, expect, test } from 'bun:test';
import {
  AgentRefusal,
  checkRequest,
  isRegistryPath,
  namesLoopback,
} from '../../../src/client/agent/check-request.ts';

const registry = new URL('https://registry.example.com');
const identity = { scheme: 'http', isOwnHost: (host: string) => namesLoopback(host, 5001) } as const;

/** As Bun.serve makes it: the URL follows the Host field. */
function check(path: string, { host = '127.0.0.1:5001', method = 'GET', headers = {} } = {}) {
  const request = new Request(`http://${host}${path}`, { method, headers: { ...headers, Host: host } });
  try {
    return checkRequest(request, identity, registry);
  } catch (cause) {
    if (cause instanceof AgentRefusal) return `${cause.status} ${cause.code}`;
    throw cause;
  }
}

test.each([
  '/v2/',
  '/v2/team/app/manifests/1',
  '/v2/a/blobs/uploads/u?_state=x%3D%3D&digest=sha256%3Aab',
  '/v2/_catalog',
  '/v2/a/blobs/uploads/u;v=..1',
])('%s goes to the same path of the registry', (path) => {
  expect(check(path)).toEqual({
    target: new URL(`https://registry.example.com${path}`),
    agentOrigin: 'http://127.0.0.1:5001',
  });
});

test.each(['/', '/v2', '/v1/search', '/token', '/v2/../token', '/v2/%2e%2e/token', '//evil.example/v2/'])(
  'nothing is at %s',
  (path) => {
    expect(check(path)).toBe('404 NAME_UNKNOWN');
  },
);

test.each([
  '/v2/..%2ftoken',
  '/v2/a%2F..%2F..%2Ftoken',
  '/v2/%5c..',
  '/v2/%252e',
  '/v2/%00',
  '/v2//evil.example/',
  '/v2/..;/token',
  '/v2/a/..;x=y/..;/token',
  '/v2/a/.;/token',
  '/v2/..%3b/token',
  '/v2/.%2e;/token',
  '/v2/;/..%3B',
  '/V2/',
])('a path that a proxy may decode to another is refused: %s', (path) => {
  expect(isRegistryPath(path)).toBe(false);
});

test.each(['localhost:5001', 'LOCALHOST:5001', '[::1]:5001', '127.0.0.2:5001'])('%s is the agent', (host) => {
  expect(check('/v2/', { host })).toMatchObject({ agentOrigin: `http://${host}` });
});

test.each([
  '',
  '127.0.0.1',
  '127.0.0.1:5002',
  '127.0.0.256:5001',
  '127.0.0.1.evil.example:5001',
  'evil.example:5001',
  'evil.localhost:5001',
  'localhost.evil.example:5001',
  'registry.example.com',
  '127.0.0.1:5001, evil.example',
  'evil.example, 127.0.0.1:5001',
  '127.0.0.1:5001@evil.example',
  '0.0.0.0:5001',
  '2130706433:5001',
  '127.1:5001',
  '127.evil.example:5001',
  '[127.0.0.1]:5001',
  '[localhost]:5001',
  '[::2]:5001',
  '[::ffff:10.0.0.1]:5001',
])('the Host %s is not the agent', (host) => {
  expect(namesLoopback(host, 5001)).toBe(false);
});

test('without a port a Host has that of http', () => {
  expect(namesLoopback('localhost', 80)).toBe(true);
  expect(namesLoopback('localhost:80', 80)).toBe(true);
});

describe('a browser', () => {
  test('whose page has another name for this address is refused', () => {
    const request = new Request('http://evil.example:5001/v2/', { headers: { Host: 'evil.example:5001' } });
    expect(() => checkRequest(request, identity, registry)).toThrow(
      'The Host of the request is not this agent',
    );
  });

  test.each([
    { Origin: 'https://evil.example' },
    { Origin: 'null' },
    { Origin: 'http://127.0.0.1:5001' },
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
  ])('is refused by %p', (headers) => {
    expect(check('/v2/', { headers: headers as Record<string, string> })).toBe('403 DENIED');
  });

  test('may be pointed here by hand', () => {
    expect(check('/v2/', { headers: { 'Sec-Fetch-Site': 'none' } })).toMatchObject({});
    expect(check('/v2/', { headers: { 'Sec-Fetch-Site': 'none' } })).toHaveProperty('target');
  });
});

test.each(['OPTIONS', 'LINK'])('%s is no method of a registry', (method) => {
  expect(check('/v2/', { method })).toBe('405 UNSUPPORTED');
});
