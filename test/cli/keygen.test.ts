/** `keygen`: what it writes, what it leaves alone, and what it says. */
import { expect, test } from 'bun:test';
import { X509Certificate } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { parse } from 'yaml';
import { keygen } from '../../src/cli/keygen.ts';
import { openSigningKey } from '../../src/keys/signing-key.ts';
import { createTemporaryFolder, type TemporaryFolder } from '../support/processes.ts';
import { runCommand } from '../support/run-command.ts';

const names = ['registry-jwks.json', 'registry-signing.crt', 'registry-signing.pem'];

function read(folder: TemporaryFolder, name: string): string {
  return readFileSync(folder.at(name), 'utf8');
}

test.each(['ES256', 'ES384', 'RS256', 'EdDSA'])(
  'writes an %s key that the service takes, with its certificate and key set',
  async (algorithm) => {
    await using folder = await createTemporaryFolder();
    const made = await runCommand(keygen, ['--out', folder.path, '--algorithm', algorithm]);
    expect(made).toMatchObject({ exitCode: 0, stderr: '' });
    expect(readdirSync(folder.path).sort()).toEqual(names);
    const material = {
      key: read(folder, 'registry-signing.pem'),
      password: null,
      certificates: read(folder, 'registry-signing.crt'),
      keyId: 'libtrust',
    };
    const signingKey = await openSigningKey(material, Date.now() / 1000);
    expect(signingKey.algorithm).toBe(algorithm as typeof signingKey.algorithm);
    const { keys } = JSON.parse(read(folder, 'registry-jwks.json'));
    expect(keys.map(({ kid }: { kid: string }) => kid)).toEqual([signingKey.thumbprint, signingKey.keyId]);
  },
);

test('the private key is PKCS#8 that its owner alone can read; the rest is for everybody', async () => {
  await using folder = await createTemporaryFolder();
  await runCommand(keygen, ['--out', folder.at('new/folder')]);
  expect(read(folder, 'new/folder/registry-signing.pem')).toStartWith('-----BEGIN PRIVATE KEY-----\n');
  expect(names.map((name) => (statSync(folder.at(`new/folder/${name}`)).mode & 0o777).toString(8))).toEqual([
    '644',
    '644',
    '600',
  ]);
});

test('the certificate is good from an hour ago until the day that is asked for', async () => {
  await using folder = await createTemporaryFolder();
  await runCommand(keygen, ['--out', folder.path, '--days', '2']);
  const { validFrom, validTo } = new X509Certificate(read(folder, 'registry-signing.crt'));
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
  expect(to - from).toBe((2 * 86_400 + 3600) * 1000);
  expect(Math.abs(Date.now() - 3_600_000 - from)).toBeLessThan(60_000);
});

test.each(names)('%s that is there already stops it before anything is written', async (name) => {
  await using folder = await createTemporaryFolder();
  writeFileSync(folder.at(name), 'precious');
  const { exitCode, stdout, stderr } = await runCommand(keygen, ['--out', folder.path]);
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
  expect(stderr).toStartWith(`${folder.at(name)} already exists; nothing was written. `);
  expect(readdirSync(folder.path)).toEqual([name]);
  expect(read(folder, name)).toBe('precious');
});

test('a link that leads nowhere is not written through', async () => {
  await using folder = await createTemporaryFolder();
  symlinkSync(folder.at('elsewhere'), folder.at('registry-signing.pem'));
  const { exitCode, stderr } = await runCommand(keygen, ['--out', folder.path]);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('already exists; nothing was written');
  expect(readdirSync(folder.path)).toEqual(['registry-signing.pem']);
});

test('--force replaces all three, and the new key has the right mode whatever the old one had', async () => {
  await using folder = await createTemporaryFolder();
  await runCommand(keygen, ['--out', folder.path]);
  const before = names.map((name) => read(folder, name));
  chmodSync(folder.at('registry-signing.pem'), 0o644);
  const { exitCode, stderr } = await runCommand(keygen, ['--out', folder.path, '--force']);
  expect(exitCode).toBe(0);
  expect(stderr).toContain('give every registry the new certificate or key set');
  for (const [index, name] of names.entries()) expect(read(folder, name)).not.toBe(before[index]);
  expect(statSync(folder.at('registry-signing.pem')).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder.path).sort()).toEqual(names);
});

test('--force leaves the old key in no file for registries, the bundle of a rotation included', async () => {
  await using folder = await createTemporaryFolder();
  for (const step of [[], ['--rotate'], ['--switch'], ['--finish', '--force'], ['--force']])
    expect(await runCommand(keygen, ['--out', folder.path, ...step])).toMatchObject({ exitCode: 0 });
  expect(read(folder, 'registry-signing-bundle.crt')).toBe(read(folder, 'registry-signing.crt'));
});

test('a file that cannot be replaced is named, and no half of one is left', async () => {
  await using folder = await createTemporaryFolder();
  mkdirSync(folder.at('registry-signing.pem'));
  const { exitCode, stderr } = await runCommand(keygen, ['--out', folder.path, '--force']);
  expect(exitCode).toBe(1);
  expect(stderr).toStartWith(`cannot write ${folder.at('registry-signing.pem')}: it is a directory (EISDIR)`);
  expect(readdirSync(folder.path)).toEqual(['registry-signing.pem']);
});

test('a file in the place of the folder is named', async () => {
  await using folder = await createTemporaryFolder();
  writeFileSync(folder.at('file'), '');
  const { exitCode, stderr } = await runCommand(keygen, ['--out', folder.at('file')]);
  expect({ exitCode, stderr }).toEqual({
    exitCode: 1,
    stderr: `cannot create the directory ${folder.at('file')}: there is a file of that name (EEXIST)\n`,
  });
});

test.each([
  [['--algorithm', 'HS256'], '--algorithm must be one of ES256, ES384, RS256, EdDSA, not "HS256"'],
  [['--days', '0'], '--days must be a number from 1 to 36500, not "0"'],
  [['--days', '36501'], '--days must be a number from 1 to 36500'],
  [['--days', '1.5'], '--days must be a number from 1 to 36500'],
  [['--days', 'ten'], '--days must be a number from 1 to 36500'],
])('%j is a usage error that makes no folder', async (args, message) => {
  await using folder = await createTemporaryFolder();
  const { exitCode, stderr } = await runCommand(keygen, ['--out', folder.at('out'), ...args]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(message);
  expect(readdirSync(folder.path)).toEqual([]);
});

test('without --out nothing is written anywhere', async () => {
  expect(await runCommand(keygen, [])).toMatchObject({ exitCode: 2, stderr: '--out is missing\n' });
});

test('the printed lines are YAML with the paths, in a folder of any name', async () => {
  await using folder = await createTemporaryFolder();
  const out = folder.at('a: b #c "d"');
  const { stdout } = await runCommand(keygen, ['--out', out]);
  const paragraph = stdout.split('\n\n')[1] ?? '';
  const [registry = '', service = ''] = paragraph.split('\nand in registry-token.yaml:\n');
  const certificatePath = `${out}/registry-signing.crt`;
  expect(parse(registry.split(':\n').slice(1).join(':\n'))).toEqual({ rootcertbundle: certificatePath });
  expect(parse(service)).toEqual({ signing: { keyPath: `${out}/registry-signing.pem`, certificatePath } });
});

test('an EdDSA key comes with the lines for a key set alone', async () => {
  await using folder = await createTemporaryFolder();
  const { stdout } = await runCommand(keygen, ['--out', folder.path, '--algorithm', 'EdDSA']);
  expect(stdout).toContain(`jwks: ${folder.at('registry-jwks.json')}\n`);
  expect(stdout).not.toMatch(/^ +(?:rootcertbundle|certificatePath): /m);
  expect(stdout).toContain('Registry 2.8 does not start with an Ed25519 certificate');
});

test('the private key is never printed', async () => {
  await using folder = await createTemporaryFolder();
  const { stdout, stderr } = await runCommand(keygen, ['--out', folder.path]);
  const [, line = ''] = read(folder, 'registry-signing.pem').split('\n');
  expect(`${stdout}${stderr}`).not.toContain(line);
});
