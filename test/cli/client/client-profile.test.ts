/** Profiles: what stands in them is taken, and every mistake is told at its place, all at once. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import {
  chooseProfile,
  findProfileForHost,
  findProfilesFile,
  loadProfiles,
} from '../../../src/cli/client/profile.ts';
import { createTemporaryFolder, type TemporaryFolder } from '../../support/processes.ts';

let folder: TemporaryFolder;
let file: string;

beforeEach(async () => {
  folder = await createTemporaryFolder();
  file = folder.at('client.yaml');
});

afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

function load(text: string) {
  writeFileSync(file, text);
  return loadProfiles(file);
}

/** The mistakes without the file's name, in the order of the file. */
function mistakesOf(text: string): string[] {
  try {
    load(text);
  } catch (cause) {
    return (cause as Error).message.split('\n').map((line) => line.replace(`${file}:`, ''));
  }
  return [];
}

const minimal = 'authority: https://a.example.com, clientId: c, clientSecretPath: s';

test('paths are relative to the file', () => {
  const [one] = load(`profiles: { one: { ${minimal}, caPath: /etc/ca.pem, dpopKeyPath: keys/d.pem } }`);
  expect(one?.profile).toMatchObject({
    clientSecretPath: folder.at('s'),
    caPath: '/etc/ca.pem',
    dpopKeyPath: folder.at('keys/d.pem'),
  });
});

test('every mistake is told at once, with its place, what is allowed and the nearest key', () => {
  const text = `profiles:
  one:
    authority: authority.example.com
    clientID: builder
    clientSecretPath: ""
    clientAuth: basic
  two:
    authority: https://a.example.com
    clientId: c
    certPath: [a]
    registry: registry.example.com/team
profile: {}
`;
  expect(mistakesOf(text)).toEqual([
    '3:5: profiles.one.authority: must be an http or https URL without user name and password, not "authority.example.com"',
    '6:5: profiles.one.clientAuth: must be one of client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth, self_signed_tls_client_auth, none, not "basic"',
    '5:5: profiles.one.clientSecretPath: must not be empty',
    '4:5: profiles.one.clientID: unknown key; did you mean `clientId`?',
    '10:5: profiles.two.certPath: must be text, not a list',
    '11:5: profiles.two.registry: must be the host of a registry, such as registry.example.com:5000, not "registry.example.com/team"',
    '12:1: profile: unknown key; did you mean `profiles`?',
  ]);
});

test.each([
  ['', '1:1: must be a YAML mapping with the key profiles'],
  ['profiles: [', '1:12: is not valid YAML: a [ is not closed'],
  [`profiles: { one: { ${minimal} }, one: { ${minimal} } }`, 'one: is set twice in the same mapping'],
  ['profiles: { a b: {} }', 'profiles."a b": is not a valid name: use 1 to 64 printable ASCII characters'],
])('%j is told as what it is', (text, message) => {
  const mistakes = mistakesOf(text);
  expect(mistakes).toHaveLength(1);
  expect(mistakes[0]).toContain(message);
});

test.each([
  ['certPath: c.pem', 'one.certPath: needs keyPath'],
  ['keyPath: c.key', 'one.keyPath: is the key of certPath, which is missing'],
  ['clientKeyPath: k.pem', 'one.clientKeyPath: cannot be combined with clientSecretPath'],
])('%s beside a secret is a contradiction', (line, message) => {
  expect(mistakesOf(`profiles:\n  one: { ${minimal}, ${line} }\n`)).toEqual([
    expect.stringContaining(message),
  ]);
});

test.each([
  ['{}', 'profiles.one: needs authority, opTokPath, opTokEnv, opTokCommand or serviceAccountToken'],
  ['{ opTokPath: t, opTokEnv: T }', 'one.opTokEnv: cannot be combined with opTokPath'],
  [`{ ${minimal}, opTokCommand: c }`, 'one.opTokCommand: cannot be combined with authority'],
  ['{ opTokPath: t, clientId: c }', 'one.clientId: needs authority, and this profile has opTokPath'],
  ['{ authority: https://a.example.com, clientSecretPath: s }', 'one: needs clientId beside authority'],
  ['{ serviceAccountToken: true }', 'one.serviceAccountToken: is a bearer token, so it needs realm'],
  ['{ opTokPath: t, bind: certificate }', 'one.bind: is certificate, which needs certPath and keyPath'],
  ['{ opTokPath: t, bind: mtls }', 'one.bind: must be one of dpop, certificate'],
])('an OpTok comes from one place: %s', (profile, message) => {
  expect(mistakesOf(`profiles:\n  one: ${profile}\n`)).toEqual([expect.stringContaining(message)]);
});

test('a profile with an OpTok that exists needs neither Authority nor client', () => {
  const [one, two] = load('profiles: { one: { opTokPath: run/t }, two: { opTokEnv: T, bind: dpop } }');
  expect(one?.profile).toEqual({ opTokPath: folder.at('run/t') });
  expect(two?.profile).toEqual({ opTokEnv: 'T', bind: 'dpop' });
});

test('a client that could not show who it is is a mistake', () => {
  expect(mistakesOf('profiles:\n  one: { authority: https://a.example.com, clientId: c }\n')).toEqual([
    '2:3: profiles.one: needs clientSecretPath, clientKeyPath, or certPath and keyPath; or login: true, for the login of a person',
  ]);
});

test('a client that a person logs in to needs no credential of its own, but an Authority', () => {
  const [one] = load('profiles: { one: { authority: https://a.example.com, clientId: c, login: true } }');
  expect(one?.profile).toMatchObject({ login: true });
  expect(mistakesOf('profiles:\n  one: { opTokEnv: T, login: true }\n')).toEqual([
    expect.stringContaining('one.login: needs authority, and this profile has opTokEnv'),
  ]);
});

test('a host belongs to one profile', () => {
  const text = `profiles:\n  one: { ${minimal}, hosts: [r.example.com] }\n  two:\n    ${minimal.replaceAll(', ', '\n    ')}\n    hosts: [a.example.com, R.example.com]\n`;
  expect(mistakesOf(text)).toEqual([
    expect.stringMatching(
      /^7:\d+: profiles\.two\.hosts\[1\]: r\.example\.com already belongs to the profile one$/,
    ),
  ]);
});

test.each(['r.example.com', 'R.example.com:443', 'r.example.com:443'])(
  'a host is that of its profile with and without the port of https: %s',
  (host) => {
    for (const written of ['r.example.com', 'r.example.com:443']) {
      const profiles = load(`profiles:\n  one: { ${minimal}, hosts: ["${written}"] }\n`);
      expect(findProfileForHost(profiles, host)?.name).toBe('one');
      for (const other of [
        'r.example.com:80',
        'r.example.com:5000',
        'me@r.example.com',
        'r.example.com/a',
        '',
      ])
        expect(findProfileForHost(profiles, other)).toBeNull();
    }
  },
);

test('of profiles with one registry in common the one that lists it as its host is for it', () => {
  const profiles = load(
    `profiles:\n  pull: { ${minimal}, registry: r.example.com }\n  push: { ${minimal}, registry: x.example.com, hosts: [R.example.com] }\n`,
  );
  expect(findProfileForHost(profiles, 'r.example.com')?.name).toBe('push');
  expect(findProfileForHost(profiles, 'x.example.com')).toBeNull();
  expect(findProfileForHost(profiles, 'R.example.com')?.name).toBe('push');
});

test('a profile that is not there is told with the nearest', () => {
  const profiles = load(`profiles: { build: { ${minimal} } }`);
  expect(chooseProfile(profiles, 'build', file).name).toBe('build');
  expect(() => chooseProfile(profiles, 'biuld', file)).toThrow(
    `${file}: profiles: has no profile biuld; did you mean \`build\`?`,
  );
});

test('the file is the option, else the user’s, else the machine’s', () => {
  const env = { XDG_CONFIG_HOME: folder.at('xdg'), HOME: folder.path };
  expect(findProfilesFile('x.yaml', env).file).toEndWith('/x.yaml');
  expect(findProfilesFile(undefined, env)).toEqual({
    file: folder.at('xdg/registry-token/client.yaml'),
    exists: false,
  });
  mkdirSync(folder.at('.config/registry-token'), { recursive: true });
  writeFileSync(folder.at('.config/registry-token/client.yaml'), '');
  expect(findProfilesFile(undefined, { HOME: folder.path })).toEqual({
    file: folder.at('.config/registry-token/client.yaml'),
    exists: true,
  });
  expect(findProfilesFile(undefined, {}).file).toBe('/etc/registry-token/client.yaml');
});

test('a file that cannot be read is told', () => {
  expect(() => loadProfiles(folder.at('missing.yaml'))).toThrow(
    /missing\.yaml: cannot be read: no such file \(ENOENT\)/,
  );
});

test('the sample in etc has no mistakes', () => {
  const profiles = loadProfiles(new URL('../../../etc/client.yaml', import.meta.url).pathname);
  expect(profiles.map(({ name }) => name)).toEqual(['node', 'ci', 'laptop', 'me', 'job', 'pods']);
});
