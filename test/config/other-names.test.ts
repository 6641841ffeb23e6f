/** A configuration of the service that this one replaces: every key of it that is another one here is told with what to write. */
import { describe, expect, test } from 'bun:test';
import { judge, minimum } from './configuration-text.ts';

/** The StellaOps registry token service: its sample, as it stands. */
const STELLAOPS = `authority:
  issuer: https://authority.example.com
  metadataAddress: https://authority.example.com/.well-known/openid-configuration
  requireHttpsMetadata: true
  audiences: [registry]
signing:
  issuer: registry-token.example.com
  keyPath: registry-signing.pem
  lifetime: 00:05:00
registry:
  realm: https://registry.example.com/token
  allowedServices: [registry.example.com]
plans:
  - name: community
    repositories:
      - pattern: stella-ops/public/*
        actions: [pull]
  - name: enterprise
    repositories:
      - pattern: stella-ops//x
defaultPlan: community
revokedLicenses: []
`;

/** The same with the names of .NET's properties. */
const PASCAL = STELLAOPS.replace(
  /^([ -]*)(\w)(\w*):/gm,
  (_, before: string, first: string, rest: string) => `${before}${first.toUpperCase()}${rest}:`,
);

const HTTPS =
  'unknown key; remove it: https is required everywhere but on loopback, and caPath names an authority of your own';
const PLANS =
  'must be a mapping, not a list; write the name of each as its key: { community: {...}, enterprise: {...} }';

describe('a configuration of StellaOps', () => {
  test('is answered with what to write for each key', () => {
    expect(judge(STELLAOPS).message.split('\n')).toEqual([
      'test.yaml:3:3: authority.metadataAddress: unknown key; write `metadataUrl`',
      `test.yaml:4:3: authority.requireHttpsMetadata: ${HTTPS}`,
      `test.yaml:13:1: plans: ${PLANS}`,
      'test.yaml:20:9: plans.enterprise.repositories[0].pattern: has an empty path segment, not "stella-ops//x"',
    ]);
  });

  test('is answered so in the spelling of .NET too, each key at its place', () => {
    const lines = judge(PASCAL).message.split('\n');
    for (const line of [
      'test.yaml:1:1: Authority: unknown key; did you mean `authority`? Letter case counts',
      'test.yaml:2:3: authority.Issuer: unknown key; did you mean `issuer`? Letter case counts',
      'test.yaml:3:3: authority.MetadataAddress: unknown key; write `metadataUrl`',
      `test.yaml:4:3: authority.RequireHttpsMetadata: ${HTTPS}`,
      'test.yaml:8:3: signing.KeyPath: unknown key; did you mean `keyPath`? Letter case counts',
      `test.yaml:13:1: plans: ${PLANS}`,
      'test.yaml:21:1: DefaultPlan: unknown key; did you mean `defaultPlan`? Letter case counts',
    ])
      expect(lines).toContain(line);
    expect(lines.filter((line) => line.includes('is missing'))).toEqual([]);
  });

  test('is accepted once what was told is done', () => {
    const done = STELLAOPS.replace('metadataAddress', 'metadataUrl')
      .replace(/^ *requireHttpsMetadata.*\n/m, '')
      .replace(/^ {2}- name: (\w+)$/gm, '  $1:')
      .replace('stella-ops//x', 'stella-ops/*');
    expect(judge(done).mistakes).toEqual([]);
  });
});

test.each([
  [['Kestrel'], 'write `server.listen` and `server.tls`'],
  [['AllowedHosts'], 'remove it: the Host header decides nothing here'],
  [['logging', 'LogLevel'], 'write `level: info`'],
  [['signing', 'keyFile'], 'write `keyPath`'],
])('the key %j of ASP.NET is told with what to write', ([section = '', key], hint) => {
  const members = key === undefined ? { [section]: 1 } : { [section]: { ...sectionOf(section), [key]: 1 } };
  expect(judge(JSON.stringify({ ...minimum, ...members })).mistakes).toMatchObject([
    { key: key === undefined ? section : `${section}.${key}`, message: `unknown key; ${hint}` },
  ]);
});

test('a variable by such a name is told so too', () => {
  const env = { REGISTRY_TOKEN_AUTHORITY__METADATAADDRESS: 'https://a' };
  expect(judge(JSON.stringify(minimum), env).message).toBe(
    'environment: REGISTRY_TOKEN_AUTHORITY__METADATAADDRESS: is not a key of the configuration; write `metadataUrl`',
  );
});

test('a key that is there in both spellings is told as unknown, and the right one holds', () => {
  const text = JSON.stringify({ ...minimum, Signing: { keyPath: 7 } });
  expect(judge(text).mistakes).toMatchObject([
    { key: 'Signing', message: 'unknown key; did you mean `signing`?' },
  ]);
});

test('a list of plans without names, or with one name twice, is told as a list', () => {
  for (const plans of [[{}], [{ name: 'a' }, { name: 'a' }], []])
    expect(judge(JSON.stringify({ ...minimum, plans })).mistakes).toContainEqual(
      expect.objectContaining({ key: 'plans', message: expect.stringMatching(/^must be a mapping, not /) }),
    );
});

test('a value that holds itself by an alias ends', () => {
  for (const text of ['Plans: &x\n  a: *x\n', 'plans: &x\n  - name: a\n    repositories: *x\n'])
    expect(judge(text).mistakes.length).toBeGreaterThan(0);
});

function sectionOf(name: string): object {
  return (minimum as Readonly<Record<string, object>>)[name] ?? {};
}
