/** Discovery: what a client believes of an Authority. */
import { expect, test } from 'bun:test';
import { discoverAuthority } from '../../src/client/authority.ts';
import { startAuthority } from '../support/authority.ts';
import { plainHttp } from '../support/client-parts.ts';
import { type FakeServer, startFakeServer } from '../support/fake-server.ts';

const OIDC = '/.well-known/openid-configuration';

/** An Authority with this metadata at this path, and nothing elsewhere. */
function serveMetadata(path: string, metadataOf: (url: string) => unknown): FakeServer {
  const server: FakeServer = startFakeServer((heard) =>
    heard.path === path ? Response.json(metadataOf(server.url)) : new Response('nothing', { status: 404 }),
  );
  return server;
}

test('oidc-provider is discovered', async () => {
  await using authority = await startAuthority({ clients: [{ id: 'builder' }] });
  expect(await discoverAuthority(authority.issuer, plainHttp)).toMatchObject({
    tokenEndpoint: `${authority.issuer}/token`,
    revocationEndpoint: null,
    deviceAuthorizationEndpoint: null,
    bindsToCertificates: false,
    dpopAlgorithms: expect.arrayContaining(['ES256', 'EdDSA']),
  });
});

test('an issuer with a path is asked below that path', async () => {
  await using server = serveMetadata(`/realms/r${OIDC}`, (url) => ({
    issuer: `${url}/realms/r`,
    token_endpoint: `${url}/realms/r/token`,
  }));
  const authority = await discoverAuthority(`${server.url}/realms/r`, plainHttp);
  expect(authority.tokenEndpoint).toBe(`${server.url}/realms/r/token`);
});

test('an Authority that knows RFC 8414 alone is discovered', async () => {
  await using server = serveMetadata('/.well-known/oauth-authorization-server/realms/r', (url) => ({
    issuer: `${url}/realms/r`,
    token_endpoint: `${url}/token`,
    tls_client_certificate_bound_access_tokens: true,
    mtls_endpoint_aliases: { token_endpoint: 'https://mtls.example.com/token' },
  }));
  const found = {
    issuer: `${server.url}/realms/r`,
    tokenEndpoint: `${server.url}/token`,
    deviceAuthorizationEndpoint: null,
    revocationEndpoint: null,
    scopes: null,
    bindsToCertificates: true,
    dpopAlgorithms: null,
    authenticationMethods: null,
    assertionAlgorithms: null,
  };
  expect(await discoverAuthority(found.issuer, plainHttp)).toEqual(found);
  const http = { ...plainHttp, clientCertificate: { certificate: '', key: '' } };
  const tokenEndpoint = 'https://mtls.example.com/token';
  expect(await discoverAuthority(found.issuer, http)).toEqual({ ...found, tokenEndpoint });
});

test.each([
  ['of its own', '/device', true],
  ['in the clear', 'http://other.example.com/device', false],
  ['that is no text', 7, false],
] as const)(
  'of an endpoint %s for the login it believes what it can use',
  async (_what, endpoint, isUsable) => {
    await using server = serveMetadata(OIDC, (url) => ({
      issuer: url,
      token_endpoint: `${url}/token`,
      device_authorization_endpoint: endpoint === '/device' ? `${url}/device` : endpoint,
      revocation_endpoint: endpoint === '/device' ? `${url}/revoke` : endpoint,
    }));
    expect(await discoverAuthority(server.url, plainHttp)).toMatchObject({
      deviceAuthorizationEndpoint: isUsable ? `${server.url}/device` : null,
      revocationEndpoint: isUsable ? `${server.url}/revoke` : null,
    });
  },
);

test.each([
  [
    'another issuer',
    { issuer: 'https://other.example.com', token_endpoint: 'https://x/' },
    'names the issuer https://other.example.com',
  ],
  ['no issuer', { token_endpoint: 'https://x/' }, 'names the issuer none'],
  ['no object', [], 'did not answer with a JSON object'],
  ['an issuer without a token endpoint', { issuer: null }, 'has no token_endpoint'],
  [
    'a token endpoint in the clear',
    { issuer: null, token_endpoint: 'http://other.example.com/' },
    'has a token_endpoint that is neither https nor on loopback',
  ],
  [
    'a token endpoint in the clear for clients with a certificate',
    {
      issuer: null,
      token_endpoint: 'https://x/',
      mtls_endpoint_aliases: { token_endpoint: 'http://other.example.com/' },
    },
    'has a token_endpoint that is neither',
  ],
] as const)('metadata of %s is refused', async (_what, metadata, message) => {
  // An issuer that is null is the right one.
  const isRight = 'issuer' in metadata && metadata.issuer === null;
  await using server = serveMetadata(OIDC, (url) => (isRight ? { ...metadata, issuer: url } : metadata));
  const http = { ...plainHttp, clientCertificate: { certificate: '', key: '' } };
  const fault: Error = await discoverAuthority(server.url, http).catch((cause) => cause);
  expect(fault.message).toStartWith(`discovery: ${server.url}${OIDC} `);
  expect(fault.message).toContain(message);
});

test('a server that is no Authority is told apart from one that fails', async () => {
  await using none = startFakeServer(() => new Response('nothing', { status: 404 }));
  await expect(discoverAuthority(none.url, plainHttp)).rejects.toThrow(
    "answered 404; is this the Authority's issuer",
  );
  await using failing = startFakeServer(() => new Response('', { status: 500 }));
  await expect(discoverAuthority(failing.url, plainHttp)).rejects.toThrow(/answered 500$/);
});

test.each(['authority.example.com', 'https://authority.example.com/?x=1', ''])(
  'an issuer is a URL without a query, which %p is not',
  async (issuer) => {
    await expect(discoverAuthority(issuer, plainHttp)).rejects.toThrow('given as the URL of its issuer');
  },
);
