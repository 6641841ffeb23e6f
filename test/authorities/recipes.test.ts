/**
 * The recipes in etc/authorities: each one's configuration is one, takes a token as its server writes it, grants it its own
 * repositories and no others, and each message that it lists is what the log says.
 */
import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { createAuthorities, createPolicy } from '../../src/assemble/options.ts';
import { loadProfiles } from '../../src/cli/client/profile.ts';
import { loadText } from '../config/configuration-text.ts';
import { ask, expectToken } from '../support/ask.ts';
import { createKey } from '../support/keys.ts';
import { createTemporaryFolder } from '../support/processes.ts';
import { recipeBlock } from '../support/recipes.ts';
import { authorityKeysOf, createHarness } from '../support/service.ts';
import { type Members, signMembers } from '../support/tokens.ts';

/** A token as its server writes it; `alg`, `kid` and the times are added. */
interface Vector {
  readonly header: Members;
  readonly claims: Members;
  readonly grants: readonly string[];
  readonly denies: readonly string[];
  readonly faults: readonly Fault[];
}

interface Fault {
  /** `scope`: the token is good, and asked for the first of `grants` with other claims. */
  readonly change: 'header' | 'claims' | 'scope' | 'encrypted' | 'opaque' | 'key' | 'expired';
  /** null removes a member. */
  readonly members?: Members;
  readonly detail: string;
}

const FOLDER = new URL('../../etc/authorities/', import.meta.url);
const names = readdirSync(FOLDER).map((file) => file.replace(/\.md$/, ''));
const recipe = (name: string) => readFileSync(new URL(`${name}.md`, FOLDER), 'utf8');
const vectorOf = (name: string): Vector =>
  JSON.parse(readFileSync(new URL(`../vectors/authorities/${name}.json`, import.meta.url), 'utf8'));

const base = `signing: { issuer: registry-token.example.com, keyPath: signing.pem }
registry: { realm: "https://registry.example.com/token", allowedServices: [registry.example.com] }
`;

async function createSite(name: string) {
  const [authorityKey, clientKey] = await Promise.all([createKey('ES256'), createKey('ES256')]);
  const { configuration } = loadText(`${recipeBlock(name, 'Here', 'yaml', 'plans:')}${base}`);
  const keys = authorityKeysOf(authorityKey);
  const all = ['default', ...Object.keys(configuration.authorities ?? {})];
  const harness = await createHarness({
    authorities: createAuthorities(configuration, new Map(all.map((authority) => [authority, keys]))),
    policy: createPolicy(configuration, new Set()),
    authorityKey,
    clientKey,
  });
  const vector = vectorOf(name);
  const opTok = (header: Members = {}, claims: Members = {}, key = authorityKey) => {
    const { now } = harness.clock;
    const { cnf } = vector.claims;
    const bound =
      typeof cnf === 'object' && cnf !== null ? { cnf: { ...cnf, jkt: clientKey.thumbprint } } : {};
    const times = { iat: now - 5, exp: now + 300, jti: 'a' };
    return signMembers(
      withoutNull({ alg: 'ES256', kid: authorityKey.thumbprint, ...vector.header, ...header }),
      withoutNull({ ...times, ...vector.claims, ...bound, ...claims }),
      key,
    );
  };
  const isBound = 'cnf' in vector.claims;
  const askFor = (token: string, scopes: readonly string[] = []) =>
    ask(harness, { opTok: token, scopes, ...(isBound ? {} : { scheme: 'Basic', proof: null }) });
  return { harness, vector, opTok, askFor };
}

function withoutNull(members: Members): Members {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null));
}

test('there is a recipe and a vector for each of the servers', () => {
  expect(names.sort()).toEqual(
    [
      'auth0',
      'duende',
      'entra-id',
      'github-actions',
      'gitlab',
      'glewlwyd',
      'keycloak',
      'kubernetes',
      'okta',
      'openiddict',
      'spring',
    ].sort(),
  );
});

describe.each(names.map((name) => [name]))('the recipe of %s', async (name) => {
  const { vector, opTok, askFor } = await createSite(name);
  const stranger = await createKey('ES256');

  test('takes a token as its server writes it', async () => {
    expectToken(await askFor(opTok()));
  });

  test.each(vector.grants.map((scope) => [scope]))('grants %s', async (scope) => {
    expectToken(await askFor(opTok(), [scope]));
  });

  test.each(vector.denies.map((scope) => [scope]))('denies %s', async (scope) => {
    expect((await askFor(opTok(), [scope])).decision.refusal?.reason).toBe('plan-denied');
  });

  test.each(vector.faults.map((fault) => [fault.detail, fault] as const))(
    'lists what the log says: %s',
    async (detail, { change, members = {} }) => {
      const tokens = {
        header: () => opTok(members),
        claims: () => opTok({}, members),
        scope: () => opTok({}, members),
        encrypted: () => `${opTok()}.AAAA.AAAA`,
        opaque: () => 'opaque-token',
        key: () => opTok({ kid: 'old' }, {}, stranger),
        expired: () => opTok({}, { exp: 1_700_000_000 }),
      };
      const scopes = change === 'scope' ? vector.grants.slice(0, 1) : [];
      const { refusal } = (await askFor(tokens[change](), scopes)).decision;
      expect(refusal?.detail).toContain(detail);
      expect(recipe(name)).toContain(`| \`${detail}\` | `);
    },
  );

  test('has profiles without mistakes, or a job', async () => {
    const text = recipeBlock(name, 'The client', 'yaml', ':');
    const block = parse(text);
    if (!('profiles' in block)) return expect(Object.keys(block)).toHaveLength(1);
    await using folder = await createTemporaryFolder();
    await writeFile(folder.at('client.yaml'), text);
    expect(loadProfiles(folder.at('client.yaml')).length).toBeGreaterThan(0);
  });

  if (recipe(name).includes('\n## People\n'))
    test('has a profile without mistakes for people', async () => {
      await using folder = await createTemporaryFolder();
      await writeFile(folder.at('client.yaml'), recipeBlock(name, 'People', 'yaml', 'profiles:'));
      const [me] = loadProfiles(folder.at('client.yaml'));
      const client = parse(recipeBlock(name, 'The client', 'yaml', ':')) as {
        profiles: Record<string, object>;
      };
      const [others] = Object.values(client.profiles);
      expect(me?.profile).toMatchObject({ login: true, registry: 'registry.example.com' });
      expect(others).toMatchObject({ authority: me?.profile.authority });
    });
});
