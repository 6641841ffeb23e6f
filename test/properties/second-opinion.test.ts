/**
 * A second opinion: oauth4webapi's validator of JWT access tokens with DPoP. Whatever we accept, it accepts too.
 *
 * It knows no replay, nonce, mTLS or required scope; it allows 300 s where we allow 60 and 30; it refuses Bearer
 * beside a proof, percent-encoding in htu, and an OpTok without `jti` and `client_id`: none of that is compared.
 */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import * as oauth from 'oauth4webapi';
import type { Reason } from '../../src/refusal.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { createKey } from '../support/keys.ts';
import { createHarness, noCertificate } from '../support/service.ts';
import { AUDIENCE, ISSUER, REALM, SERVICE, sha256 } from '../support/tokens.ts';

const harness = await createHarness({ replayStore: MemoryReplayStore.create(100_000, 0) });
const { authorityKey, clientKey } = harness;
const stranger = await createKey('ES256');
const otherOpTok = harness.opTok();

const authority: oauth.AuthorizationServer = { issuer: ISSUER, jwks_uri: `${ISSUER}/jwks` };
const jwks = { keys: [{ ...authorityKey.publicJwk, kid: authorityKey.thumbprint, use: 'sig' }] };

async function theyAccept(request: Request): Promise<boolean> {
  try {
    await oauth.validateJwtAccessToken(authority, request, AUDIENCE, {
      requireDPoP: true,
      [oauth.clockTolerance]: 30,
      [oauth.customFetch]: async () => Response.json(jwks),
      signingAlgorithms: ['ES256', 'ES384', 'EdDSA', 'PS256', 'RS256'],
    });
    return true;
  } catch {
    return false;
  }
}

/** Why we refuse what they accept: rules that they do not have. */
const ours: readonly Reason[] = [
  'token-malformed',
  'token-not-yet-valid',
  'token-claims',
  'token-audience',
  'token-scope',
  'proof-malformed',
  'proof-key',
  'proof-url',
  'proof-time',
];

type Part = 'opTokHeader' | 'opTokClaims' | 'proofHeader' | 'proofClaims';

const members: Readonly<Record<Part, readonly string[]>> = {
  opTokHeader: ['typ', 'alg', 'kid', 'crit', 'jwk'],
  opTokClaims: ['iss', 'aud', 'sub', 'exp', 'iat', 'nbf', 'cnf', 'scope'],
  proofHeader: ['typ', 'alg', 'jwk', 'crit', 'kid'],
  proofClaims: ['jti', 'htm', 'htu', 'iat', 'ath', 'exp', 'nbf', 'nonce'],
};

const offset = fc.constantFrom(-400, -61, -31, -29, 0, 29, 31, 61, 400);

const value = fc.oneof(
  fc.jsonValue({ maxDepth: 1 }),
  fc.constant(undefined),
  offset.map((seconds) => ({ seconds })),
  fc.constantFrom<unknown>(
    ...['dpop+jwt', 'at+jwt', 'AT+JWT', 'application/at+jwt', 'JWT', 'ES256', 'none', 'HS256', 'EdDSA'],
  ),
  fc.constantFrom<unknown>(
    ...[ISSUER, `${ISSUER}/`, AUDIENCE, [AUDIENCE], ['x', AUDIENCE], 'GET', 'POST', 'get'],
  ),
  fc.constantFrom<unknown>(
    ...[REALM, `${REALM}?a`, `${REALM}#b`, `${REALM}/`, 'HTTPS://REGISTRY.example.com:443/token'],
  ),
  fc.constantFrom<unknown>('https://registry.example.com/x/../token', 'http://registry.example.com/token'),
  fc.constantFrom<unknown>(clientKey.publicJwk, clientKey.privateJwk, stranger.publicJwk, sha256(otherOpTok)),
  fc.constantFrom<unknown>(
    { jkt: clientKey.thumbprint },
    { jkt: stranger.thumbprint },
    { jkt: 7 },
    'registry.token.issue',
  ),
);

const change = fc.oneof(
  ...(Object.keys(members) as Part[]).map((part) =>
    fc.record({ part: fc.constant(part), member: fc.constantFrom(...members[part]), value }),
  ),
);

const scenario = fc.record({
  changes: fc.array(change, { maxLength: 2 }),
  opTokKey: fc.constantFrom(authorityKey, authorityKey, authorityKey, stranger),
  proofKey: fc.constantFrom(clientKey, clientKey, clientKey, stranger),
});

/** Relative times become absolute: their clock is the real one. */
function absolute(given: unknown, now: number): unknown {
  return typeof given === 'object' && given !== null && 'seconds' in given
    ? now + Number(given.seconds)
    : given;
}

test('whatever we accept, the second validator accepts', async () => {
  const seen = { both: 0, neither: 0, theyAlone: 0 };
  await fc.assert(
    fc.asyncProperty(scenario, async ({ changes, opTokKey, proofKey }) => {
      harness.clock.now = Math.floor(Date.now() / 1000);
      const overridesOf = (part: Part) =>
        Object.fromEntries(
          changes
            .filter((changed) => changed.part === part)
            .map(({ member, value: given }) => [member, absolute(given, harness.clock.now)]),
        );
      const opTok = harness.opTok({
        header: overridesOf('opTokHeader'),
        claims: overridesOf('opTokClaims'),
        key: opTokKey,
      });
      const proof = harness.proof(opTok, {
        header: overridesOf('proofHeader'),
        claims: overridesOf('proofClaims'),
        key: proofKey,
      });
      const url = `${REALM}?service=${SERVICE}`;
      const request = () => new Request(url, { headers: { Authorization: `DPoP ${opTok}`, DPoP: proof } });
      const { status } = await harness.handle(request(), noCertificate);
      const reason = harness.decisions.at(-1)?.refusal?.reason;
      if (reason === 'proof-replayed') return;
      const theirs = await theyAccept(request());
      if (status === 200) {
        expect(theirs).toBe(true);
        seen.both += 1;
      } else if (theirs) {
        expect(ours).toContain(reason ?? 'internal');
        seen.theyAlone += 1;
      } else seen.neither += 1;
    }),
    { numRuns: 2500 },
  );
  expect(Math.min(seen.both, seen.neither)).toBeGreaterThan(50);
});
