/** Every reason of the closed list, brought about by a request. */
import { describe, expect, test } from 'bun:test';
import { createNonces } from '../src/authenticate/nonce.ts';
import { createRateLimits } from '../src/limit/rate-limits.ts';
import { RateTable } from '../src/limit/rate-table.ts';
import { RunQueue } from '../src/limit/run-queue.ts';
import { type Reason, Refusal, reasons } from '../src/refusal.ts';
import { type Answer, ask, expectRefusal, parseChallenges, refusalVectors } from './support/ask.ts';
import { createHarness, type HarnessOptions, withCertificate } from './support/service.ts';
import { type Overrides, sha256 } from './support/tokens.ts';

const der = Buffer.from('a certificate');
const bound = { claims: { cnf: { 'x5t#S256': sha256(der) } } };

const withOpTok =
  (overrides: Overrides, options: HarnessOptions = {}) =>
  async () => {
    const harness = await createHarness(options);
    return ask(harness, { opTok: harness.opTok(overrides) });
  };

const withProof =
  (overrides: Overrides, options: HarnessOptions = {}) =>
  async () => {
    const harness = await createHarness(options);
    const opTok = harness.opTok();
    return ask(harness, { opTok, proof: harness.proof(opTok, overrides) });
  };

const withCertificateOf =
  (shown: Uint8Array | null, trusted = true) =>
  async () => {
    const harness = await createHarness();
    const connection = shown === null ? {} : { connection: withCertificate(shown, trusted) };
    return ask(harness, { opTok: harness.opTok(bound), scheme: 'Bearer', proof: null, ...connection });
  };

const withStore = (verdict: 'replayed' | 'full' | 'unavailable') => async () =>
  ask(await createHarness({ replayStore: { rememberedSince: 0, insert: () => verdict } }));

const withAnotherKey = (part: 'opTok' | 'proof') => async () => {
  const harness = await createHarness();
  const opTok = harness.opTok(part === 'opTok' ? { key: harness.clientKey } : {});
  const proof = harness.proof(opTok, part === 'proof' ? { key: harness.authorityKey } : {});
  return ask(harness, { opTok, proof });
};

async function withStrangersProof(): Promise<Answer> {
  const harness = await createHarness();
  const stranger = await createHarness();
  const opTok = harness.opTok();
  return ask(harness, { opTok, proof: stranger.proof(opTok) });
}

async function beyondTheRate(): Promise<Answer> {
  const rateLimits = createRateLimits(RateTable.create(), { count: 1, perSeconds: 60 });
  const harness = await createHarness({ rateLimits });
  await ask(harness);
  return ask(harness);
}

const scenarios: Partial<Record<Reason, () => Promise<Answer>>> = {
  'malformed-request': async () => ask(await createHarness(), { service: null }),
  'malformed-scope': async () => ask(await createHarness(), { scopes: ['nonsense'] }),
  'service-not-allowed': async () => ask(await createHarness(), { service: 'another' }),
  'credentials-missing': async () => ask(await createHarness(), { scheme: 'none', proof: null }),
  'credentials-ambiguous': async () => ask(await createHarness(), { scheme: 'Basic' }),
  'token-malformed': async () => ask(await createHarness(), { opTok: 'letmein', proof: null }),
  'token-type': withOpTok({ header: { typ: 'JWT' } }),
  'token-algorithm': withOpTok({ header: { alg: 'none' } }),
  'token-key-unknown': withOpTok({ header: { kid: 'unknown' } }),
  'token-signature': withAnotherKey('opTok'),
  'token-issuer': withOpTok({ claims: { iss: 'https://evil.example' } }),
  'token-audience': withOpTok({ claims: { aud: 'other' } }),
  'token-expired': withOpTok({ claims: { exp: 1 } }),
  'token-not-yet-valid': withOpTok({ claims: { nbf: 4_000_000_000 } }),
  'token-claims': withOpTok({ claims: { sub: 7 } }),
  'token-scope': withOpTok({ claims: { scope: 'other' } }),
  'token-unbound': withOpTok({ claims: { cnf: undefined } }),
  'proof-missing': async () => ask(await createHarness(), { proof: null }),
  'proof-malformed': async () => ask(await createHarness(), { proof: 'x' }),
  'proof-type': withProof({ header: { typ: 'JWT' } }),
  'proof-algorithm': withProof({ header: { alg: 'HS256' } }),
  'proof-key': withProof({ header: { jwk: undefined } }),
  'proof-signature': withAnotherKey('proof'),
  'proof-method': withProof({ claims: { htm: 'POST' } }),
  'proof-url': withProof({ claims: { htu: 'https://evil.example/token' } }),
  'proof-time': withProof({ claims: { iat: 1 } }),
  'proof-token-hash': withProof({ claims: { ath: 'x' } }),
  'proof-binding': withStrangersProof,
  'proof-nonce': withProof({}, { nonces: createNonces(() => Buffer.alloc(32, 1)) }),
  'proof-replayed': withStore('replayed'),
  'certificate-missing': withCertificateOf(null),
  'certificate-binding': withCertificateOf(Buffer.from('another')),
  'certificate-untrusted': withCertificateOf(der, false),
  'license-revoked': withOpTok({ claims: { 'stellaops:license': 'LIC-REVOKED' } }),
  'plan-missing': withOpTok({}, { policy: { defaultPlan: null } }),
  'plan-unknown': withOpTok({ claims: { 'stellaops:plan': 'unknown' } }),
  'plan-denied': async () => ask(await createHarness(), { scopes: ['repository:secret/x:pull'] }),
  'rate-limited': beyondTheRate,
  overloaded: async () => ask(await createHarness({ queue: new RunQueue(0) })),
  'authority-unavailable': withOpTok(
    {},
    {
      authorityKeys: {
        generation: 0,
        find: () => Promise.reject(new Refusal('authority-unavailable', 'No keys yet.', { retryAfter: 5 })),
      },
    },
  ),
  'replay-unavailable': withStore('unavailable'),
  'replay-full': withStore('full'),
};

test('the list of reasons is closed', () => {
  expect(new Set(refusalVectors.map(({ reason }) => reason))).toEqual(new Set(reasons));
  expect(refusalVectors).toHaveLength(reasons.length);
});

test('every reason has a request that brings it about', () => {
  // An internal fault is brought about in service.test.ts; a bundle expires in the tests of entitlements.
  const covered = [...Object.keys(scenarios), 'internal', 'entitlements-expired'];
  expect(new Set(covered)).toEqual(new Set(reasons));
  expect(covered).toHaveLength(reasons.length);
});

test.each(refusalVectors.map((vector) => [vector.reason, vector] as const))(
  'the table has the status and error of %s',
  (reason, { status, error }) => {
    const refusal = new Refusal(reason, 'x');
    expect([refusal.status, refusal.error]).toEqual([status, error]);
  },
);

describe('each reason, brought about', () => {
  test.each(Object.entries(scenarios) as [Reason, () => Promise<Answer>][])(
    '%s',
    async (reason, scenario) => {
      const answer = await scenario();
      expectRefusal(answer, reason);
      expectChallenges(answer);
      expect(answer.headers.has('retry-after')).toBe([429, 503].includes(answer.status));
      expect(answer.headers.has('dpop-nonce')).toBe(reason === 'proof-nonce');
    },
  );
});

/** Only a 401 has challenges, always three, of which at most one tells the error of the body. */
function expectChallenges({ status, headers, body }: Answer): void {
  const challenges = parseChallenges(headers);
  if (status !== 401) {
    expect(challenges).toEqual([]);
    return;
  }
  expect(challenges.map(({ scheme }) => scheme)).toEqual(['DPoP', 'Bearer', 'Basic']);
  expect(challenges[0]?.parameters.algs).toBe('ES256 EdDSA');
  const told = challenges.flatMap(({ parameters }) => parameters.error ?? []);
  expect(told).toEqual(typeof body.error === 'string' ? [body.error] : []);
}

test('a malformed request has the more exact status where HTTP has one', () => {
  const tooLarge = new Refusal('malformed-request', 'x', { httpFault: 'body-too-large' });
  const mediaType = new Refusal('malformed-request', 'x', { httpFault: 'media-type' });
  expect([tooLarge.status, tooLarge.error, mediaType.status, mediaType.error]).toEqual([
    413,
    'invalid_request',
    415,
    'invalid_request',
  ]);
});
