/** What a client learns from the 401 of a registry, and from whom it takes it. */
import { expect, test } from 'bun:test';
import { parseBearerChallenge, registryHost, requestChallenge } from '../../src/client/challenge.ts';
import { plainHttp } from '../support/client-parts.ts';
import { startFakeServer } from '../support/fake-server.ts';

function challenge(field: string, status = 401) {
  return startFakeServer(() => new Response('', { status, headers: { 'WWW-Authenticate': field } }));
}

test('the realm and the service come from the challenge of GET /v2/', async () => {
  await using server = challenge('Bearer realm="https://auth.example.com/token",service="r"');
  expect(await requestChallenge(server.url, plainHttp)).toEqual({
    realm: 'https://auth.example.com/token',
    service: 'r',
  });
  expect(server.heard.map(({ method, path }) => `${method} ${path}`)).toEqual(['GET /v2/']);
});

test('a host on loopback that speaks no https is asked over http', async () => {
  await using server = challenge('Bearer realm="http://127.0.0.1:1/token",service="r"');
  expect(await requestChallenge(server.url.replace('http://', ''), plainHttp)).toMatchObject({
    service: 'r',
  });
});

test('a host on loopback where nothing listens is told as https', async () => {
  const server = challenge('');
  const host = server.url.replace('http://', '');
  await server[Symbol.asyncDispose]();
  await expect(requestChallenge(host, plainHttp)).rejects.toThrow(
    `registry: https://${host}/v2/ did not answer`,
  );
});

test.each([
  ['Bearer realm="http://auth.example.com/token",service="r"', 'neither https nor on loopback'],
  ['Bearer realm="file:///etc/passwd",service="r"', 'neither https nor on loopback'],
  ['Bearer realm="/token",service="r"', 'neither https nor on loopback'],
  ['Bearer service="r"', 'neither https nor on loopback'],
  ['Bearer realm="https://auth.example.com/token"', 'names no service'],
  ['Basic realm="registry"', 'without a Bearer challenge'],
  ['', 'without a Bearer challenge'],
])('the challenge %s is refused', async (field, message) => {
  await using server = challenge(field);
  await expect(requestChallenge(server.url, plainHttp)).rejects.toThrow(message);
});

test('a registry that wants no token is told from one that does', async () => {
  await using server = startFakeServer(() => Response.json({}));
  await expect(requestChallenge(server.url, plainHttp)).rejects.toThrow(
    '/v2/ answered 200, not 401, so it does not ask for a token',
  );
});

test.each([
  'registry.example.com/team/app',
  'me:pw@registry.example.com',
  'me@registry.example.com',
  'https://registry.example.com/v2/?x=1',
  '',
])('%j is no registry', async (registry) => {
  await expect(requestChallenge(registry, plainHttp)).rejects.toThrow('registry');
});

test('plain http goes to no other machine', async () => {
  await expect(requestChallenge('http://registry.example.com', plainHttp)).rejects.toThrow(
    'is neither https nor on loopback',
  );
});

test.each([
  ['Bearer realm="a",service="b"', { realm: 'a', service: 'b' }],
  ['bearer realm=a , Service = "b"', { realm: 'a', service: 'b' }],
  ['Basic realm="x", Bearer realm="a",scope="p q"', { realm: 'a', scope: 'p q' }],
  ['Bearer realm="a", Basic realm="x"', { realm: 'a' }],
  ['Negotiate YWJj==, Bearer realm="a"', { realm: 'a' }],
  ['Bearer realm="a\\"b,Bearer realm=c"', { realm: 'a"b,Bearer realm=c' }],
  ['Bearer realm="a", Bearer realm="b"', { realm: 'a' }],
  ['Bearer', {}],
  ['Basic realm="Bearer realm=a"', null],
  ['Bearer"', {}],
])('of %s the Bearer challenge is read', (field, parameters) => {
  expect(parseBearerChallenge(field)).toEqual(parameters);
});

test.each([
  ['registry.example.com', 'registry.example.com'],
  ['Registry.Example.com:5000', 'registry.example.com:5000'],
  ['https://registry.example.com/v2/', 'registry.example.com'],
  ['[::1]:5000', '[::1]:5000'],
])('%s is %s in docker’s files', (registry, host) => {
  expect(registryHost(registry)).toBe(host);
});

test.each(['me@registry.example.com', 'registry.example.com/team', 'a b'])(
  '%s is no name in them',
  (registry) => {
    expect(() => registryHost(registry)).toThrow('registry: ');
  },
);
