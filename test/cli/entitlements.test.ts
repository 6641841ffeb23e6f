/** `entitlements`: what a vendor signs, and what a site reads of it before it counts. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { parse } from 'yaml';
import { entitlements } from '../../src/cli/entitlements.ts';
import { explain } from '../../src/cli/explain.ts';
import { keygen } from '../../src/cli/keygen.ts';
import { SITE, signBundle, vendorKeySet } from '../support/bundles.ts';
import { createKey } from '../support/keys.ts';
import { createTemporaryFolder, runOrFail } from '../support/processes.ts';
import { runCommand } from '../support/run-command.ts';
import { decodePart } from '../support/tokens.ts';

setDefaultTimeout(60_000);

const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());
await runCommand(keygen, ['--out', folder.at('vendor')]);
const key = folder.at('vendor/registry-signing.pem');
const keys = folder.at('vendor/registry-jwks.json');
const write = (name: string, content: string | object) => {
  writeFileSync(folder.at(name), typeof content === 'string' ? content : JSON.stringify(content));
  return folder.at(name);
};
const plans = write(
  'plans.yaml',
  `issuer: vendor.example.com
note: November
defaultPlan: basic
plans:
  "7": { repositories: [{ pattern: seven/* }] }
  basic:
    repositories: [{ pattern: vendor/* }]
  pro:
    lifetime: 10m
    repositories:
      - { pattern: vendor/**, actions: [pull] }
      - { pattern: "customers/{claim:tid}/*", actions: [pull, push] }
  "1": {}
revokedLicenses: [L2, L1, L2]
`,
);
const usual = ['--in', plans, '--serial', '8', '--site', SITE, '--expires', '35d'];
const sign = (...args: string[]) => runCommand(entitlements, ['sign', ...args]);
const run = (...args: string[]) => runCommand(entitlements, args);
const cut = (text: string) => text.replaceAll(`${folder.path}/`, '');

/** A bundle of this content, signed and written to a file. */
async function made(name: string, content: object, serial = 1): Promise<string> {
  const source = write(`${name}.json`, content);
  const out = folder.at(`${name}.jws`);
  const usualOptions = ['--key', key, '--serial', String(serial), '--site', SITE, '--expires', '35d'];
  expect((await sign('--in', source, ...usualOptions, '--out', out)).exitCode).toBe(0);
  return out;
}

describe('sign', () => {
  test('makes a bundle that verify takes, and tells what it signed', async () => {
    const out = folder.at('8.jws');
    const { exitCode, stderr, stdout } = await sign('--key', key, ...usual, '--out', out);
    expect([exitCode, stdout]).toEqual([0, '']);
    expect(cut(stderr)).toMatch(
      /^signed 8\.jws: serial 8 for plant-7, 4 plans, 2 revoked licences, until 20\d\d-/,
    );
    const verified = await run('verify', out, '--keys', keys, '--site', SITE);
    expect([verified.exitCode, verified.stderr]).toEqual([0, '']);
    for (const text of [
      '8.jws: good',
      'vendor.example.com',
      'serial          8',
      '7, basic, pro, 1',
      'November',
    ])
      expect(verified.stdout).toContain(text);
    expect(decodePart(readFileSync(out, 'utf8'), 0)).toEqual({
      typ: 'registry-entitlements+jwt',
      alg: 'ES256',
      kid: JSON.parse(readFileSync(keys, 'utf8')).keys[0].kid,
    });
  });

  test('of the same input makes the same bytes but for the signature', async () => {
    const args = ['--key', key, ...usual, '--issued-at', '2026-11-29T12:00:00Z'];
    const [one, two] = [await sign(...args), await sign(...args)].map(({ stdout }) =>
      stdout.trim().split('.'),
    );
    expect(one?.slice(0, 2)).toEqual(two?.slice(0, 2) ?? []);
    const payload = Buffer.from(one?.[1] ?? '', 'base64url').toString();
    expect(payload).toStartWith('{"iss":"vendor.example.com","aud":"plant-7","serial":8,"iat":1795953600,');
    expect(payload).toEndWith('"revokedLicenses":["L1","L2"]}');
    expect(payload).toMatch(/"plans":\{"7":.*"basic":.*"pro":.*"1":/);
  });

  test('takes several sites, a list of licences, and what the options say of issuer, note and key', async () => {
    const revoked = write('revoked.txt', 'L9\n# more\nL1\n');
    const args = ['--key', key, ...usual, '--site', 'plant-8', '--revoked', revoked, '--issuer', 'v2'];
    const { stdout } = await sign(...args, '--note', 'n', '--key-id', 'k1', '--expires', '2100-01-31');
    expect(decodePart(stdout, 0)).toMatchObject({ kid: 'k1' });
    expect(decodePart(stdout, 1)).toMatchObject({
      iss: 'v2',
      aud: [SITE, 'plant-8'],
      note: 'n',
      exp: 4_105_036_800,
      revokedLicenses: ['L1', 'L2', 'L9'],
    });
  });

  test.each(['ES384', 'RS256', 'EdDSA'])('signs with a key of %s', async (algorithm) => {
    const to = folder.at(algorithm);
    await runCommand(keygen, ['--out', to, '--algorithm', algorithm]);
    const out = folder.at('other.jws');
    const { exitCode } = await sign('--key', `${to}/registry-signing.pem`, ...usual, '--out', out);
    expect(exitCode).toBe(0);
    expect((await run('verify', out, '--keys', `${to}/registry-jwks.json`)).exitCode).toBe(0);
    expect((await run('verify', out, '--keys', keys)).exitCode).toBe(1);
  });

  test('signs with a PFX and its password', async () => {
    const pfx = folder.at('vendor.pfx');
    const password = write('password', 'correct horse\n');
    await runOrFail([
      ...['openssl', 'pkcs12', '-export', '-inkey', key, '-in', folder.at('vendor/registry-signing.crt')],
      ...['-passout', `file:${password}`, '-out', pfx],
    ]);
    const { stdout } = await sign('--key', pfx, '--key-password-path', password, ...usual);
    expect((await run('verify', write('pfx.jws', stdout), '--keys', keys)).exitCode).toBe(0);
    expect((await sign('--key', pfx, ...usual)).exitCode).toBe(1);
  });

  test.each([
    ['ES256', 'openssl pkeyutl -sign -inkey KEY'],
    ['ES256', 'openssl pkeyutl -sign -inkey KEY | base64'],
    ['ES384', 'openssl pkeyutl -sign -inkey KEY'],
    ['RS256', 'openssl pkeyutl -sign -inkey KEY -pkeyopt digest:sha256'],
  ])('lets a command sign the digest: %s, %s', async (algorithm, command) => {
    const to = folder.at(`command-${algorithm}`);
    await runCommand(keygen, ['--out', to, '--algorithm', algorithm, '--force']);
    const publicKey = ['--public-key', `${to}/registry-signing.crt`];
    const signing = command.replace('KEY', `${to}/registry-signing.pem`);
    for (let round = 0; round < 4; round += 1) {
      const { stdout, stderr } = await sign('--sign-command', signing, ...publicKey, ...usual);
      expect(stderr).toContain('signed bundle');
      const file = write('command.jws', stdout);
      expect((await run('verify', file, '--keys', `${to}/registry-jwks.json`)).exitCode).toBe(0);
    }
    const wrong = await sign('--sign-command', `openssl pkeyutl -sign -inkey ${key}`, ...publicKey, ...usual);
    expect([wrong.exitCode, wrong.stdout]).toEqual([1, '']);
  });

  test.each([
    [['--sign-command', 'exit 3', '--public-key', 'CRT'], 1, '--sign-command failed with exit code 3'],
    [['--sign-command', 'echo no', '--public-key', 'CRT'], 1, 'is not a signature of the digest'],
    [['--sign-command', 'cat'], 2, '--public-key is missing'],
    [[], 2, 'one of --key and --sign-command is needed'],
    [['--key', 'nowhere.pem'], 1, 'cannot read nowhere.pem: no such file'],
    [['--key', 'KEY', '--serial', '0'], 2, '--serial must be a whole number from 1'],
    [['--key', 'KEY', '--serial', '9007199254740992'], 2, '--serial must be a whole number from 1'],
    [['--key', 'KEY', '--expires', '2001-01-01'], 2, 'not after the time of signature'],
    [['--key', 'KEY', '--expires', 'soon'], 2, '--expires must be a date'],
    [['--key', 'KEY', 'word'], 2, 'unexpected argument "word"'],
  ])('refuses %o', async (args, code, message) => {
    const crt = folder.at('vendor/registry-signing.crt');
    const words = args.map((word) => word.replace('KEY', key).replace('CRT', crt));
    const { exitCode, stderr, stdout } = await sign(...usual, ...words);
    expect([exitCode, stdout]).toEqual([code, '']);
    expect(stderr).toContain(message);
  });

  test.each([
    ['plans: { a: { repositories: [{ pattern: a//b }] } }', /:1:\d+: plans\.a\.repositories\[0\]\.pattern: /],
    ['plans: {}\nrevokedLicences: []', /revokedLicences: unknown key; did you mean `revokedLicenses`/],
    ['plans: {}\ndefaultPlan: gold', /:2:1: defaultPlan: must be the name of a plan/],
    ['defaultPlan: gold', /plans: is missing/],
    ['plans: {}\nplans: {}', /is set twice/],
  ])('tells the place of each mistake in its input: %s', async (text, message) => {
    const { exitCode, stderr } = await sign('--key', key, ...usual, '--in', write('bad.yaml', text));
    expect(exitCode).toBe(78);
    expect(stderr).toMatch(message);
  });
});

describe('verify', () => {
  const configuration = (settings: object = {}) =>
    write('registry-token.yaml', {
      authority: { issuer: 'https://a.example', jwksPath: keys, audiences: ['x'] },
      signing: { issuer: 'x', keyPath: key },
      registry: { realm: 'https://r.example/token' },
      entitlements: { path: '8.jws', keysPath: keys, site: SITE, ...settings },
    });

  test('says by the configuration what the service would, the serial that it has seen included', async () => {
    const config = ['--config', configuration()];
    expect((await run('verify', ...config)).stdout).toContain('8.jws: good');
    const state = {
      format: 'registry-token entitlements 1',
      serial: 9,
      contentHash: 'a'.repeat(64),
      issuedAt: 1,
    };
    writeFileSync(folder.at('entitlements.state'), JSON.stringify(state), { mode: 0o600 });
    const refused = await run('verify', ...config);
    expect([refused.exitCode, refused.stdout]).toEqual([1, '']);
    expect(cut(refused.stderr)).toStartWith('8.jws: has the serial 8; this site already had 9');
    const next = await made('next', { plans: {} }, 10);
    const good = await run('verify', next, ...config);
    expect(good.stdout).toContain('highest so far  serial 9 of 1970-01-01T00:00:01Z');
    rmSync(folder.at('entitlements.state'));
    const other = await run('verify', '--config', configuration({ site: 'plant-9' }), '--json');
    expect(other.exitCode).toBe(1);
    expect(JSON.parse(other.stdout)).toEqual({
      valid: false,
      mistakes: [expect.stringContaining('is for plant-7')],
    });
  });

  test('reads the bundle by keys alone, for a site or for whichever', async () => {
    const bundle = folder.at('8.jws');
    expect((await run('verify', bundle, '--keys', keys)).exitCode).toBe(0);
    expect((await run('verify', bundle, '--keys', keys, '--site', 'x')).stderr).toContain('is for plant-7');
    expect(JSON.parse((await run('verify', bundle, '--keys', keys, '--json')).stdout)).toMatchObject({
      valid: true,
      serial: 8,
      plans: ['7', 'basic', 'pro', '1'],
      revokedLicenses: 2,
    });
  });

  test('has nothing to say without a configuration or keys', async () => {
    expect((await run('verify', 'x', '--site', 'y')).exitCode).toBe(2);
    expect((await run('verify', '--keys', keys)).exitCode).toBe(2);
    expect((await run('verify', 'nowhere', '--keys', keys)).exitCode).toBe(1);
    expect((await run()).exitCode).toBe(2);
    expect((await run('judge')).stderr).toContain('sign, verify, diff, inspect');
  });
});

test('explain names the rule of a bundle by a JSON pointer', async () => {
  const file = await made('explained', {
    defaultPlan: 'a/b',
    plans: { 'a/b': { repositories: [{ pattern: 'other/*' }, { pattern: 'vendor/*' }] } },
    revokedLicenses: ['L1'],
  });
  const config = write('explain.yaml', {
    authority: { issuer: 'https://a.example', jwksPath: keys, audiences: ['x'] },
    signing: { issuer: 'x', keyPath: key },
    registry: { realm: 'https://r.example/token' },
    entitlements: { path: file, keysPath: keys, site: SITE, statePath: 'explain.state' },
  });
  const explained = (...args: string[]) => runCommand(explain, ['--config', config, ...args]);
  const granted = await explained('repository:vendor/app:pull');
  expect([granted.exitCode, granted.stderr]).toEqual([0, '']);
  expect(cut(granted.stdout)).toContain('plan a/b (explained.jws#/plans/a~1b)');
  expect(cut(granted.stdout)).toContain('by vendor/* (explained.jws#/plans/a~1b/repositories/1/pattern)');
  expect((await explained('--license', 'L1', 'repository:vendor/app:pull')).stdout).toContain(
    'license-revoked',
  );
  rmSync(file);
  const refused = await explained('repository:vendor/app:pull').catch((cause: unknown) => cause);
  expect(refused).toMatchObject({ exitCode: 78 });
});

describe('diff', () => {
  test('names rules, settings, licences and the default that change', async () => {
    const before = await made('before', {
      defaultPlan: 'basic',
      plans: {
        basic: { repositories: [{ pattern: 'vendor/*' }] },
        pro: {
          lifetime: 600,
          repositories: [{ pattern: 'a/*', actions: ['pull', 'push'] }, { pattern: 'b/*' }],
        },
        old: { catalog: true },
      },
      revokedLicenses: ['L1', 'L2'],
    });
    const after = await made(
      'after',
      {
        defaultPlan: 'pro',
        plans: {
          basic: { repositories: [{ pattern: 'vendor/*' }] },
          pro: {
            catalog: true,
            repositories: [{ pattern: 'a/*' }, { pattern: 'c/*', actions: ['push', 'pull'] }],
          },
          fresh: {},
        },
        revokedLicenses: ['L2', 'L3'],
      },
      2,
    );
    const { exitCode, stdout } = await run('diff', before, after, '--keys', keys);
    expect(exitCode).toBe(1);
    expect(stdout.split('\n').slice(1)).toEqual([
      'defaultPlan: basic -> pro',
      'plan pro: changed',
      '  - a/* [push]',
      '  - b/* [pull]',
      '  + c/* [pull, push]',
      '  catalog: false -> true',
      '  lifetime: 600 -> none seconds',
      'plan fresh: added',
      'plan old: removed',
      '  catalog: true -> false',
      'newly revoked (1): L3',
      'no longer revoked (1): L1',
      '',
    ]);
    expect(JSON.parse((await run('diff', before, after, '--keys', keys, '--json')).stdout)).toMatchObject({
      same: false,
      from: 1,
      to: 2,
      newlyRevoked: ['L3'],
      effects: null,
    });
  });

  test('finds no difference where the same is allowed in another order, or by other rules', async () => {
    const rules = [{ pattern: 'a/*', actions: ['pull', 'push'] }, { pattern: 'b/*' }];
    const others = [{ pattern: 'b/*' }, { pattern: 'a/*', actions: ['push'] }, { pattern: 'a/*' }];
    const one = await made('one', { plans: { a: { repositories: rules }, b: {} } });
    const two = await made('two', { plans: { b: {}, a: { repositories: others } } }, 2);
    const { exitCode, stdout } = await run('diff', one, two, '--keys', keys);
    expect([exitCode, stdout.split('\n')[1]]).toEqual([0, 'They allow the same.']);
  });

  test('is 2 where one is not valid', async () => {
    const stranger = await createKey('ES256');
    const foreign = write('foreign.jws', signBundle(stranger, Math.floor(Date.now() / 1000)));
    expect((await run('diff', folder.at('8.jws'), foreign, '--keys', keys)).exitCode).toBe(2);
    write('stranger.json', vendorKeySet(stranger));
    expect((await run('diff', folder.at('8.jws'), folder.at('8.jws'), '--keys', keys)).exitCode).toBe(0);
    expect((await run('diff', folder.at('8.jws'), '--keys', keys)).exitCode).toBe(2);
  });

  test('tells which subjects of the last 30 days would lose or gain what', async () => {
    const now = Date.now();
    const line = (days: number, fields: object) =>
      JSON.stringify({
        level: 'info',
        time: new Date(now - days * 86_400_000).toISOString(),
        requestId: crypto.randomUUID(),
        message: 'issued',
        authority: 'default',
        license: null,
        claims: null,
        rule: 'claim',
        ...fields,
      });
    const pro = { plan: 'pro', claims: { tid: 'acme' } };
    const audit = write(
      'audit.log',
      [
        line(40, { subject: 'gone', ...pro, asked: ['repository:customers/acme/app:push'] }),
        line(20, { subject: 'ci', ...pro, asked: ['repository:customers/acme/app:pull,push'] }),
        line(19, {
          subject: 'ci',
          ...pro,
          asked: ['repository:customers/acme/web:push', 'repository:new/a:pull'],
        }),
        line(18, {
          subject: 'dev',
          plan: 'basic',
          rule: 'default',
          license: 'L3',
          asked: ['repository:vendor/x:pull'],
        }),
        line(17, { subject: 'ops', plan: 'basic', rule: 'default', asked: ['repository:vendor/x:pull'] }),
        line(16, { subject: 'local', plan: 'own', asked: ['repository:own/x:pull'] }),
        line(15, { subject: null, plan: null, rule: null, asked: [] }),
        'not json',
        '',
      ].join('\n'),
    );
    const customers = (...actions: string[]) => ({ pattern: 'customers/{claim:tid}/*', actions });
    const basic = { repositories: [{ pattern: 'vendor/*' }] };
    const before = await made('b4', {
      defaultPlan: 'basic',
      plans: { basic, pro: { repositories: [customers('pull', 'push')] } },
    });
    const after = await made(
      'aft',
      {
        defaultPlan: 'basic',
        plans: { basic, pro: { repositories: [customers('pull'), { pattern: 'new/*' }] } },
        revokedLicenses: ['L3'],
      },
      2,
    );
    const { stdout } = await run('diff', before, after, '--keys', keys, '--tokens', audit);
    expect(stdout.slice(stdout.indexOf('Of ')).split('\n')).toEqual([
      'Of 4 subjects of the last 30 days, 2 would lose or gain something:',
      '  ci of default (plan pro, licence none)',
      '    - repository:customers/acme/app:push',
      '    - repository:customers/acme/web:push',
      '    + repository:new/a:pull',
      '  dev of default (plan basic, licence L3)',
      '    - any token',
      '    - repository:vendor/x:pull',
      '1 different request is not judged: its plan is in neither bundle.',
      '',
    ]);
  });
});

describe('inspect', () => {
  test('prints a bundle as YAML, from which the same can be signed again', async () => {
    const { exitCode, stdout } = await run('inspect', folder.at('8.jws'), '--keys', keys);
    expect(exitCode).toBe(0);
    const { issuer, note, defaultPlan, serial, plans: shown, revokedLicenses } = parse(stdout);
    expect({ issuer, note, serial }).toEqual({ issuer: 'vendor.example.com', note: 'November', serial: 8 });
    const again = await made('again', { issuer, note, defaultPlan, plans: shown, revokedLicenses }, 8);
    expect((await run('diff', folder.at('8.jws'), again, '--keys', keys)).exitCode).toBe(0);
    expect((await run('inspect', key, '--keys', keys)).exitCode).toBe(1);
  });
});
