/** What a registry is taken to want for a request before it has said so, and which requests share that. */
import { expect, test } from 'bun:test';
import { requiredAccess, withoutMount } from '../../../src/client/agent/check-request.ts';

function accessOf(method: string, path: string) {
  return requiredAccess(method, new URL(path, 'https://registry.example.com'));
}

test.each([
  ['GET', '/v2/', []],
  ['GET', '/v2/_catalog?n=1', ['registry:catalog:*']],
  ['GET', '/v2/app/tags/list', ['repository:app:pull']],
  ['HEAD', '/v2/team/app/manifests/1', ['repository:team/app:pull']],
  ['GET', '/v2/team/app/blobs/sha256:ab', ['repository:team/app:pull']],
  ['GET', '/v2/team/app/referrers/sha256:ab', ['repository:team/app:pull']],
  ['POST', '/v2/team/app/blobs/uploads/', ['repository:team/app:pull,push']],
  ['PATCH', '/v2/team/app/blobs/uploads/b2a1?_state=x', ['repository:team/app:pull,push']],
  ['PUT', '/v2/team/app/manifests/1', ['repository:team/app:pull,push']],
  ['DELETE', '/v2/team/app/manifests/sha256:ab', ['repository:team/app:delete']],
  ['GET', '/v2/blobs/manifests/manifests/blobs', ['repository:blobs/manifests:pull']],
  [
    'POST',
    '/v2/a/blobs/uploads/?mount=sha256:ab&from=b/c',
    ['repository:a:pull,push', 'repository:b/c:pull'],
  ],
  ['POST', '/v2/a/blobs/uploads/?from=b/c', ['repository:a:pull,push']],
  ['GET', '/v2/something/else', []],
])('%s %s', (method, path, scopes) => {
  expect(accessOf(method, path).usualScopes).toEqual(scopes);
});

test('all of an upload shares one token, and a mount has its own', () => {
  const start = accessOf('POST', '/v2/a/blobs/uploads/').key;
  expect(accessOf('PATCH', '/v2/a/blobs/uploads/1').key).toBe(start);
  expect(accessOf('PUT', '/v2/a/manifests/1').key).toBe(start);
  expect(accessOf('POST', '/v2/a/blobs/uploads/?mount=sha256:ab&from=b').key).not.toBe(start);
  expect(accessOf('GET', '/v2/a/manifests/1').key).not.toBe(start);
  expect(accessOf('POST', '/v2/b/blobs/uploads/').key).not.toBe(start);
});

test('an upload in place of a mount keeps its other parameters', () => {
  const mount = new URL(
    'https://r.example/v2/a/blobs/uploads/?mount=sha256:ab&from=b&digest-algorithm=sha512',
  );
  expect(withoutMount(mount).href).toBe('https://r.example/v2/a/blobs/uploads/?digest-algorithm=sha512');
});
