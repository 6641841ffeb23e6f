/** A file is replaced whole or not at all. */
import { expect, test } from 'bun:test';
import {
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { followLinks, replaceFile } from '../../src/platform/replace-file.ts';
import { describeAsRoot } from '../support/debian-parts.ts';
import { createTemporaryFolder } from '../support/processes.ts';

test('the new text has replaced the old, for the owner alone', async () => {
  await using folder = await createTemporaryFolder();
  writeFileSync(folder.at('file'), 'old', { mode: 0o644 });
  expect(replaceFile(folder.at('file'), 'new')).toBe(true);
  expect(readFileSync(folder.at('file'), 'utf8')).toBe('new');
  expect(statSync(folder.at('file')).mode & 0o777).toBe(0o600);
});

test('what another wrote while the new text was made stays, and that is told', async () => {
  await using folder = await createTemporaryFolder();
  const path = folder.at('file');
  writeFileSync(path, 'old');
  const replaced = replaceFile(path, 'new', {
    isStillWanted: () => {
      writeFileSync(path, 'of another');
      return readFileSync(path, 'utf8') === 'old';
    },
  });
  expect(replaced).toBe(false);
  expect(readFileSync(path, 'utf8')).toBe('of another');
  expect(readdirSync(folder.path)).toEqual(['file']);
});

test('a folder that is not there is the system’s error', async () => {
  await using folder = await createTemporaryFolder();
  expect(() => replaceFile(folder.at('missing/file'), 'new')).toThrow('ENOENT');
});

test('a link at the path is replaced, and what it led to stays', async () => {
  await using folder = await createTemporaryFolder();
  writeFileSync(folder.at('other'), 'of another');
  symlinkSync('other', folder.at('file'));
  replaceFile(folder.at('file'), 'new', { mode: 0o640 });
  expect(readFileSync(folder.at('other'), 'utf8')).toBe('of another');
  expect(lstatSync(folder.at('file')).isSymbolicLink()).toBe(false);
  expect(statSync(folder.at('file')).mode & 0o777).toBe(0o640);
});

test('links are followed to their end, also where nothing is there', async () => {
  await using folder = await createTemporaryFolder();
  mkdirSync(folder.at('deep'));
  symlinkSync('deep/second', folder.at('first'));
  symlinkSync('../missing', folder.at('deep/second'));
  expect(followLinks(folder.at('first'))).toBe(folder.at('missing'));
  replaceFile(followLinks(folder.at('first')), 'new');
  expect(readFileSync(folder.at('first'), 'utf8')).toBe('new');
  expect(followLinks(folder.at('missing'))).toBe(folder.at('missing'));
});

test('links in a circle are the error ELOOP', async () => {
  await using folder = await createTemporaryFolder();
  symlinkSync('b', folder.at('a'));
  symlinkSync('a', folder.at('b'));
  expect(() => followLinks(folder.at('a'))).toThrow(expect.objectContaining({ code: 'ELOOP' }));
});

describeAsRoot([], 'root', () => {
  test('a file that root replaces stays its owner’s', async () => {
    await using folder = await createTemporaryFolder();
    writeFileSync(folder.at('file'), 'old');
    chownSync(folder.at('file'), 12345, 12346);
    replaceFile(folder.at('file'), 'new');
    expect(statSync(folder.at('file'))).toMatchObject({ uid: 12345, gid: 12346 });
    replaceFile(folder.at('file'), 'new', { owner: { uid: 0, gid: 0 } });
    expect(statSync(folder.at('file'))).toMatchObject({ uid: 0, gid: 0 });
  });
});
