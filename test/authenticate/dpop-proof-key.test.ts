/** The proof: the key in the header, its signature, its thumbprint. */
import { beforeAll, describe, expect, test } from 'bun:test';
import { randomBytes, sign } from 'node:crypto';
import { calculateJwkThumbprint, type JWK } from 'jose';
import type { JsonObject } from '../../src/authenticate/compact-jws.ts';
import { ask, expectRefusal, expectToken, parseChallenges } from '../support/ask.ts';
import { createKey, type TestKey } from '../support/keys.ts';
import { createHarness, type Harness } from '../support/service.ts';
import { proofMembers, sha256, signWith } from '../support/tokens.ts';

const harness = await createHarness();
const opTok = harness.opTok();
const withJwk = (jwk: unknown) => ask(harness, { opTok, proof: harness.proof(opTok, { header: { jwk } }) });

describe('the jwk is present, public and of a good size', () => {
  const ec = harness.clientKey;
  const publicJwk = ec.publicJwk;

  test.each<[unknown]>([[undefined], [null], ['x'], [7], [true], [[]], [[publicJwk]], [{}]])(
    'refuses the jwk %j',
    async (jwk) => {
      expectRefusal(await withJwk(jwk), 'proof-key');
    },
  );

  test('refuses the private key of the client itself', async () => {
    expectRefusal(await withJwk(ec.privateJwk), 'proof-key');
  });

  test.each(
    ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'].flatMap((member) =>
      ['AQAB', '', null, 0, []].map((value) => [member, value] as const),
    ),
  )('refuses a jwk with the member %s, be it %j', async (member, value) => {
    expectRefusal(await withJwk({ ...publicJwk, [member]: value }), 'proof-key');
  });

  test.each([
    ['a symmetric key', { kty: 'oct', k: 'AQAB' }],
    ['a symmetric key without its value', { kty: 'oct' }],
    ['no kty', { ...publicJwk, kty: undefined }],
    ['an unknown kty', { ...publicJwk, kty: 'XX' }],
    ['a kty of another letter case', { ...publicJwk, kty: 'ec' }],
    ['a kty that is a number', { ...publicJwk, kty: 7 }],
    ['a kty that is an object', { ...publicJwk, kty: {} }],
    ['a kty __proto__', { ...publicJwk, kty: '__proto__' }],
    ['no x', { ...publicJwk, x: undefined }],
    ['no y', { ...publicJwk, y: undefined }],
    ['no crv', { ...publicJwk, crv: undefined }],
    ['an empty x', { ...publicJwk, x: '' }],
    ['an x that is a number', { ...publicJwk, x: 7 }],
    ['an x that is an array', { ...publicJwk, x: ['a'] }],
    [
      'an x of other bytes: no point of the curve',
      { ...publicJwk, x: randomBytes(32).toString('base64url') },
    ],
    ['an x that is too long', { ...publicJwk, x: randomBytes(64).toString('base64url') }],
    ['an x of other characters', { ...publicJwk, x: '!'.repeat(43) }],
    ['the point at infinity', { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) }],
    ['a curve of another name', { ...publicJwk, crv: 'P-384' }],
    ['an unknown curve', { ...publicJwk, crv: 'secp256k1' }],
    ['a curve that is no string', { ...publicJwk, crv: { name: 'P-256' } }],
    ['an OKP key', { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) }],
    ['an OKP key for key agreement', { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) }],
    ['an RSA key without n', { kty: 'RSA', e: 'AQAB' }],
    ['an RSA key whose n is a number', { kty: 'RSA', n: 7, e: 'AQAB' }],
    ['an RSA key whose n is zero', { kty: 'RSA', n: 'AAAA', e: 'AQAB' }],
    ['an RSA key for an ES256 proof', { kty: 'RSA', n: randomBytes(256).toString('base64url'), e: 'AQAB' }],
  ])('refuses a malformed or other key: %s', async (_, jwk) => {
    expectRefusal(await withJwk(jwk), 'proof-key');
  });

  test('a proof names no key of another algorithm', async () => {
    const p384 = await createKey('ES384');
    const header = { alg: 'ES256', jwk: p384.publicJwk };
    expectRefusal(await ask(harness, { opTok, proof: harness.proof(opTok, { header }) }), 'proof-key');
  });

  describe('RSA', () => {
    let rsa: TestKey;
    let rsaHarness: Harness;

    beforeAll(async () => {
      rsa = await createKey('RS256');
      rsaHarness = await createHarness({ clientKey: rsa });
    });

    /** A proof with a changed key, and an OpTok that is bound to that very key. */
    const withRsaJwk = (change: (jwk: JWK) => JsonObject) => {
      const jwk = change(rsa.publicJwk);
      const jkt = sha256(JSON.stringify({ e: jwk.e, kty: jwk.kty, n: jwk.n }));
      const bound = rsaHarness.opTok({ claims: { cnf: { jkt } } });
      const proof = rsaHarness.proof(bound, { header: { jwk } });
      return ask(rsaHarness, { opTok: bound, proof });
    };

    test('accepts 2048 bits', async () => {
      expectToken(await ask(rsaHarness));
    });

    test('refuses 1024 bits, well signed and well bound', async () => {
      const weak = await createHarness({ clientKey: await createKey('RS256', 1024) });
      expectRefusal(await ask(weak), 'proof-key');
    });

    test('refuses 2040 bits behind leading zeros', async () => {
      const n = Buffer.concat([Buffer.alloc(9), randomBytes(255)]).toString('base64url');
      expectRefusal(await withRsaJwk((jwk) => ({ ...jwk, n })), 'proof-key');
    });

    test.each([8200, 16_384])('refuses %d bits', async (bits) => {
      const modulus = randomBytes(bits / 8);
      modulus[0] = 0xff;
      const jwk = { kty: 'RSA', n: modulus.toString('base64url'), e: 'AQAB' };
      expectRefusal(await withRsaJwk(() => jwk), 'proof-key');
    });

    test.each([
      ['p and q but no d', ['p', 'q']],
      ['d alone', ['d']],
      ['the CRT members', ['dp', 'dq', 'qi']],
    ] as const)('refuses a key with %s', async (_, members) => {
      const extra = Object.fromEntries(members.map((member) => [member, rsa.privateJwk[member]]));
      expectRefusal(await withRsaJwk((jwk) => ({ ...jwk, ...extra })), 'proof-key');
    });

    test.each([
      ['no e', undefined],
      ['an empty e', ''],
      ['an e that is a number', 65537],
    ])('refuses a key with %s', async (_, e) => {
      expectRefusal(await withRsaJwk((jwk) => ({ ...jwk, e })), 'proof-key');
    });

    test('refuses a key with an e of zero', async () => {
      expectRefusal(await withRsaJwk((jwk) => ({ ...jwk, e: 'AA' })), 'proof-signature');
    });

    test('refuses an exponent as long as the modulus, and spends less on it than on a signature', async () => {
      const long = await createKey('RS256', 4096);
      const e = randomBytes(512);
      e[511] = (e[511] ?? 0) | 1;
      const jwk = { ...long.publicJwk, e: e.toString('base64url') };
      const jkt = sha256(JSON.stringify({ e: jwk.e, kty: jwk.kty, n: jwk.n }));
      const bound = rsaHarness.opTok({ claims: { cnf: { jkt } } });
      const [header, claims] = rsaHarness.proof(bound, { header: { jwk } }).split('.');
      // As long as the modulus: a shorter one would be refused by its length.
      const signature = Buffer.concat([Buffer.alloc(1), randomBytes(511)]).toString('base64url');
      const proof = `${header}.${claims}.${signature}`;
      const cpuOf = async (work: () => unknown) => {
        const before = process.cpuUsage();
        for (let time = 0; time < 20; time += 1) await work();
        return process.cpuUsage(before).user;
      };
      const refuse = async () => {
        const { decision } = await ask(rsaHarness, { opTok: bound, proof });
        expect(['proof-key', 'proof-signature']).toContain(decision.refusal?.reason ?? '');
      };
      await refuse();
      // To raise to such an exponent takes four times as long as to sign.
      expect(await cpuOf(refuse)).toBeLessThan(
        await cpuOf(() => sign('sha256', Buffer.from('x'), long.privateKey)),
      );
    }, 60_000);
  });
});

describe('the signature verifies with that jwk', async () => {
  const other = await createKey('ES256');

  test('refuses the signature of another key', async () => {
    expectRefusal(
      await ask(harness, { opTok, proof: harness.proof(opTok, { key: other }) }),
      'proof-signature',
    );
  });

  test('refuses a change of the claims', async () => {
    const [header, , signature] = harness.proof(opTok).split('.');
    const [, claims] = harness.proof(opTok).split('.');
    expectRefusal(
      await ask(harness, { opTok, proof: `${header}.${claims}.${signature}` }),
      'proof-signature',
    );
  });

  test.each([
    ['all zero', Buffer.alloc(64)],
    ['too short', Buffer.alloc(63, 1)],
    ['too long', Buffer.alloc(65, 1)],
    ['of one byte', Buffer.alloc(1)],
    ['beyond the order', Buffer.alloc(64, 0xff)],
  ])('refuses a signature that is %s', async (_, signature) => {
    const [header, claims] = harness.proof(opTok).split('.');
    const proof = `${header}.${claims}.${signature.toString('base64url')}`;
    expectRefusal(await ask(harness, { opTok, proof }), 'proof-signature');
  });

  test('refuses a bad signature of a key that was seen and good', async () => {
    expectToken(await ask(harness, { opTok }));
    expectRefusal(
      await ask(harness, { opTok, proof: harness.proof(opTok, { key: other }) }),
      'proof-signature',
    );
  });
});

describe('the thumbprint of the jwk is cnf.jkt', async () => {
  const thief = await createKey('ES256');
  const thiefProof = signWith(proofMembers(thief, opTok, harness.clock.now), thief, {});

  test("refuses a good proof of another's key as invalid_token, though its ath is right", async () => {
    const answer = await ask(harness, { opTok, proof: thiefProof });
    expectRefusal(answer, 'proof-binding');
    expect(answer.body.error).toBe('invalid_token');
    const dpop = parseChallenges(answer.headers).find(({ scheme }) => scheme === 'DPoP');
    expect(dpop?.parameters.error).toBe('invalid_token');
  });

  test('refuses a key that only claims to be the right one by kid or jkt', async () => {
    const jwk = { ...thief.publicJwk, kid: harness.clientKey.thumbprint, jkt: harness.clientKey.thumbprint };
    const header = { jwk, kid: harness.clientKey.thumbprint, jkt: harness.clientKey.thumbprint };
    const proof = harness.proof(opTok, { header, key: thief });
    expectRefusal(await ask(harness, { opTok, proof }), 'proof-binding');
  });

  test('refuses a jkt of another hash or of the whole jwk', async () => {
    const { publicJwk } = harness.clientKey;
    const sha384 = (await calculateJwkThumbprint(publicJwk, 'sha384')).slice(0, 43);
    for (const jkt of [sha384, sha256(JSON.stringify(publicJwk))]) {
      expectRefusal(
        await ask(harness, { opTok: harness.opTok({ claims: { cnf: { jkt } } }) }),
        'proof-binding',
      );
    }
  });

  test('binds by the members that are the key, whatever else the jwk holds', async () => {
    const jwk = { foo: 1, ...harness.clientKey.publicJwk, n: 'AQAB', alg: 'ES256' };
    expectToken(await ask(harness, { opTok, proof: harness.proof(opTok, { header: { jwk } }) }));
  });
});
