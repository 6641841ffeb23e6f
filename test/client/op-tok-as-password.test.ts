/** OpToks are kept in the session's runtime folder alone, for their owner alone, while half of their life is left. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { openOpTokCache } from '../../src/client/op-tok-as-password.ts';
import { createTemporaryFolder, type TemporaryFolder } from '../support/processes.ts';

const NOW = 1_800_000_000;
const opTok = { accessToken: 'op.tok.1', expiresAt: NOW + 600, lifetime: 600 };

let folder: TemporaryFolder;

beforeEach(async () => {
  folder = await createTemporaryFolder();
});

afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

const filesIn = () =>
  readdirSync(folder.at('registry-token')).map((name) => folder.at(`registry-token/${name}`));

test('what is kept is found by its key alone, by the next process too', () => {
  expect(openOpTokCache(folder.path).keep('key', opTok)).toBe(true);
  expect(openOpTokCache(folder.path).find('key', NOW)).toEqual(opTok);
  expect(openOpTokCache(folder.path).find('other', NOW)).toBeNull();
});

test('it is given out while half of its life is left', () => {
  const cache = openOpTokCache(folder.path);
  cache.keep('key', opTok);
  expect(cache.find('key', NOW + 300)).toEqual(opTok);
  expect(cache.find('key', NOW + 301)).toBeNull();
});

test('the folder is 0700 and the file 0600, and their names tell nothing', () => {
  openOpTokCache(folder.path).keep('https://authority.example.com builder', opTok);
  expect(statSync(folder.at('registry-token')).mode & 0o777).toBe(0o700);
  const [file = ''] = filesIn();
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(file).toMatch(/\/[0-9a-f]{64}\.json$/);
});

test('what is forgotten is gone', () => {
  const cache = openOpTokCache(folder.path);
  cache.keep('key', opTok);
  cache.forget('key');
  expect(cache.find('key', NOW)).toBeNull();
  expect(filesIn()).toEqual([]);
});

test.each([[undefined], [''], ['relative/path']])(
  'with %j as the runtime folder nothing is kept',
  (runtime) => {
    const cache = openOpTokCache(runtime);
    expect(cache.keep('key', opTok)).toBe(false);
    expect(cache.find('key', NOW)).toBeNull();
  },
);

test('a runtime folder that is not there is no reason to fail', () => {
  expect(openOpTokCache(folder.at('missing')).keep('key', opTok)).toBe(false);
});

test('a folder that others may enter is not used', () => {
  const cache = openOpTokCache(folder.path);
  cache.keep('key', opTok);
  chmodSync(folder.at('registry-token'), 0o755);
  expect(cache.find('key', NOW)).toBeNull();
  expect(cache.keep('key', opTok)).toBe(false);
});

test('a folder that is a link is not used', () => {
  mkdirSync(folder.at('elsewhere'), { mode: 0o700 });
  symlinkSync('elsewhere', folder.at('registry-token'));
  expect(openOpTokCache(folder.path).keep('key', opTok)).toBe(false);
  expect(readdirSync(folder.at('elsewhere'))).toEqual([]);
});

test('a file that others may read, or that holds something else, is as none', () => {
  const cache = openOpTokCache(folder.path);
  cache.keep('key', opTok);
  const [file = ''] = filesIn();
  const good = readFileSync(file, 'utf8');
  chmodSync(file, 0o640);
  expect(cache.find('key', NOW)).toBeNull();
  chmodSync(file, 0o600);
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{"accessToken":"op tok","expiresAt":9e9}',
    '{"accessToken":"a"}',
  ]) {
    writeFileSync(file, text);
    expect(cache.find('key', NOW)).toBeNull();
  }
  writeFileSync(file, good);
  expect(cache.find('key', NOW)).toEqual(opTok);
});
