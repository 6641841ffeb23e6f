/** The folder of a try-out: what is written into it, who can read it, and when it goes. */
import { expect, test } from 'bun:test';
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { FolderFault, keepFile, openDevFolder, writeDevFile } from '../../src/dev/folder.ts';
import { createTemporaryFolder } from '../support/processes.ts';

const mode = (path: string) => statSync(path).mode & 0o777;

test('a temporary folder is for its owner alone, and goes with all that is in it', async () => {
  await using above = await createTemporaryFolder();
  const folder = openDevFolder(undefined, above.path);
  expect({ kept: folder.kept, mode: mode(folder.path) }).toEqual({ kept: false, mode: 0o700 });
  mkdirSync(`${folder.path}/a/b`, { recursive: true });
  keepFile(folder, 'secret', () => 'x');
  folder.close();
  expect(existsSync(folder.path)).toBe(false);
});

test('a named folder is made for its owner alone, and stays', async () => {
  await using above = await createTemporaryFolder();
  const folder = openDevFolder(above.at('new/folder'), above.path);
  expect({ kept: folder.kept, mode: mode(folder.path) }).toEqual({ kept: true, mode: 0o700 });
  folder.close();
  expect(existsSync(folder.path)).toBe(true);
});

test('a file is made once, 0600, and read from then on', async () => {
  await using above = await createTemporaryFolder();
  const folder = openDevFolder(above.at('dev'), above.path);
  expect(keepFile(folder, 'secret', () => 'first')).toBe('first');
  expect(keepFile(folder, 'secret', () => 'second')).toBe('first');
  expect(mode(`${folder.path}/secret`)).toBe(0o600);
  expect(writeDevFile(folder, 'secret', 'third')).toBe('third');
  expect(keepFile(folder, 'secret', () => 'fourth')).toBe('third');
});

test('a folder of an earlier try-out is used again, one with other files is not touched', async () => {
  await using above = await createTemporaryFolder();
  const first = openDevFolder(above.at('dev'), above.path);
  keepFile(first, 'dev-authority.pem', () => 'key');
  keepFile(first, 'other', () => 'x');
  expect(openDevFolder(above.at('dev'), above.path).path).toBe(first.path);
  mkdirSync(above.at('home'));
  writeFileSync(above.at('home/registry-token.yaml'), '');
  expect(() => openDevFolder(above.at('home'), above.path)).toThrow(/contains other files/);
});

test('a folder that cannot be used is told with its path', async () => {
  await using above = await createTemporaryFolder();
  writeFileSync(above.at('file'), '');
  expect(() => openDevFolder(above.at('file/dev'), above.path)).toThrow(FolderFault);
  expect(() => openDevFolder(above.at('file/dev'), above.path)).toThrow(
    `cannot use ${above.at('file/dev')}: a part of the path is a file`,
  );
  expect(() => openDevFolder(above.at('a:b'), above.path)).toThrow(/colon/);
});
