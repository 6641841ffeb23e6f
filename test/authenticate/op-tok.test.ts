/** The OpTok: its shape, its header, its key. */
import { describe, expect, test } from 'bun:test';
import { createHmac } from 'node:crypto';
import { createFileAuthorityKeys } from '../../src/authority/file-authority-keys.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import { createKey, signBytes } from '../support/keys.ts';
import { authorityKeysOf, createHarness } from '../support/service.ts';
import { decodePart, encode, opTokMembers, signMembers, signText } from '../support/tokens.ts';

const harness = await createHarness();
const { authorityKey, clientKey } = harness;
const good = harness.opTok();
const [header = '', payload = '', signature = ''] = good.split('.');

/** The same bytes for a lenient decoder: the unused bits of the last character set. */
function withTrailingBits(part: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return part.slice(0, -1) + alphabet.charAt(alphabet.indexOf(part.slice(-1)) | 1);
}

/** An OpTok whose header part, or payload part, has a length that leaves unused bits. */
function opTokWithUnusedBits(part: 0 | 1): string[] {
  for (let length = 1; ; length += 1) {
    const filler = { zzz: 'x'.repeat(length) };
    const parts = harness.opTok({ header: filler, claims: filler }).split('.');
    if (parts[part]?.length && parts[part].length % 4 !== 0) return parts;
  }
}

describe('a compact JWS in strict base64url', () => {
  test('accepts the OpTok that the vectors below are made of', async () => {
    expectToken(await ask(harness, { opTok: good }));
  });

  test.each([
    ['is empty', ''],
    ['is one word', 'letmein'],
    ['has two parts', `${header}.${payload}`],
    ['has four parts', `${good}.${signature}`],
    ['has five parts, as a JWE', `${header}.${payload}.${signature}.${payload}.${signature}`],
    ['has an empty header', `.${payload}.${signature}`],
    ['has an empty payload', `${header}..${signature}`],
    ['has an empty signature', `${header}.${payload}.`],
    ['has a padded header', `${header}=.${payload}.${signature}`],
    ['has a padded signature', `${header}.${payload}.${signature}==`],
    ['has a space inside', `${header}.${payload.slice(0, 9)} ${payload.slice(9)}.${signature}`],
    ['has spaces around a dot', `${header} . ${payload}.${signature}`],
    ['has a tab inside', `${header}.${payload.slice(0, 9)}\t${payload.slice(9)}.${signature}`],
    ['has base64 in place of base64url', `${header}.${payload}.+${signature.slice(1)}`],
    ['has a slash', `${header}.${payload}.${signature.slice(1)}/`],
    ['has a percent sign', `${header}.${payload}.${signature.slice(1)}%`],
    ['has a part of impossible length', `${header}.${payload}.${signature}AAA`],
    ['is another scheme twice', `Bearer ${good}`],
    ['has a header that is no JSON', `${encode('{typ}')}.${payload}.${signature}`],
    ['has a header that is an array', signText('[]', '{}', authorityKey)],
    ['has a header that is null', signText('null', '{}', authorityKey)],
    ['has a payload that is a string', signText('{"typ":"at+jwt","alg":"ES256"}', '"x"', authorityKey)],
    ['has a payload that is a number', signText('{"typ":"at+jwt","alg":"ES256"}', '1', authorityKey)],
    [
      'has a payload that is not UTF-8',
      `${header}.${Buffer.from('{"sub":"\xff"}', 'latin1').toString('base64url')}.${signature}`,
    ],
  ])('refuses an OpTok that %s', async (_, opTok) => {
    expectRefusal(await ask(harness, { opTok }), 'token-malformed');
  });

  test.each([
    ['an encrypted one', `${good}.${payload}.${signature}`, 'encrypted (five parts, a JWE)'],
    ['an opaque one', 'ory_at_c2VjcmV0', 'opaque'],
    ['a long one', harness.opTok({ claims: { filler: 'x'.repeat(16 * 1024) } }), 'longer than 16384'],
  ])('says of %s what it is and what to change', async (_, opTok, words) => {
    const { refusal } = (await ask(harness, { opTok })).decision;
    expect(refusal?.detail).toContain(words);
    expect(refusal?.detail).not.toContain(opTok.slice(0, 10));
  });

  test.each([
    ['header', 0],
    ['payload', 1],
  ] as const)('refuses trailing bits in the %s', async (_, part) => {
    const parts = opTokWithUnusedBits(part);
    expectToken(await ask(harness, { opTok: parts.join('.') }));
    parts[part] = withTrailingBits(parts[part] ?? '');
    expectRefusal(await ask(harness, { opTok: parts.join('.') }), 'token-malformed');
  });

  test('refuses trailing bits in the signature', async () => {
    expect(signature.length % 4).toBe(2);
    const opTok = `${header}.${payload}.${withTrailingBits(signature)}`;
    expectRefusal(await ask(harness, { opTok }), 'token-malformed');
  });

  test('refuses a well-signed OpTok of more than 16 KiB, and one of many dots', async () => {
    const long = harness.opTok({ claims: { filler: 'x'.repeat(16 * 1024) } });
    expectRefusal(await ask(harness, { opTok: long }), 'token-malformed');
    expectRefusal(await ask(harness, { opTok: '.'.repeat(16_000) }), 'token-malformed');
  });

  test('accepts a large OpTok below the limit', async () => {
    expectToken(await ask(harness, { opTok: harness.opTok({ claims: { filler: 'x'.repeat(8000) } }) }));
  });
});

describe('typ is one of authority.tokenTypes', () => {
  test.each(['at+jwt', 'AT+JWT', 'application/at+jwt', 'Application/At+Jwt'])('accepts %s', async (typ) => {
    expectToken(await ask(harness, { opTok: harness.opTok({ header: { typ } }) }));
  });

  test.each([
    [undefined],
    ['JWT'],
    ['dpop+jwt'],
    ['id_token'],
    ['logout+jwt'],
    [''],
    ['at+jwt '],
    ['text/at+jwt'],
    ['application/application/at+jwt'],
    [null],
    [7],
    [['at+jwt']],
    [{ typ: 'at+jwt' }],
  ])('refuses %j', async (typ) => {
    expectRefusal(await ask(harness, { opTok: harness.opTok({ header: { typ } }) }), 'token-type');
  });

  test('refuses a DPoP proof of the client in the place of an OpTok', async () => {
    expectRefusal(await ask(harness, { opTok: harness.proof(good) }), 'token-type');
  });

  test('accepts a missing typ by the word absent, and nothing else by it', async () => {
    const lenient = await createHarness({ opTok: { tokenTypes: ['jwt', 'absent', 'dpop+jwt'] } });
    const withType = (typ: unknown) => ask(lenient, { opTok: lenient.opTok({ header: { typ } }) });
    expectToken(await withType(undefined));
    expectToken(await withType('JWT'));
    for (const typ of ['absent', 'application/absent', 'at+jwt', '', null, 'dpop+jwt'])
      expectRefusal(await withType(typ), 'token-type');
  });

  test('says in the log which typ came, which are admitted and what to do', async () => {
    const answer = await ask(harness, { opTok: harness.opTok({ header: { typ: 'JWT' } }) });
    expect(answer.decision.refusal?.detail).toBe(
      'The OpTok\'s typ is "JWT"; authority.tokenTypes is [at+jwt]. Add its type there, or let the Authority issue at+jwt (RFC 9068).',
    );
  });

  test('accepts what the configuration names besides', async () => {
    const lenient = await createHarness({ opTok: { tokenTypes: ['at+jwt', 'jwt'] } });
    expectToken(await ask(lenient, { opTok: lenient.opTok({ header: { typ: 'JWT' } }) }));
  });
});

describe('alg is listed, never none and never symmetric; crit is refused', () => {
  const { claims } = opTokMembers(authorityKey, clientKey, harness.clock.now);

  test.each([
    ['none with a signature', signMembers({ typ: 'at+jwt', alg: 'none' }, claims, authorityKey)],
    ['none in capitals', signMembers({ typ: 'at+jwt', alg: 'None' }, claims, authorityKey)],
    ['HS256 with the public key as its secret', hmacToken()],
    ['ES512, which is not listed', harness.opTok({ header: { alg: 'ES512' } })],
    ['es256, which is another word', harness.opTok({ header: { alg: 'es256' } })],
    ['a missing alg', harness.opTok({ header: { alg: undefined } })],
    ['a number', harness.opTok({ header: { alg: 256 } })],
    ['an array', harness.opTok({ header: { alg: ['ES256'] } })],
    ['__proto__', harness.opTok({ header: { alg: '__proto__' } })],
  ])('refuses %s', async (_, opTok) => {
    expectRefusal(await ask(harness, { opTok }), 'token-algorithm');
  });

  function hmacToken(): string {
    const input = `${encode(JSON.stringify({ typ: 'at+jwt', alg: 'HS256' }))}.${encode(JSON.stringify(claims))}`;
    const secret = authorityKey.publicKey.export({ type: 'spki', format: 'pem' });
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
  }

  test('refuses alg none without a signature', async () => {
    const unsigned = `${encode('{"typ":"at+jwt","alg":"none"}')}.${payload}.`;
    expectRefusal(await ask(harness, { opTok: unsigned }), 'token-malformed');
  });

  test('refuses an algorithm that the configuration leaves out', async () => {
    const strict = await createHarness({ opTok: { algorithms: ['EdDSA'] } });
    expectRefusal(await ask(strict), 'token-algorithm');
  });

  test.each(['ES256', 'ES384', 'EdDSA', 'PS256', 'RS256'] as const)('accepts %s', async (algorithm) => {
    expectToken(await ask(await createHarness({ authorityKey: await createKey(algorithm) })));
  });

  test.each([[['exp']], [['b64']], [[]], [null], ['exp']])('refuses crit %j', async (crit) => {
    const opTok = harness.opTok({ header: { crit, b64: false } });
    expectRefusal(await ask(harness, { opTok }), 'token-malformed');
  });
});

describe("the key comes from the Authority's key set alone", async () => {
  const attacker = await createKey('ES256');

  test.each([
    ['jwk', { jwk: attacker.publicJwk }],
    ['jwk under a kid of the Authority', { jwk: { ...attacker.publicJwk, kid: authorityKey.thumbprint } }],
    ['x5c', { x5c: [attacker.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')] }],
    ['jku', { jku: 'https://attacker.example/jwks.json' }],
    ['x5u', { x5u: 'https://attacker.example/chain.pem' }],
  ])("refuses an attacker's signature with his key in %s", async (_, extra) => {
    const opTok = harness.opTok({ header: extra, key: attacker });
    expectRefusal(await ask(harness, { opTok }), 'token-signature');
  });

  test('refuses an attacker who names his own kid', async () => {
    const header = { kid: attacker.thumbprint, jwk: attacker.publicJwk };
    expectRefusal(
      await ask(harness, { opTok: harness.opTok({ header, key: attacker }) }),
      'token-key-unknown',
    );
  });

  test('accepts an OpTok whose header holds a foreign key, by the key of the Authority', async () => {
    expectToken(await ask(harness, { opTok: harness.opTok({ header: { jwk: attacker.publicJwk } }) }));
  });

  test.each(['../../etc/passwd', "' OR 1=1 --", '__proto__', 'constructor', '', 'x'.repeat(5000)])(
    'takes the kid %j for a name in a map',
    async (kid) => {
      expectRefusal(await ask(harness, { opTok: harness.opTok({ header: { kid } }) }), 'token-key-unknown');
    },
  );

  test.each([[7], [null], [{}], [['a']], [true]])('refuses the kid %j as malformed', async (kid) => {
    expectRefusal(await ask(harness, { opTok: harness.opTok({ header: { kid } }) }), 'token-malformed');
  });

  test('tries each key under the kid that fits the algorithm', async () => {
    const published = [attacker, authorityKey].map(({ publicJwk }) => ({ ...publicJwk, kid: 'shared' }));
    const authorityKeys = createFileAuthorityKeys(JSON.stringify({ keys: published }));
    const shared = await createHarness({ authorityKey, clientKey, authorityKeys });
    const opTok = shared.opTok({ header: { kid: 'shared' } });
    expectToken(await ask(shared, { opTok }));
    const other = await createKey('ES256');
    const forged = shared.opTok({ header: { kid: 'shared' }, key: other });
    expectRefusal(await ask(shared, { opTok: forged }), 'token-signature');
  });

  test('finds the only key of the set without a kid, and none where two would do', async () => {
    const opTok = harness.opTok({ header: { kid: undefined } });
    expectToken(await ask(harness, { opTok }));
    const authorityKeys = authorityKeysOf(authorityKey, attacker);
    const two = await createHarness({ authorityKey, clientKey, authorityKeys });
    expectRefusal(await ask(two, { opTok }), 'token-key-unknown');
  });

  test.each([
    ['its claims', (parts: string[]) => [parts[0], encode(changedClaims()), parts[2]]],
    ['its header', (parts: string[]) => [encode(changedHeader()), parts[1], parts[2]]],
    ['its signature', (parts: string[]) => [parts[0], parts[1], `AAAA${parts[2]?.slice(4)}`]],
    ['a signature of other length', (parts: string[]) => [parts[0], parts[1], 'AAAA']],
  ])('refuses an OpTok after a change of %s, also when the good one was seen before', async (_, change) => {
    expectToken(await ask(harness, { opTok: good }));
    const opTok = change(good.split('.')).join('.');
    expectRefusal(await ask(harness, { opTok }), 'token-signature');
  });

  function changedClaims(): string {
    return JSON.stringify({ ...decodePart(good, 1), 'stellaops:plan': 'enterprise' });
  }

  function changedHeader(): string {
    return JSON.stringify({ ...decodePart(good, 0), extra: 1 });
  }

  test('refuses a signature in DER form', async () => {
    const raw = signBytes(`${header}.${payload}`, authorityKey);
    const opTok = `${header}.${payload}.${Buffer.concat([Buffer.from([0x30, 0x44]), raw]).toString('base64url')}`;
    expectRefusal(await ask(harness, { opTok }), 'token-signature');
  });
});
