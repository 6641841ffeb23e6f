/** The sample that operators copy: it is a configuration, and says the truth of its defaults. */
import { describe, expect, test } from 'bun:test';
import { z } from 'zod';
import { configurationSchema } from '../../src/config/schema.ts';
import { alternatives } from '../../src/document/issues.ts';
import { judge, loadText, minimum, sampleText } from './configuration-text.ts';

const sample = loadText(sampleText).configuration;
const defaults = loadText(JSON.stringify(minimum)).configuration;

describe('the sample', () => {
  test('is a configuration without a mistake', () => {
    expect(judge(sampleText).message).toBe('');
  });

  test.each(['\uFEFF', '# a comment first\n', '---\n'])('is one after %j too', (start) => {
    expect(loadText(`${start}${sampleText}`).configuration).toEqual(sample);
  });

  test('is one with the line ends of Windows', () => {
    expect(loadText(sampleText.replaceAll('\n', '\r\n')).configuration).toEqual(sample);
  });

  test('has the defaults of the schema, but for what an installation chooses', () => {
    const { authority, signing, registry, plans, defaultPlan, ...rest } = sample;
    if (authority === undefined) throw new Error('The sample has no authority.');
    const { issuer, audiences, ...authorityDefaults } = authority;
    const { issuer: tokenIssuer, keyPath, ...signingDefaults } = signing;
    const { realm, allowedServices, ...registryDefaults } = registry;
    expect({ ...rest }).toMatchObject({
      server: defaults.server,
      senderConstraint: defaults.senderConstraint,
      revokedLicenses: defaults.revokedLicenses,
      logging: defaults.logging,
    });
    expect(defaults.authority).toMatchObject(authorityDefaults);
    expect(defaults.signing).toMatchObject(signingDefaults);
    expect(defaults.registry).toMatchObject(registryDefaults);
    expect([
      issuer,
      audiences,
      tokenIssuer,
      keyPath,
      realm,
      allowedServices,
      plans,
      defaultPlan,
    ]).not.toContain(undefined);
  });

  test('names every key, be it in a comment', () => {
    const keys = leafKeys(configurationSchema.shape);
    expect(keys.length).toBeGreaterThan(30);
    const missing = keys.filter((key) => !new RegExp(`\\b${key.split('.').at(-1)}\\b`).test(sampleText));
    expect(missing).toEqual([]);
  });

  test('has a lifetime of a plan in seconds, and pull where a pattern names no action', () => {
    expect(sample.plans.get('enterprise')?.lifetime).toBe(900);
    expect(sample.plans.get('community')?.repositories).toEqual([
      { pattern: 'stella-ops/public/*', actions: ['pull'] },
    ]);
  });
});

describe('the defaults', () => {
  test('are those of the contract', () => {
    expect(defaults.server).toMatchObject({
      listen: { host: '127.0.0.1', port: 8085 },
      workers: 1,
      trustedProxies: [],
      clientCertificateHeader: { name: 'Client-Cert', format: 'rfc9440' },
      forwardedHeader: 'X-Forwarded-For',
      shutdownGrace: 10,
    });
    expect(defaults.authority).toMatchObject({
      requiredScopes: ['registry.token.issue'],
      algorithms: ['ES256', 'EdDSA', 'PS256', 'RS256'],
      tokenTypes: ['at+jwt'],
      clockSkew: 30,
      claims: { plan: 'stellaops:plan', license: 'stellaops:license' },
    });
    expect(defaults.senderConstraint).toMatchObject({
      accept: ['dpop', 'mtls'],
      dpop: {
        algorithms: ['ES256', 'EdDSA', 'PS256', 'RS256'],
        maxAge: 60,
        nonce: 'off',
        bearerScheme: 'accept',
      },
      replay: { store: 'memory', capacity: 1_000_000 },
    });
    expect(defaults.signing).toMatchObject({ keyId: 'thumbprint', lifetime: 300, additionalKeys: [] });
    expect(defaults.registry).toMatchObject({ grant: 'strict' });
    expect(defaults.logging).toMatchObject({ level: 'info', format: 'auto' });
    expect([defaults.defaultPlan, defaults.anonymousPlan, defaults.limits, defaults.telemetry]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  test('never accept a token that is bound to nobody', () => {
    expect(defaults.senderConstraint.accept).not.toContain('none');
  });

  test('take one realm as a list of one', () => {
    expect(defaults.registry.realm).toEqual([minimum.registry.realm]);
  });
});

/** The keys that hold no mapping of their own, dotted. */
function leafKeys(shape: Readonly<Record<string, z.ZodType>>, parent = ''): string[] {
  return Object.entries(shape).flatMap(([name, schema]) => {
    const object = alternatives(schema).find((choice) => choice instanceof z.ZodObject);
    return object === undefined ? [`${parent}${name}`] : leafKeys(object.shape, `${parent}${name}.`);
  });
}
