/** Exactly one way per request. */
import { describe, expect, test } from 'bun:test';
import { ask, basic, expectRefusal, expectToken, send } from '../support/ask.ts';
import { createHarness, withCertificate } from '../support/service.ts';
import { REALM, SERVICE, sha256 } from '../support/tokens.ts';

const der = Buffer.from('a certificate');
const shown = withCertificate(der);
const harness = await createHarness();
const opTok = harness.opTok({ claims: { cnf: { 'x5t#S256': sha256(der) } } });
const secrets = { opTok, proof: null };

const get = (headers: ConstructorParameters<typeof Headers>[0]) =>
  send(
    harness,
    new Request(`${REALM}?service=${SERVICE}`, { headers: new Headers(headers) }),
    secrets,
    shown,
  );

const post = (form: Record<string, string> | [string, string][], headers: Record<string, string> = {}) => {
  const body = new URLSearchParams([
    ['service', SERVICE],
    ...(Array.isArray(form) ? form : Object.entries(form)),
  ]);
  return send(harness, new Request(REALM, { method: 'POST', headers, body }), secrets, shown);
};

describe('the Authorization header', () => {
  test.each(['Bearer', 'bearer', 'BEARER', 'bEaReR'])(
    'takes the scheme %s in any letter case',
    async (scheme) => {
      expectToken(await get({ Authorization: `${scheme} ${opTok}` }));
    },
  );

  test('tolerates more than one space between scheme and token', async () => {
    expectToken(await get({ Authorization: `Bearer   ${opTok}` }));
  });

  test.each(['alice', '', 'oauth2accesstoken', '<token>', 'a b', 'ü'])(
    'takes Basic with the user %j',
    async (user) => {
      expectToken(await get({ Authorization: basic(opTok, user) }));
    },
  );

  test('takes Basic without padding, and in any letter case', async () => {
    expectToken(
      await get({ Authorization: basic(opTok, 'ab').replace(/=+$/, '').replace('Basic', 'bAsIc') }),
    );
  });

  test.each([
    ['no colon', Buffer.from('alice').toString('base64')],
    ['nothing after the colon', Buffer.from('alice:').toString('base64')],
    ['characters that are no base64', 'ä:b'],
    ['base64url', 'YWxp_2U6-g'],
    ['nothing', ''],
    ['a space inside', `${Buffer.from('a:b').toString('base64')} x`],
    ['a password that is no token', Buffer.from('alice:secret').toString('base64')],
  ])('answers 401 to Basic with %s, so that a client asks its user', async (_, value) => {
    expectRefusal(await get({ Authorization: `Basic ${value}` }), 'token-malformed');
  });

  test('takes everything after the first colon for the OpTok: a second colon is no OpTok', async () => {
    expectRefusal(await get({ Authorization: basic(`x:${opTok}`) }), 'token-malformed');
  });

  test.each(['Bearer', 'Bearer ', 'DPoP', 'Basic'])('answers 401 to %j without a value', async (value) => {
    expectRefusal(await get({ Authorization: value }), 'token-malformed');
  });

  test.each(['', 'Negotiate abc', 'Digest', 'Bearer:x', 'Token x'])(
    'takes the scheme of %j for no credentials',
    async (value) => {
      expectRefusal(await get({ Authorization: value }), 'credentials-missing');
    },
  );

  test('takes an OpTok without a scheme for no credentials', async () => {
    expectRefusal(await get({ Authorization: opTok }), 'credentials-missing');
  });
});

describe('two ways, or one twice', () => {
  test('refuses a repeated Authorization header, of one scheme or two', async () => {
    for (const second of [`Bearer ${opTok}`, basic(opTok), 'Negotiate x'])
      expectRefusal(
        await get([
          ['Authorization', `Bearer ${opTok}`],
          ['Authorization', second],
        ]),
        'credentials-ambiguous',
      );
  });

  test('refuses a header and a form, even where both bring the same', async () => {
    const form = { grant_type: 'password', username: 'alice', password: opTok };
    for (const Authorization of [`Bearer ${opTok}`, basic(opTok), 'Negotiate x', `DPoP ${opTok}`])
      expectRefusal(await post(form, { Authorization }), 'credentials-ambiguous');
  });

  test('refuses a form with a password and a refresh token', async () => {
    const both = { password: opTok, refresh_token: opTok };
    expectRefusal(await post({ grant_type: 'password', ...both }), 'credentials-ambiguous');
    expectRefusal(await post({ grant_type: 'refresh_token', ...both }), 'credentials-ambiguous');
  });

  test.each(['password', 'grant_type'])('refuses a form with %s twice', async (name) => {
    const form: [string, string][] = [
      ['grant_type', 'password'],
      ['password', opTok],
      [name, name === 'password' ? opTok : 'password'],
    ];
    expectRefusal(await post(form), 'malformed-request');
  });
});

describe('the form', () => {
  test('takes the password of grant_type=password', async () => {
    expectToken(
      await post({ grant_type: 'password', username: 'alice', password: opTok, client_id: 'containerd' }),
    );
  });

  test('takes the refresh token of grant_type=refresh_token', async () => {
    expectToken(await post({ grant_type: 'refresh_token', refresh_token: opTok, client_id: 'docker' }));
  });

  test.each<Record<string, string>>([
    { password: '' },
    { grant_type: 'unknown', password: '', refresh_token: '' },
    { grant_type: 'client_credentials', client_secret: 'x' },
    { grant_type: '__proto__', __proto__: 'x' },
    { access_token: 'x' },
  ])('takes %j for no credentials', async (form) => {
    expectRefusal(await post(form), 'credentials-missing');
  });

  test.each<Record<string, string>>([
    { password: 'x' },
    { refresh_token: 'x' },
    { grant_type: 'Password', password: 'x' },
    { grant_type: 'client_credentials', password: 'x' },
    { grant_type: 'authorization_code', refresh_token: 'x' },
    { grant_type: '', password: 'x' },
  ])('refuses %j: a credential without its grant_type is not anonymous', async (form) => {
    expectRefusal(await post(form), 'credentials-ambiguous');
  });

  test.each([
    { grant_type: 'password' },
    { grant_type: 'password', password: '' },
    { grant_type: 'password', password: 'letmein' },
    { grant_type: 'password', refresh_token: '' },
    { grant_type: 'refresh_token' },
  ])('answers 401 to %j', async (form) => {
    expectRefusal(await post(form), 'token-malformed');
  });

  test('takes no credentials from the query, on GET or POST', async () => {
    const query = new URLSearchParams({
      service: SERVICE,
      grant_type: 'password',
      password: opTok,
      access_token: opTok,
    });
    expectRefusal(
      await send(harness, new Request(`${REALM}?${query}`), secrets, shown),
      'credentials-missing',
    );
    const body = new URLSearchParams({ service: SERVICE });
    const posted = new Request(`${REALM}?${query}`, { method: 'POST', body });
    expectRefusal(await send(harness, posted, secrets, shown), 'credentials-missing');
  });
});

test('a request without credentials is told of every way to bring them', async () => {
  const answer = await ask(harness, { scheme: 'none', proof: null });
  expectRefusal(answer, 'credentials-missing');
  expect(answer.body.error).toBeUndefined();
});
