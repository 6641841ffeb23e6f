/** The OpTok: issuer, audience, time, scopes, confirmation. */
import { describe, expect, test } from 'bun:test';
import type { Reason } from '../../src/refusal.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import { createHarness, NOW, SKEW } from '../support/service.ts';
import { AUDIENCE, ISSUER, type Members, sha256, signText } from '../support/tokens.ts';

const harness = await createHarness();
const { thumbprint } = harness.clientKey;
const wrongTypes: readonly unknown[] = [null, true, 7, '', [], {}, [[]], { toString: 'x' }];

const withClaims = (claims: Members) => ask(harness, { opTok: harness.opTok({ claims }) });

describe('issuer, audience, subject and times, each of its type', () => {
  test.each([
    ['another issuer', 'https://evil.example'],
    ['a trailing slash more', `${ISSUER}/`],
    ['another letter case', ISSUER.toUpperCase()],
    ['an array of it', [ISSUER]],
    ['none', undefined],
    ...wrongTypes.map((value) => [JSON.stringify(value), value] as const),
  ])('refuses an iss that is %s', async (_, iss) => {
    expectRefusal(await withClaims({ iss }), 'token-issuer');
  });

  test.each([[AUDIENCE], [[AUDIENCE]], [['other', AUDIENCE]]])('accepts the audience %j', async (aud) => {
    expectToken(await withClaims({ aud }));
  });

  test.each([
    ['another', 'registries'],
    ['ours as a part of another', `${AUDIENCE} other`],
    ['none', undefined],
    ['an array of others', ['a', 'b']],
    ['ours nested', [[AUDIENCE]]],
    ['ours beside a number', [7, AUDIENCE]],
    ['an object that looks like an array', { 0: AUDIENCE, length: 1 }],
    ...wrongTypes.map((value) => [JSON.stringify(value), value] as const),
  ])('refuses an aud that is %s', async (_, aud) => {
    expectRefusal(await withClaims({ aud }), 'token-audience');
  });

  test.each<[unknown]>([[undefined], ...wrongTypes.map((value): [unknown] => [value])])(
    'refuses the sub %j',
    async (sub) => {
      expectRefusal(await withClaims({ sub }), 'token-claims');
    },
  );

  describe('authority.claims.subject', async () => {
    const byClient = await createHarness({ opTok: { subjectClaim: ['client_id'] } });
    const byPath = await createHarness({ opTok: { subjectClaim: ['act', 'sub'] } });

    test('names the claim that is the subject, at the top or by its path', async () => {
      const flat = await ask(byClient, { opTok: byClient.opTok({ claims: { sub: undefined } }) });
      expectToken(flat);
      expect(flat.decision.grant?.subject).toBe('alice-cli');
      const nested = await ask(byPath, { opTok: byPath.opTok({ claims: { act: { sub: 'robot' } } }) });
      expect(nested.decision.grant?.subject).toBe('robot');
    });

    test.each<[Members]>([
      [{ client_id: undefined }],
      [{ client_id: '' }],
      [{ client_id: 7 }],
      [{ client_id: ['a'] }],
    ])('refuses %j as an OpTok without a subject, though it has a sub', async (claims) => {
      expectRefusal(await ask(byClient, { opTok: byClient.opTok({ claims }) }), 'token-claims');
    });

    test.each<[Members]>([[{}], [{ act: 'sub' }], [{ act: ['sub'] }], [{ act: {} }], [{ act: null }]])(
      'refuses %j, where the path leads nowhere',
      async (claims) => {
        expectRefusal(await ask(byPath, { opTok: byPath.opTok({ claims }) }), 'token-claims');
      },
    );
  });

  test.each(
    ['exp', 'iat', 'nbf'].flatMap((claim) =>
      [...wrongTypes.filter((value) => value !== 7), String(NOW)].map((value) => [claim, value] as const),
    ),
  )('refuses %s %j', async (claim, value) => {
    expectRefusal(await withClaims({ [claim]: value }), 'token-claims');
  });

  test.each(['exp', 'iat'])('refuses an OpTok without %s', async (claim) => {
    expectRefusal(await withClaims({ [claim]: undefined }), 'token-claims');
  });

  test.each<[string, Members, Reason | null]>([
    ['an exp in the future', { exp: NOW + 1 }, null],
    ['an exp just inside the skew', { exp: NOW - SKEW + 1 }, null],
    ['an exp at the skew', { exp: NOW - SKEW }, 'token-expired'],
    ['an exp long ago', { exp: 1 }, 'token-expired'],
    ['a negative exp', { exp: -1 }, 'token-expired'],
    ['an exp in milliseconds', { exp: NOW * 1000 }, null],
    ['an iat at the skew ahead', { iat: NOW + SKEW }, null],
    ['an iat beyond the skew ahead', { iat: NOW + SKEW + 1 }, 'token-not-yet-valid'],
    ['an iat with a fraction', { iat: NOW - 0.5 }, null],
    ['an iat in milliseconds', { iat: NOW * 1000 }, 'token-not-yet-valid'],
    ['an nbf at the skew ahead', { nbf: NOW + SKEW }, null],
    ['an nbf beyond the skew ahead', { nbf: NOW + SKEW + 1 }, 'token-not-yet-valid'],
    ['an nbf in the past', { nbf: NOW - 3600 }, null],
  ])('judges %s', async (_, claims, reason) => {
    const answer = await withClaims(claims);
    if (reason === null) expectToken(answer);
    else expectRefusal(answer, reason);
  });

  test('refuses an exp that JSON makes infinite', async () => {
    const claims = `{"iss":"${ISSUER}","aud":"${AUDIENCE}","sub":"a","iat":1,"exp":1e999}`;
    const opTok = signText('{"typ":"at+jwt","alg":"ES256"}', claims, harness.authorityKey);
    expectRefusal(await ask(harness, { opTok }), 'token-claims');
  });

  test('refuses an OpTok that expired after it was seen and good', async () => {
    const later = await createHarness();
    const opTok = later.opTok({ claims: { exp: NOW + 5 } });
    expectToken(await ask(later, { opTok }));
    later.clock.now = NOW + 5 + SKEW;
    expectRefusal(await ask(later, { opTok }), 'token-expired');
  });

  test('takes a repeated member at its last value, in claim and signature alike', async () => {
    const claims = `{"iss":"${ISSUER}","iss":"https://evil.example","aud":"${AUDIENCE}","sub":"a"}`;
    const opTok = signText('{"typ":"at+jwt","alg":"ES256"}', claims, harness.authorityKey);
    expectRefusal(await ask(harness, { opTok }), 'token-issuer');
  });
});

describe('every required scope is held', async () => {
  const two = await createHarness({ opTok: { requiredScopes: ['registry.token.issue', 'extra'] } });

  test.each<[Members]>([
    [{ scope: 'registry.token.issue' }],
    [{ scope: 'a registry.token.issue b' }],
    [{ scope: '  registry.token.issue  ' }],
    [{ scope: undefined, scp: 'a registry.token.issue' }],
    [{ scope: undefined, scp: ['a', 'registry.token.issue'] }],
    [{ scope: 'other', scp: ['registry.token.issue'] }],
    [{ scope: ['a', 'registry.token.issue'] }],
  ])('accepts %j', async (claims) => {
    expectToken(await withClaims(claims));
  });

  test.each<[Members]>([
    [{ scope: undefined }],
    [{ scope: '' }],
    [{ scope: 'openid profile' }],
    [{ scope: 'registry.token.issued' }],
    [{ scope: 'REGISTRY.TOKEN.ISSUE' }],
    [{ scope: 'registry.token.issue,other' }],
    [{ scope: undefined, scp: [] }],
    [{ scope: undefined, scp: ['a registry.token.issue'] }],
    [{ scope: undefined, scopes: 'registry.token.issue' }],
  ])('refuses %j', async (claims) => {
    expectRefusal(await withClaims(claims), 'token-scope');
  });

  test.each<[Members]>([
    [{ scope: 7 }],
    [{ scope: null }],
    [{ scope: [['registry.token.issue']] }],
    [{ scp: 7 }],
    [{ scp: { 0: 'registry.token.issue' } }],
    [{ scp: ['registry.token.issue', 7] }],
    [{ scope: {} }],
  ])('refuses %j for its type', async (claims) => {
    expectRefusal(await withClaims(claims), 'token-claims');
  });

  test('wants every one of several, wherever they stand, and says which is missing', async () => {
    const partly = await ask(two);
    expectRefusal(partly, 'token-scope');
    expect(partly.body.detail).toContain('extra');
    expectToken(await ask(two, { opTok: two.opTok({ claims: { scp: ['extra'] } }) }));
  });

  test('a forged OpTok is 401 whatever its scope: a stranger learns nothing', async () => {
    const opTok = harness.opTok({ claims: { scope: 'none' }, key: harness.clientKey });
    expectRefusal(await ask(harness, { opTok }), 'token-signature');
  });
});

describe('cnf holds jkt and/or x5t#S256; what else it holds does not count', () => {
  test.each([
    ['an empty object', {}],
    ['null', null],
    ['a string', thumbprint],
    ['an array', [{ jkt: thumbprint }]],
    ['a number', 7],
    ['false', false],
    ['an unknown member alone', { kid: 'x' }],
    ['a whole jwk', { jwk: harness.clientKey.publicJwk }],
    ['a jkt that is a number', { jkt: 7 }],
    ['a jkt that is null', { jkt: null }],
    ['a jkt that is an array', { jkt: [thumbprint] }],
    ['an empty jkt', { jkt: '' }],
    ['a jkt that is too short', { jkt: thumbprint.slice(1) }],
    ['a jkt that is too long', { jkt: `${thumbprint}A` }],
    ['a padded jkt', { jkt: `${thumbprint}=` }],
    ['a jkt with a line feed', { jkt: `${thumbprint}\n` }],
    ['a jkt with a character of base64', { jkt: `+${thumbprint.slice(1)}` }],
    ['an x5t#S256 in hex', { 'x5t#S256': 'a'.repeat(64) }],
    ['an x5t#S256 that is an object', { 'x5t#S256': {} }],
    ['a good jkt and a bad x5t#S256', { jkt: thumbprint, 'x5t#S256': '' }],
    ['an x5t of SHA-1', { x5t: 'a'.repeat(27) }],
    ['another letter case', { JKT: thumbprint }],
  ])('refuses %s, bound or bearer-only', async (_, cnf) => {
    expectRefusal(await withClaims({ cnf }), 'token-claims');
    const bearerOnly = await createHarness({ accept: ['dpop', 'mtls', 'none'] });
    const opTok = bearerOnly.opTok({ claims: { cnf } });
    expectRefusal(await ask(bearerOnly, { opTok, scheme: 'Bearer', proof: null }), 'token-claims');
  });

  test.each([
    ["Keycloak's kind of binding", { jkt: thumbprint, 'kc-jkt-type': 'DPoP' }],
    ['a kid', { jkt: thumbprint, kid: 'x' }],
    ['an object', { jkt: thumbprint, osc: { id: 'x' } }],
  ])('binds by the jkt whatever stands beside it: %s', async (_, cnf) => {
    expectToken(await withClaims({ cnf }));
    const opTok = harness.opTok({ claims: { cnf } });
    expectRefusal(await ask(harness, { opTok, proof: null }), 'proof-missing');
  });

  test('refuses an OpTok without cnf, with and without a proof', async () => {
    const opTok = harness.opTok({ claims: { cnf: undefined } });
    expectRefusal(await ask(harness, { opTok }), 'token-unbound');
    expectRefusal(await ask(harness, { opTok, scheme: 'Bearer', proof: null }), 'token-unbound');
  });

  test('accepts an OpTok without cnf where accept holds none', async () => {
    const bearerOnly = await createHarness({ accept: ['none'] });
    const opTok = bearerOnly.opTok({ claims: { cnf: undefined } });
    expectToken(await ask(bearerOnly, { opTok, scheme: 'Bearer', proof: null }));
    expectRefusal(await ask(bearerOnly), 'token-unbound');
  });

  test.each([
    ['mtls', { jkt: thumbprint }],
    ['dpop', { 'x5t#S256': sha256('a certificate') }],
    ['dpop', { jkt: thumbprint, 'x5t#S256': sha256('a certificate') }],
    ['mtls', { jkt: thumbprint, 'x5t#S256': sha256('a certificate') }],
  ] as const)('refuses where only %s is accepted the cnf %j', async (accepted, cnf) => {
    const narrow = await createHarness({ accept: [accepted], clientKey: harness.clientKey });
    expectRefusal(await ask(narrow, { opTok: narrow.opTok({ claims: { cnf } }) }), 'token-unbound');
  });
});
