/** Docker's config.json keeps all that it has, whoever writes at the same time and whatever goes wrong. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import {
  chmodSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { checkDockerConfig, storeRegistryToken } from '../../src/client/docker-config.ts';
import { replaceFile } from '../../src/platform/replace-file.ts';
import { createTemporaryFolder, run, start, type TemporaryFolder } from '../support/processes.ts';

let folder: TemporaryFolder;
let path: string;

beforeEach(async () => {
  folder = await createTemporaryFolder();
  path = folder.at('config.json');
});

afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

function store(host = 'registry.example.com', token = 'the.registry.token') {
  return storeRegistryToken(path, { host, token }, Bun.sleep);
}

test('a file is made where there is none, with its folder, for the owner alone', async () => {
  path = folder.at('docker/config.json');
  await store();
  expect(readFileSync(path, 'utf8')).toBe(
    '{\n\t"auths": {\n\t\t"registry.example.com": {\n\t\t\t"registrytoken": "the.registry.token"\n\t\t}\n\t}\n}\n',
  );
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder.at('docker'))).toEqual(['config.json']);
});

test('everything else keeps its value and its order, indented with tabs as docker does', async () => {
  const own = {
    HttpHeaders: { X: 'é' },
    auths: { 'other.example.com': { auth: 'eDp5' } },
    detachKeys: 'ctrl-e',
  };
  const host = 'registry.example.com';
  writeFileSync(path, JSON.stringify({ ...own, auths: { ...own.auths, [host]: { auth: 'eDp6' } } }));
  await store();
  const auths = { ...own.auths, [host]: { auth: 'eDp6', registrytoken: 'the.registry.token' } };
  expect(readFileSync(path, 'utf8')).toBe(`${JSON.stringify({ ...own, auths }, null, '\t')}\n`);
});

test('a host named like a member of every object is stored like any other', async () => {
  await store('__proto__');
  expect(readFileSync(path, 'utf8')).toContain('"__proto__": {\n\t\t\t"registrytoken"');
});

test('a file keeps its mode', async () => {
  writeFileSync(path, '{}');
  chmodSync(path, 0o640);
  await store();
  expect(statSync(path).mode & 0o777).toBe(0o640);
});

test('a link that leads nowhere stays a link, and its target is made', async () => {
  symlinkSync('elsewhere/real.json', path);
  await store();
  expect(lstatSync(path).isSymbolicLink()).toBe(true);
  expect(statSync(folder.at('elsewhere/real.json')).mode & 0o777).toBe(0o600);
});

test('a link to the file stays a link', async () => {
  writeFileSync(folder.at('real.json'), '{}');
  symlinkSync('real.json', path);
  await store();
  expect(lstatSync(path).isSymbolicLink()).toBe(true);
  expect(JSON.parse(readFileSync(folder.at('real.json'), 'utf8'))).toHaveProperty('auths');
});

test.each([
  ['{"auths": {', 'is not valid JSON'],
  ['{} trailing', 'is not valid JSON'],
  ['\ufeff{}', 'is not valid JSON'],
  ['[]', 'is not a JSON object'],
  ['null', 'is not a JSON object'],
  ['{"auths": "text"}', 'has a value for auths that is not an object'],
  [
    '{"auths": {"registry.example.com": []}}',
    'has a value for auths["registry.example.com"] that is not an object',
  ],
])('a file with %j is reported and stays as it is', async (text, message) => {
  writeFileSync(path, text);
  await expect(store()).rejects.toThrow(message);
  await expect(store()).rejects.toThrow('the file is unchanged');
  expect(() => checkDockerConfig(path, 'registry.example.com')).toThrow(message);
  expect(readFileSync(path, 'utf8')).toBe(text);
  expect(readdirSync(folder.path)).toEqual(['config.json']);
});

test('a file that is not text is reported and stays as it is', async () => {
  const bytes = Buffer.from([0x7b, 0xff, 0x7d]);
  writeFileSync(path, bytes);
  await expect(store()).rejects.toThrow('it is not UTF-8; the file is unchanged');
  expect(readFileSync(path)).toEqual(bytes);
});

test('an empty file is as none', async () => {
  writeFileSync(path, '\n');
  await store();
  expect(JSON.parse(readFileSync(path, 'utf8'))).toHaveProperty('auths');
});

test('of writers in several processes none loses anything', async () => {
  writeFileSync(path, '{"keep": true}');
  const script = `
    import { storeRegistryToken } from '${new URL('../../src/client/docker-config.ts', import.meta.url).pathname}';
    for (let i = 0; i < 10; i += 1)
      await storeRegistryToken('${path}', { host: process.argv[1] + '-' + i + '.example', token: 't' }, Bun.sleep);`;
  const writers = ['a', 'b', 'c'].map((name) => run([process.execPath, '-e', script, name]));
  for (const { exitCode, stderr } of await Promise.all(writers))
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  const { keep, auths } = JSON.parse(readFileSync(path, 'utf8'));
  expect(keep).toBe(true);
  expect(Object.keys(auths)).toHaveLength(30);
  expect(readdirSync(folder.path)).toEqual(['config.json']);
}, 30_000);

test('what a program that knows no lock writes meanwhile is merged', async () => {
  writeFileSync(path, '{"old": 1}');
  let writes = 0;
  const replaceLate: typeof replaceFile = (target, text, options) => {
    writes += 1;
    if (writes < 3) writeFileSync(target, `{"written": ${writes}}`);
    return replaceFile(target, text, options);
  };
  await storeRegistryToken(path, { host: 'h', token: 't' }, Bun.sleep, replaceLate);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({
    written: 2,
    auths: { h: { registrytoken: 't' } },
  });
});

test('a file that others change all the time is given up, and left to them', async () => {
  let writes = 0;
  const replaceLate: typeof replaceFile = (target, text, options) => {
    writes += 1;
    writeFileSync(target, `{"written": ${writes}}`);
    return replaceFile(target, text, options);
  };
  await expect(storeRegistryToken(path, { host: 'h', token: 't' }, Bun.sleep, replaceLate)).rejects.toThrow(
    'is constantly being changed by other programs; nothing was stored in it',
  );
  expect(readdirSync(folder.path)).toEqual(['config.json']);
});

test('the lock that a killed process left behind holds nobody up', async () => {
  writeFileSync(`${path}.lock`, '');
  await store();
  expect(readdirSync(folder.path)).toEqual(['config.json']);
});

test('the lock of another writer is waited for, and left to him', async () => {
  await using writer = start(['flock', '--no-fork', `${path}.lock`, 'sh', '-c', 'echo held; exec sleep 60']);
  await writer.waitForLine(/^held$/);
  let waited = 0;
  const pause = async (milliseconds: number) => {
    waited += milliseconds;
  };
  await expect(storeRegistryToken(path, { host: 'h', token: 't' }, pause)).rejects.toThrow(
    `another process has held ${path}.lock for more than 20 s`,
  );
  expect(waited).toBe(20_000);
  expect(readdirSync(folder.path)).toEqual(['config.json.lock']);
});

test('a disk that takes no more leaves the old file, and nothing beside it', async () => {
  const before = `{"padding": "${'x'.repeat(4096)}"}`;
  writeFileSync(path, before);
  // A file may grow to 1 KiB here: the write fails as on a full disk, in the middle of the file.
  const source = new URL('../../src/client/docker-config.ts', import.meta.url).pathname;
  const script = `
    import { storeRegistryToken } from '${source}';
    await storeRegistryToken('${path}', { host: 'h', token: 't' }, Bun.sleep).catch(({ message }) => console.log(message));`;
  const { stdout } = await run([
    'bash',
    '-c',
    'trap "" XFSZ; ulimit -f 1; exec "$0" -e "$1"',
    process.execPath,
    script,
  ]);
  expect(stdout).toBe(
    `cannot write ${path}: the file would be larger than the limit (ulimit -f, LimitFSIZE=) (EFBIG); the file is unchanged\n`,
  );
  expect(readFileSync(path, 'utf8')).toBe(before);
  expect(readdirSync(folder.path)).toEqual(['config.json']);
});
