/** Any JSON value in any member of OpTok and proof: a token exactly where all is valid, and never a fault. */
import { expect, test } from 'bun:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { ask } from '../support/ask.ts';
import { createHarness, MAX_AGE, NOW, SKEW } from '../support/service.ts';
import { AUDIENCE, ISSUER, REALM, sha256, signMembers } from '../support/tokens.ts';

const harness = await createHarness({ replayStore: MemoryReplayStore.create(100_000, 0) });
const { authorityKey, clientKey } = harness;
const opTok = harness.opTok();
const runs = { numRuns: 1500 };

type Rule = (value: unknown) => boolean;
/** For each member, which values it may have; undefined = absent. */
type Rules = Readonly<Record<string, Rule>>;

const isAbsent: Rule = (value) => value === undefined;
const isAnything: Rule = () => true;
const is =
  (expected: unknown): Rule =>
  (value) =>
    isDeepStrictEqual(value, expected);
const isNumber =
  (test: (value: number) => boolean): Rule =>
  (value) =>
    typeof value === 'number' && test(value);
const isText =
  (test: (value: string) => boolean): Rule =>
  (value) =>
    typeof value === 'string' && test(value);
const either =
  (...rules: Rule[]): Rule =>
  (value) =>
    rules.some((rule) => rule(value));

const proofHeader: Rules = {
  typ: is('dpop+jwt'),
  alg: is('ES256'),
  jwk: is(clientKey.publicJwk),
  crit: isAbsent,
  kid: isAnything,
  jku: isAnything,
};

const proofClaims: Rules = {
  jti: isText((jti) => jti.length >= 1 && jti.length <= 256),
  htm: is('GET'),
  htu: isText((htu) => [REALM, `${REALM}?x`, `${REALM}#x`].includes(htu)),
  iat: isNumber((iat) => iat >= NOW - MAX_AGE && iat <= NOW + SKEW),
  ath: is(sha256(opTok)),
  exp: either(
    isAbsent,
    isNumber((exp) => exp > NOW - SKEW),
  ),
  nbf: either(
    isAbsent,
    isNumber((nbf) => nbf <= NOW + SKEW),
  ),
  nonce: isAnything,
  foo: isAnything,
};

const opTokHeader: Rules = {
  typ: isText((typ) => typ.toLowerCase().replace('application/', '') === 'at+jwt'),
  alg: is('ES256'),
  kid: either(isAbsent, is(authorityKey.thumbprint)),
  crit: isAbsent,
  jwk: isAnything,
  x5c: isAnything,
};

const holdsScope: Rule = (value) => String(value).split(' ').includes('registry.token.issue');
const isStringArray: Rule = (value) =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');

/** Beyond 2^53 a number is not exact. */
const isLicense = either(
  isText((license) => license !== 'LIC-REVOKED'),
  isNumber((license) => !Number.isInteger(license) || Number.isSafeInteger(license)),
);

const opTokClaims: Rules = {
  iss: is(ISSUER),
  aud: (value) =>
    value === AUDIENCE || (isStringArray(value) && Array.isArray(value) && value.includes(AUDIENCE)),
  sub: isText((sub) => sub !== ''),
  exp: isNumber((exp) => exp > NOW - SKEW),
  iat: isNumber((iat) => iat <= NOW + SKEW),
  nbf: either(
    isAbsent,
    isNumber((nbf) => nbf <= NOW + SKEW),
  ),
  scope: either(
    isText(holdsScope),
    (scope) => isStringArray(scope) && Array.isArray(scope) && scope.includes('registry.token.issue'),
  ),
  scp: either(
    isAbsent,
    isText(() => true),
    isStringArray,
  ),
  cnf: either(is({ jkt: clientKey.thumbprint }), is({ jkt: clientKey.thumbprint, x: 1 })),
  client_id: isAnything,
  jti: isAnything,
  // A list may hold other roles; one that names no plan counts as no claim.
  'stellaops:plan': either(isAbsent, is(null), is('community'), is('enterprise'), Array.isArray),
  'stellaops:license': either(
    isAbsent,
    is(null),
    isLicense,
    (licenses) => Array.isArray(licenses) && licenses.every(isLicense),
  ),
};

/** Values that come near to what a member wants, and any other. */
const value = fc.oneof(
  fc.jsonValue(),
  fc.constant(undefined),
  fc.string(),
  fc.string({ minLength: 250, maxLength: 260 }),
  fc.double(),
  fc.integer({ min: NOW - 100, max: NOW + 100 }),
  fc.constantFrom<unknown>(
    ...[NOW, REALM, `${REALM}?x`, `${REALM}/`, 'GET', 'get', ISSUER, AUDIENCE, [AUDIENCE, 'x']],
  ),
  fc.constantFrom<unknown>(
    ...['dpop+jwt', 'at+jwt', 'AT+JWT', 'ES256', 'none', 'HS256', [], {}, null, '', 0],
  ),
  fc.constantFrom<unknown>(
    clientKey.publicJwk,
    clientKey.privateJwk,
    authorityKey.publicJwk,
    sha256(opTok),
    { jkt: clientKey.thumbprint },
    { jkt: clientKey.thumbprint, x: 1 },
    authorityKey.thumbprint,
    'registry.token.issue x',
    'enterprise',
    'LIC-REVOKED',
  ),
);

const change = (header: Rules, claims: Rules) =>
  fc.oneof(
    ...(['header', 'claims'] as const).map((part) => {
      const rules = part === 'header' ? header : claims;
      return fc.record({ part: fc.constant(part), member: fc.constantFrom(...Object.keys(rules)), value });
    }),
  );

/** What JSON makes of a value: it has no NaN, no infinity, no minus zero. */
const asJson = (given: unknown): unknown =>
  given === undefined ? undefined : JSON.parse(JSON.stringify(given));

function createTally() {
  const seen = { issued: 0, refused: 0 };
  return {
    count: (issued: boolean) => {
      seen[issued ? 'issued' : 'refused'] += 1;
    },
    expectBoth: () => expect(Math.min(seen.issued, seen.refused)).toBeGreaterThan(20),
  };
}

test('any value in any member of the proof', async () => {
  const tally = createTally();
  await fc.assert(
    fc.asyncProperty(change(proofHeader, proofClaims), async (changed) => {
      const overrides = { [changed.part]: { [changed.member]: changed.value } };
      const answer = await ask(harness, { opTok, proof: harness.proof(opTok, overrides) });
      const rules = changed.part === 'header' ? proofHeader : proofClaims;
      const valid = rules[changed.member]?.(asJson(changed.value)) ?? false;
      const { refusal } = answer.decision;
      // The same jti may be drawn twice: that is a replay.
      if (changed.member === 'jti' && refusal?.reason === 'proof-replayed') return;
      expect({ issued: answer.status === 200, status: answer.status }).toEqual({
        issued: valid,
        status: valid ? 200 : 401,
      });
      tally.count(valid);
    }),
    runs,
  );
  tally.expectBoth();
});

test('any value in any member of the OpTok', async () => {
  const tally = createTally();
  await fc.assert(
    fc.asyncProperty(change(opTokHeader, opTokClaims), async (changed) => {
      const overrides = { [changed.part]: { [changed.member]: changed.value } };
      const answer = await ask(harness, { opTok: harness.opTok(overrides) });
      const rules = changed.part === 'header' ? opTokHeader : opTokClaims;
      const valid = rules[changed.member]?.(asJson(changed.value)) ?? false;
      expect({ issued: answer.status === 200, fault: answer.decision.fault }).toEqual({
        issued: valid,
        fault: null,
      });
      if (!valid) expect([401, 403]).toContain(answer.status);
      tally.count(valid);
    }),
    runs,
  );
  tally.expectBoth();
});

test('any JSON as the whole header or payload of the proof or the OpTok', async () => {
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), fc.jsonValue(), async (header, payload) => {
      const proof = signMembers(header, payload, clientKey);
      expect((await ask(harness, { opTok, proof })).status).toBe(401);
      const token = signMembers(header, payload, authorityKey);
      expect((await ask(harness, { opTok: token })).status).toBe(401);
    }),
    { numRuns: 300 },
  );
});

test('any one character of OpTok or proof changed, added or removed', async () => {
  const place = fc.record({
    part: fc.constantFrom('opTok', 'proof'),
    at: fc.nat(2000),
    drop: fc.nat(1),
    add: fc.oneof(fc.stringMatching(/^[A-Za-z0-9_.~=+/-]$/), fc.constantFrom('', ' ', '=')),
  });
  await fc.assert(
    fc.asyncProperty(place, async ({ part, at, drop, add }) => {
      const proof = harness.proof(opTok);
      const whole = part === 'opTok' ? opTok : proof;
      const index = at % whole.length;
      const changed = whole.slice(0, index) + add + whole.slice(index + drop);
      // Header values lose the spaces around them, and `Bearer` and `DPoP` take more than one space before a token.
      if (changed.trim() === whole) return;
      const answer = await ask(
        harness,
        part === 'opTok' ? { opTok: changed, proof } : { opTok, proof: changed },
      );
      expect(answer.status).toBe(401);
    }),
    { numRuns: 1000 },
  );
});
