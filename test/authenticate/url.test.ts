/** The proof: htu is a configured realm after RFC 3986 normalisation of both. */
import { describe, expect, test } from 'bun:test';
import { normalizeUrl } from '../../src/authenticate/url.ts';
import { ask, expectRefusal, expectToken, send } from '../support/ask.ts';
import { createHarness } from '../support/service.ts';
import { REALM, SERVICE } from '../support/tokens.ts';
import { loadVectors } from '../support/vectors.ts';

interface HtuVector {
  readonly realm: string;
  readonly htu: unknown;
  /** null: not even a string. */
  readonly same: boolean | null;
  readonly why?: string;
}

describe('htu is a configured realm after normalisation of both', () => {
  test.each(
    loadVectors<HtuVector>('htu').map(
      (vector) => [vector.htu, vector.realm, vector.why ?? '', vector] as const,
    ),
  )('compares %j with %s (%s)', async (_htu, _realm, _why, { realm, htu, same }) => {
    const normalized = normalizeUrl(realm);
    if (normalized === null) throw new Error(`The realm ${realm} of the vector is no URL.`);
    const harness = await createHarness({ dpop: { realms: new Set([normalized]) } });
    const opTok = harness.opTok();
    const answer = await ask(harness, { opTok, proof: harness.proof(opTok, { claims: { htu } }) });
    if (same === true) expectToken(answer);
    else expectRefusal(answer, same === null ? 'proof-malformed' : 'proof-url');
  });

  test('the Host header and the URL of the request play no part', async () => {
    const harness = await createHarness();
    expectToken(await ask(harness, { url: 'http://127.0.0.1:8085/token' }));
    expectToken(
      await ask(harness, { url: 'https://evil.example/auth/token', headers: { Host: 'evil.example' } }),
    );
    const opTok = harness.opTok();
    const proof = harness.proof(opTok, { claims: { htu: 'https://evil.example/token' } });
    const headers = {
      Authorization: `DPoP ${opTok}`,
      DPoP: proof,
      Host: 'evil.example',
      'X-Forwarded-Host': 'evil.example',
      Forwarded: 'host=evil.example;proto=https',
    };
    const request = new Request(`https://evil.example/token?service=${SERVICE}`, { headers });
    expectRefusal(await send(harness, request), 'proof-url');
  });

  test('any of several realms will do, whatever the path of the request', async () => {
    const other = 'http://127.0.0.1:8085/auth/token';
    const harness = await createHarness({ dpop: { realms: new Set([REALM, other]) } });
    const opTok = harness.opTok();
    for (const htu of [REALM, other])
      expectToken(await ask(harness, { opTok, proof: harness.proof(opTok, { claims: { htu } }) }));
  });

  test('refuses a URL of more than 2048 characters, however it would be normalised', async () => {
    const harness = await createHarness();
    const opTok = harness.opTok();
    const proof = harness.proof(opTok, { claims: { htu: `${REALM}?${'x'.repeat(2048)}` } });
    expectRefusal(await ask(harness, { opTok, proof }), 'proof-url');
  });

  test.each([
    'https://h/a b',
    'https://h/%',
    'https://h/%zz',
    'https://h/\\',
    'https://h/"',
    'https://h/ä',
    'https://h/{x}',
  ])('a path that is none makes no URL: %j', (text) => {
    expect(normalizeUrl(text)).toBeNull();
  });

  test('normalising twice is normalising once', () => {
    for (const { htu } of loadVectors<HtuVector>('htu')) {
      const once = normalizeUrl(String(htu));
      if (once !== null) expect(normalizeUrl(once)).toBe(once);
    }
  });
});
