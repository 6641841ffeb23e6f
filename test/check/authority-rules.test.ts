/** What `check` says of Authorities: settings with which no token can pass, and tokens that open more than they should. */
import { describe, expect, test } from 'bun:test';
import { createPolicy } from '../../src/assemble/options.ts';
import { findAuthorityFaults } from '../../src/check/authority-findings.ts';
import { findAuthorityRuleFaults } from '../../src/check/authority-rules.ts';
import { loadText, minimum, writeYaml } from '../config/configuration-text.ts';
import { startFakeServer } from '../support/fake-server.ts';
import { keySetOf, startFaultyAuthority } from '../support/faulty-authority.ts';
import { createKey } from '../support/keys.ts';
import { ISSUER } from '../support/tokens.ts';

const key = await createKey('ES256');

const load = (sections: object) => loadText(writeYaml({ ...minimum, ...sections }).text);
const now = () => Date.now() / 1000;

/** The codes, and what is found of an Authority whose metadata have these members besides. */
async function askOf(
  metadata: object,
  authority: object = {},
  sections: object = {},
  keys: object = keySetOf([key]),
) {
  await using server = startFakeServer(({ path }) =>
    Response.json(path === '/jwks' ? keys : { issuer: ISSUER, jwks_uri: `${server.url}/jwks`, ...metadata }),
  );
  const settings = {
    issuer: ISSUER,
    audiences: ['registry'],
    metadataUrl: `${server.url}/metadata`,
    ...authority,
  };
  const findings = await findAuthorityFaults(load({ authority: settings, ...sections }), now);
  return findings.map(({ severity, code, fault }) => ({ severity, code, fault }));
}

const dpop = { dpop_signing_alg_values_supported: ['ES256', 'RS256'] };
const mtls = { tls_client_certificate_bound_access_tokens: true };

describe('an Authority whose tokens cannot pass', () => {
  test.each<[string, object, object, object]>([
    ['announces DPoP', dpop, {}, {}],
    ['announces certificate binding', mtls, {}, {}],
    ['announces nothing, and need not', {}, { accept: ['none'] }, {}],
    [
      'announces Ed25519 for what is listed as EdDSA',
      { dpop_signing_alg_values_supported: ['Ed25519'] },
      {},
      {},
    ],
  ])('is not one that %s', async (_, metadata, authority, sections) => {
    expect(await askOf(metadata, authority, sections)).toEqual([]);
  });

  test('announces neither DPoP nor certificate binding', async () => {
    expect(await askOf({})).toMatchObject([{ severity: 'warning', code: 'authority-binding' }]);
    expect(await askOf(dpop, { accept: ['mtls'] })).toMatchObject([
      {
        code: 'authority-binding',
        fault: expect.stringContaining('announces dpop; its OpToks must be bound by mtls'),
      },
    ]);
  });

  test('publishes private keys', async () => {
    const keys = { keys: [{ ...key.privateJwk, kid: 'a' }] };
    const [finding] = await askOf(dpop, {}, {}, keys);
    expect(finding).toMatchObject({ severity: 'warning', code: 'authority-keys' });
    expect(JSON.stringify(finding)).not.toContain(key.privateJwk.d ?? '-');
  });

  test('is one of several, and named by its place', async () => {
    await using good = await startFaultyAuthority([key]);
    const authorities = {
      good: { issuer: ISSUER, audiences: ['registry'], metadataUrl: good.metadataUrl },
      gone: { issuer: 'https://gone.example', audiences: ['registry'], metadataUrl: 'http://127.0.0.1:1/' },
    };
    const { authority, ...rest } = minimum;
    const findings = await findAuthorityFaults(loadText(writeYaml({ ...rest, authorities }).text), now);
    expect(findings).toMatchObject([
      {
        code: 'authority',
        fault:
          'Cannot fetch the keys of authorities.gone: http://127.0.0.1:1/ did not answer: connection refused: nothing listens there (ECONNREFUSED).',
      },
    ]);
  });
});

describe('an Authority whose tokens open more than they should', () => {
  const codesOf = (sections: object) => {
    const loaded = load(sections);
    return findAuthorityRuleFaults(loaded, createPolicy(loaded.configuration, new Set())).map(
      ({ code }) => code,
    );
  };
  const plans = {
    community: { repositories: [{ pattern: 'public/*' }] },
    builders: { repositories: [{ pattern: '**', actions: ['pull', 'push'] }] },
  };
  const bearer = (more: object) => ({
    issuer: 'https://ci.example',
    audiences: ['registry.example.com'],
    accept: ['none'],
    ...more,
  });
  const when = { ref: 'refs/heads/main' };

  test.each<[string, object, readonly string[]]>([
    ['bound tokens', { authority: { issuer: 'https://a.example', audiences: ['account'] } }, []],
    ['bearer tokens', { authority: bearer({}) }, ['bearer-only']],
    [
      'an audience of everybody',
      { authority: bearer({ audiences: ['https://ci.example/'] }) },
      ['bearer-only', 'audience-shared'],
    ],
    [
      'the audience of Okta',
      { authority: bearer({ audiences: ['api://default'] }) },
      ['bearer-only', 'audience-shared'],
    ],
    [
      'a default plan that may push',
      { authority: bearer({}), defaultPlan: 'builders' },
      ['bearer-only', 'bearer-writes'],
    ],
    [
      'a rule without conditions',
      { authority: bearer({ planRules: [{ when: {}, plan: 'builders' }] }) },
      ['bearer-only', 'bearer-writes'],
    ],
    [
      'a rule with conditions',
      { authority: bearer({ planRules: [{ when, plan: 'builders' }] }), defaultPlan: 'community' },
      ['bearer-only'],
    ],
    [
      'a rule that no token reaches',
      {
        authority: {
          ...minimum.authority,
          planRules: [
            { when: { ref: 'refs/*' }, plan: 'community' },
            { when, plan: 'builders' },
          ],
        },
      },
      ['rule-unreachable'],
    ],
    [
      'a rule without conditions before others, once',
      {
        authority: {
          ...minimum.authority,
          planRules: [
            { when, plan: 'builders' },
            { when: {}, plan: 'community' },
            { when: { ref: 'refs/tags/*' }, plan: 'builders' },
            { when: {}, plan: 'builders' },
          ],
        },
      },
      ['rule-catch-all'],
    ],
    [
      'no rule without conditions that is the last one',
      {
        authority: {
          ...minimum.authority,
          planRules: [
            { when, plan: 'builders' },
            { when: {}, plan: 'community' },
          ],
        },
      },
      [],
    ],
    [
      'a rule that others reach',
      {
        authority: {
          ...minimum.authority,
          planRules: [
            { when: { ref: 'refs/tags/*' }, plan: 'community' },
            { when, plan: 'builders' },
          ],
        },
      },
      [],
    ],
  ])('is told for %s', (_, sections, codes) => {
    expect(codesOf({ plans, ...sections })).toEqual([...codes]);
  });

  test('is named where there are several, and the others are not', () => {
    const { authority, ...rest } = minimum;
    const loaded = loadText(writeYaml({ ...rest, authorities: { main: authority, ci: bearer({}) } }).text);
    const findings = findAuthorityRuleFaults(loaded, createPolicy(loaded.configuration, new Set()));
    expect(findings.map(({ fault }) => fault)).toEqual([
      'OpToks of ci without a sender constraint are accepted: anyone who has one can use it.',
    ]);
  });
});
