/** A file is replaced whole or not at all. */
import { expect, test } from 'bun:test';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { replaceFile } from '../../src/client/replace-file.ts';
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
  const replaced = replaceFile(path, 'new', () => {
    writeFileSync(path, 'of another');
    return readFileSync(path, 'utf8') === 'old';
  });
  expect(replaced).toBe(false);
  expect(readFileSync(path, 'utf8')).toBe('of another');
  expect(readdirSync(folder.path)).toEqual(['file']);
});

test('a folder that is not there is the system’s error', async () => {
  await using folder = await createTemporaryFolder();
  expect(() => replaceFile(folder.at('missing/file'), 'new')).toThrow('ENOENT');
});
