/** The proof: claims, method, time, and the OpTok that it is for. */
import { describe, test } from 'bun:test';
import type { Reason } from '../../src/refusal.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import { createHarness, MAX_AGE, NOW, SKEW } from '../support/service.ts';
import { type Members, proofMembers, sha256, signText } from '../support/tokens.ts';

const harness = await createHarness();
const opTok = harness.opTok();
const withClaims = (claims: Members, method: 'GET' | 'POST' = 'GET') =>
  ask(harness, { method, opTok, proof: harness.proof(opTok, { claims }) });

const notStrings: readonly unknown[] = [undefined, null, true, 7, [], {}, ['x'], { length: 1 }];
const notNumbers: readonly unknown[] = [undefined, null, true, '', String(NOW), [], {}, [NOW]];

describe('jti, htm, htu and ath are strings, iat is a number', () => {
  test.each(
    ['jti', 'htm', 'htu', 'ath'].flatMap((claim) => notStrings.map((value) => [claim, value] as const)),
  )('refuses %s %j', async (claim, value) => {
    expectRefusal(await withClaims({ [claim]: value }), 'proof-malformed');
  });

  test.each<[unknown]>(notNumbers.map((value): [unknown] => [value]))('refuses iat %j', async (iat) => {
    expectRefusal(await withClaims({ iat }), 'proof-malformed');
  });

  test.each(
    ['exp', 'nbf'].flatMap((claim) =>
      notNumbers.filter((value) => value !== undefined).map((value) => [claim, value] as const),
    ),
  )('refuses %s %j', async (claim, value) => {
    expectRefusal(await withClaims({ [claim]: value }), 'proof-malformed');
  });

  test('refuses an empty jti and one of 257 characters, and accepts 1 and 256', async () => {
    expectRefusal(await withClaims({ jti: '' }), 'proof-malformed');
    expectRefusal(await withClaims({ jti: 'x'.repeat(257) }), 'proof-malformed');
    expectToken(await withClaims({ jti: 'x' }));
    expectToken(await withClaims({ jti: 'y'.repeat(256) }));
  });

  test.each(['ünïcödé ✓', '\ud800', '\u0000', ' ', '"\\', '../../x'])('accepts the jti %j', async (jti) => {
    expectToken(await withClaims({ jti }));
  });

  test.each(['1e999', '-1e999'])('refuses the iat %s, which JSON makes infinite', async (iat) => {
    const { header, claims } = proofMembers(harness.clientKey, opTok, NOW);
    const payload = JSON.stringify({ ...claims, iat: 0 }).replace('"iat":0', `"iat":${iat}`);
    const proof = signText(JSON.stringify(header), payload, harness.clientKey);
    expectRefusal(await ask(harness, { opTok, proof }), 'proof-malformed');
  });
});

describe("htm is the request's method, case included", () => {
  test.each([
    ['GET', 'POST'],
    ['GET', 'get'],
    ['GET', 'Get'],
    ['GET', 'GET '],
    ['GET', ''],
    ['GET', 'HEAD'],
    ['GET', '*'],
    ['POST', 'GET'],
    ['POST', 'post'],
  ] as const)('refuses on %s the htm %j', async (method, htm) => {
    expectRefusal(await withClaims({ htm }, method), 'proof-method');
  });

  test.each(['GET', 'POST'] as const)('accepts %s', async (method) => {
    expectToken(await withClaims({ htm: method }, method));
  });
});

describe('no older than maxAge, no further ahead than clockSkew', () => {
  test.each<[string, Members, Reason | null]>([
    ['made now', { iat: NOW }, null],
    ['as old as maxAge', { iat: NOW - MAX_AGE }, null],
    ['a tenth of a second older', { iat: NOW - MAX_AGE - 0.1 }, 'proof-time'],
    ['a second older', { iat: NOW - MAX_AGE - 1 }, 'proof-time'],
    ['as far ahead as the skew', { iat: NOW + SKEW }, null],
    ['a tenth of a second further ahead', { iat: NOW + SKEW + 0.1 }, 'proof-time'],
    ['a second further ahead', { iat: NOW + SKEW + 1 }, 'proof-time'],
    ['from 1970', { iat: 0 }, 'proof-time'],
    ['from before 1970', { iat: -NOW }, 'proof-time'],
    ['in milliseconds', { iat: NOW * 1000 }, 'proof-time'],
    ['of the largest number', { iat: Number.MAX_VALUE }, 'proof-time'],
    ['of the largest negative number', { iat: -Number.MAX_VALUE }, 'proof-time'],
    ['with an exp ahead', { exp: NOW + 1 }, null],
    ['with an exp inside the skew', { exp: NOW - SKEW + 1 }, null],
    ['with an exp at the skew', { exp: NOW - SKEW }, 'proof-time'],
    ['with an exp past', { exp: 1 }, 'proof-time'],
    ['with an nbf past', { nbf: NOW - 1 }, null],
    ['with an nbf at the skew', { nbf: NOW + SKEW }, null],
    ['with an nbf beyond the skew', { nbf: NOW + SKEW + 1 }, 'proof-time'],
    ['with an exp ahead, and too old', { iat: NOW - MAX_AGE - 1, exp: NOW + 600 }, 'proof-time'],
  ])('judges a proof %s', async (_, claims, reason) => {
    const answer = await withClaims(claims);
    if (reason === null) expectToken(answer);
    else expectRefusal(answer, reason);
  });

  test("the service's clock decides, fractions included", async () => {
    const late = await createHarness();
    late.clock.now = NOW + 0.5;
    const claims = { iat: NOW + 0.5 - MAX_AGE };
    const bound = late.opTok();
    expectToken(await ask(late, { opTok: bound, proof: late.proof(bound, { claims }) }));
    late.clock.now += 0.1;
    expectRefusal(await ask(late, { opTok: bound, proof: late.proof(bound, { claims }) }), 'proof-time');
  });
});

describe('ath is the base64url SHA-256 of the OpTok as received', () => {
  test('refuses a proof whose ath names another token', async () => {
    const other = harness.opTok();
    expectRefusal(await ask(harness, { opTok, proof: harness.proof(other) }), 'proof-token-hash');
  });

  test.each([
    ['empty', ''],
    ['in hex', Buffer.from(sha256(opTok), 'base64url').toString('hex')],
    ['padded', `${sha256(opTok)}=`],
    ['the OpTok itself', opTok],
    ['of the claims alone', sha256(opTok.split('.')[1] ?? '')],
    ['of the OpTok with its scheme', sha256(`DPoP ${opTok}`)],
    ['cut short', sha256(opTok).slice(0, 42)],
    ['in another letter case', sha256(opTok).toLowerCase()],
  ])('refuses an ath that is %s', async (_, ath) => {
    expectRefusal(await withClaims({ ath }), 'proof-token-hash');
  });
});
