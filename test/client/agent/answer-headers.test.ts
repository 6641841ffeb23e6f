/** Where the references in the registry's answers lead, and which of its fields stay behind. */
import { expect, test } from 'bun:test';
import { answerHeaders } from '../../../src/client/agent/forward.ts';

const target = new URL('https://registry.example.com:8443/v2/team/app/blobs/uploads/');
const agent = 'http://127.0.0.1:5001';
const upload = '/v2/team/app/blobs/uploads/b2a1?_state=x-Y_z%3D';

function rewrite(headers: Record<string, string>) {
  return answerHeaders(new Headers(headers), target, agent);
}

test.each([
  `https://registry.example.com:8443${upload}`,
  `http://registry.example.com:8443${upload}`,
  `//registry.example.com:8443${upload}`,
  upload,
  'b2a1?_state=x-Y_z%3D',
])('a Location at the registry leads to the agent: %s', (location) => {
  expect(rewrite({ Location: location }).get('location')).toBe(`${agent}${upload}`);
});

test.each([
  'https://storage.example.net/blob?X-Signature=abc%2B',
  'https://registry.example.com/v2/other-port/',
  'https://registry.example.com:8443/storage/blob?signature=1',
  'https://registry.example.com:8443/v2/..%2fsecret',
  'https://registry.example.com.evil.example:8443/v2/',
])('any other Location is for the client to go to: %s', (location) => {
  expect(rewrite({ Location: location }).get('location')).toBe(location);
});

test('user information in a Location does not make it another registry, and does not reach the agent’s', () => {
  const location = `https://me:pw@registry.example.com:8443${upload}`;
  expect(rewrite({ Location: location }).get('location')).toBe(`${agent}${upload}`);
});

test.each([
  ['</v2/_catalog?last=b&n=2>; rel="next"', `<${agent}/v2/_catalog?last=b&n=2>; rel="next"`],
  [
    '<https://registry.example.com:8443/v2/a/tags/list?n=1>; rel="next"',
    `<${agent}/v2/a/tags/list?n=1>; rel="next"`,
  ],
  ['<https://elsewhere.example/v2/>; rel="next"', '<https://elsewhere.example/v2/>; rel="next"'],
  [
    '</v2/a/tags/list?n=1>; rel="next", </v2/a/tags/list>; rel="first"',
    `<${agent}/v2/a/tags/list?n=1>; rel="next", <${agent}/v2/a/tags/list>; rel="first"`,
  ],
])('the pages of a list follow each other at the agent: %s', (link, expected) => {
  expect(rewrite({ Link: link }).get('link')).toBe(expected);
});

test('what is between the registry and the agent stays there', () => {
  const headers = rewrite({
    'WWW-Authenticate': 'Bearer realm="https://a/token"',
    'Set-Cookie': 'session=1',
    'Strict-Transport-Security': 'max-age=1',
    Connection: 'close, X-Hop',
    'X-Hop': '1',
    'Transfer-Encoding': 'chunked',
    'Docker-Content-Digest': 'sha256:ab',
    'Docker-Upload-UUID': 'b2a1',
    Range: '0-99',
    ETag: '"x"',
    'Content-Encoding': 'gzip',
  });
  expect([...headers.keys()].sort()).toEqual([
    'content-encoding',
    'docker-content-digest',
    'docker-upload-uuid',
    'etag',
    'range',
  ]);
});
