/** `keygen --rotate`, `--switch`, `--finish`: what each leaves in the folder, and what each refuses to do. */
import { expect, test } from 'bun:test';
import { X509Certificate } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { keygen } from '../../src/cli/keygen.ts';
import { libtrustId, thumbprintId } from '../../src/keys/key-ids.ts';
import { openPublicKeys, openSigningKey } from '../../src/keys/signing-key.ts';
import { createTemporaryFolder, type TemporaryFolder } from '../support/processes.ts';
import { runCommand } from '../support/run-command.ts';

const first = ['registry-jwks.json', 'registry-signing.crt', 'registry-signing.pem'];
const rotated = [...first, 'registry-signing-bundle.crt'];
const underWay = [...rotated, 'registry-signing-next.crt', 'registry-signing-next.pem'].sort();
const switched = [...rotated, 'registry-signing-last.crt', 'registry-signing-last.pem'].sort();

async function createKeyFolder(...options: readonly string[]): Promise<TemporaryFolder> {
  const folder = await createTemporaryFolder();
  await runCommand(keygen, ['--out', folder.path, ...options]);
  return folder;
}

function step(folder: TemporaryFolder, ...options: readonly string[]) {
  return runCommand(keygen, ['--out', folder.path, ...options]);
}

function read(folder: TemporaryFolder, name: string): string {
  return readFileSync(folder.at(name), 'utf8');
}

/** Opens the current key as the service does: it fits its certificate. */
function currentKey(folder: TemporaryFolder) {
  const [key, certificates] = ['registry-signing.pem', 'registry-signing.crt'].map((name) =>
    read(folder, name),
  );
  const material = { key: key ?? '', password: null, certificates: certificates ?? '', keyId: 'thumbprint' };
  return openSigningKey(material, Date.now() / 1000);
}

async function trustedThumbprints(folder: TemporaryFolder): Promise<string[]> {
  const keys = await openPublicKeys(read(folder, 'registry-signing-bundle.crt'), 'thumbprint');
  return keys.map(({ thumbprint }) => thumbprint);
}

function keySetIds(folder: TemporaryFolder): string[] {
  const { keys } = JSON.parse(read(folder, 'registry-jwks.json')) as { keys: { kid: string }[] };
  return keys.map(({ kid }) => kid);
}

/** As if the switch had been made this many seconds earlier. */
function letTimePass(folder: TemporaryFolder, seconds: number): void {
  const then = Date.now() / 1000 - seconds;
  utimesSync(folder.at('registry-signing-last.crt'), then, then);
}

test('one rotation after another goes through the same three steps and the same names', async () => {
  await using folder = await createKeyFolder();
  for (let round = 0; round < 2; round += 1) {
    const before = await currentKey(folder);
    expect(await step(folder, '--rotate')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(readdirSync(folder.path).sort()).toEqual(underWay);
    expect((await currentKey(folder)).thumbprint).toBe(before.thumbprint);
    const [, next = ''] = await trustedThumbprints(folder);
    expect(await trustedThumbprints(folder)).toEqual([before.thumbprint, next]);

    expect(await step(folder, '--switch')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(readdirSync(folder.path).sort()).toEqual(switched);
    expect((await currentKey(folder)).thumbprint).toBe(next);
    expect(await trustedThumbprints(folder)).toEqual([before.thumbprint, next]);

    expect(await step(folder, '--finish', '--force')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(readdirSync(folder.path).sort()).toEqual([...rotated].sort());
    expect(await trustedThumbprints(folder)).toEqual([next]);
  }
});

test('the key set has both keys under both their names while both are in use', async () => {
  await using folder = await createKeyFolder();
  await step(folder, '--rotate');
  const keys = ['registry-signing.crt', 'registry-signing-next.crt'].map(
    (name) => new X509Certificate(read(folder, name)).publicKey,
  );
  const names = await Promise.all(keys.map(async (key) => [await thumbprintId(key), libtrustId(key)]));
  expect(keySetIds(folder)).toEqual(names.flat());
  expect(read(folder, 'registry-jwks.json')).not.toContain('"d"');
  await step(folder, '--switch');
  expect(keySetIds(folder)).toEqual(names.flat());
  await step(folder, '--finish', '--force');
  expect(keySetIds(folder)).toEqual(names[1] ?? []);
});

test.each(['ES256', 'ES384', 'RS256', 'EdDSA'])(
  'the next key of an %s key is one too, unless another is asked for',
  async (algorithm) => {
    await using folder = await createKeyFolder('--algorithm', algorithm);
    await step(folder, '--rotate');
    await step(folder, '--switch');
    expect((await currentKey(folder)).algorithm).toBe(algorithm as 'ES256');
    await step(folder, '--finish', '--force');
    await step(folder, '--rotate', '--algorithm', 'ES384', '--days', '7');
    await step(folder, '--switch');
    const { algorithm: chosen, certificates } = await currentKey(folder);
    expect(chosen).toBe('ES384');
    const days = (Date.parse(certificates[0]?.validTo ?? '') - Date.now()) / 86_400_000;
    expect(Math.round(days)).toBe(7);
  },
);

test.each([
  [0o600, '600'],
  [0o400, '600'],
  [0o640, '640'],
  [0o644, '640'],
])(
  'the next key of one with mode %o has mode %s: whoever read the one reads the other',
  async (mode, wanted) => {
    await using folder = await createKeyFolder();
    chmodSync(folder.at('registry-signing.pem'), mode);
    await step(folder, '--rotate');
    const modeOf = (name: string) => (statSync(folder.at(name)).mode & 0o777).toString(8);
    expect(modeOf('registry-signing-next.pem')).toBe(wanted);
    await step(folder, '--switch');
    expect(modeOf('registry-signing.pem')).toBe(wanted);
    expect(modeOf('registry-signing-last.pem')).toBe(wanted);
  },
);

test('a step out of its turn changes nothing and names the one whose turn it is', async () => {
  await using folder = await createKeyFolder();
  const refuses = async (option: string, message: string) => {
    const names = readdirSync(folder.path);
    const before = names.map((name) => read(folder, name));
    const { exitCode, stdout, stderr } = await step(folder, option);
    expect({ option, exitCode, stdout }).toEqual({ option, exitCode: 1, stdout: '' });
    expect(stderr).toContain(message);
    expect(names.map((name) => read(folder, name))).toEqual(before);
    expect(readdirSync(folder.path)).toEqual(names);
  };
  await refuses(
    '--switch',
    'registry-signing-next.crt does not exist; create the next key with --rotate first',
  );
  await refuses('--finish', 'there is no rotation to finish');
  await step(folder, '--rotate');
  await refuses(
    '--rotate',
    'a rotation is under way; when every registry has the bundle, continue with --switch',
  );
  await refuses('--finish', 'run --switch first, then --finish');
  await step(folder, '--switch');
  await refuses('--switch', 'the switch is already done');
  await refuses('--rotate', 'the last rotation is not finished; run --finish first');
  await refuses('--finish', 'tokens of the old key may be valid until ');
});

test('the end waits for the longest lifetime of a token', async () => {
  await using folder = await createKeyFolder();
  await step(folder, '--rotate');
  await step(folder, '--switch');
  letTimePass(folder, 3590);
  expect((await step(folder, '--finish')).stderr).toContain('tokens of the old key may be valid until ');
  letTimePass(folder, 3601);
  expect((await step(folder, '--finish')).stderr).toContain(
    'cannot ask the running service which key it signs with',
  );
});

test('a switch that was cut off between the key and its certificate goes on where it is run again', async () => {
  await using folder = await createKeyFolder();
  const before = await currentKey(folder);
  await step(folder, '--rotate');
  await using copy = await createTemporaryFolder();
  for (const name of underWay) copyFileSync(folder.at(name), copy.at(name));
  await step(folder, '--switch');
  // What the crash left: the new key in place, its certificate not yet.
  copyFileSync(copy.at('registry-signing.crt'), folder.at('registry-signing.crt'));
  copyFileSync(copy.at('registry-signing-next.crt'), folder.at('registry-signing-next.crt'));
  await expect(currentKey(folder)).rejects.toThrow('does not belong to the signing key');
  expect((await step(folder, '--switch')).exitCode).toBe(0);
  expect(readdirSync(folder.path).sort()).toEqual(switched);
  expect((await currentKey(folder)).thumbprint).not.toBe(before.thumbprint);
});

test('a next key that is not its certificate’s takes no place', async () => {
  await using folder = await createKeyFolder();
  await step(folder, '--rotate');
  copyFileSync(folder.at('registry-signing.pem'), folder.at('registry-signing-next.pem'));
  const { exitCode, stderr } = await step(folder, '--switch');
  expect(exitCode).toBe(1);
  expect(stderr).toContain('registry-signing-next.crt does not belong to ');
  writeFileSync(folder.at('registry-signing-next.pem'), 'half');
  expect((await step(folder, '--switch')).stderr).toContain('holds no unencrypted PEM private key');
  await currentKey(folder);
});

test('without a first key there is nothing to rotate', async () => {
  await using folder = await createTemporaryFolder();
  const { exitCode, stderr } = await step(folder, '--rotate');
  expect(exitCode).toBe(1);
  expect(stderr).toContain('registry-signing.pem does not exist, so there is nothing to rotate');
  expect(readdirSync(folder.path)).toEqual([]);
});

test.each([
  [['--rotate', '--switch'], 'give one of them'],
  [['--switch', '--finish'], 'give one of them'],
  [['--switch', '--days', '7'], 'are for a new key'],
  [['--finish', '--algorithm', 'ES256'], 'are for a new key'],
  [['--rotate', '--force'], '--force cannot be combined with --rotate'],
  [['--switch', '--force'], '--force cannot be combined with --rotate or --switch'],
])('%j is a usage error', async (options, message) => {
  await using folder = await createKeyFolder();
  const { exitCode, stderr } = await step(folder, ...options);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(message);
});

test('each step prints the commands of the next, for a folder of any name', async () => {
  await using parent = await createTemporaryFolder();
  const out = parent.at("it's here");
  await runCommand(keygen, ['--out', out]);
  const rotate = await runCommand(keygen, ['--out', out, '--rotate']);
  const quoted = `'${out.replace("'", "'\\''")}'`;
  expect(rotate.stdout).toContain(`rootcertbundle: "${out}/registry-signing-bundle.crt"\n`);
  expect(rotate.stdout).toContain(`jwks: "${out}/registry-jwks.json"`);
  expect(rotate.stdout).toContain(`signing: { additionalKeys: ["${out}/registry-signing-bundle.crt"] }`);
  expect(rotate.stdout).toContain(`registry-token keygen --out ${quoted} --switch\n`);
  const change = await runCommand(keygen, ['--out', out, '--switch']);
  expect(change.stdout).toContain(`registry-token keygen --out ${quoted} --finish\n`);
  const secrets = ['registry-signing.pem', 'registry-signing-last.pem'].map(
    (name) => readFileSync(`${out}/${name}`, 'utf8').split('\n')[1] ?? '',
  );
  for (const secret of secrets) expect(`${rotate.stdout}${change.stdout}`).not.toContain(secret);
});
