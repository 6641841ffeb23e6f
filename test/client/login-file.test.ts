/** The file of a login: whose it must be, and what is never made of it. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import {
  checkLogin,
  type Login,
  prepareLoginFile,
  readLogin,
  removeLogin,
  withLoginLock,
  writeLogin,
} from '../../src/client/login-file.ts';
import { describeAsRoot } from '../support/debian-parts.ts';
import { createTemporaryFolder, runOrFail, type TemporaryFolder } from '../support/processes.ts';

let folder: TemporaryFolder;
let path: string;
beforeEach(async () => {
  folder = await createTemporaryFolder();
  path = folder.at('me.login');
});
afterEach(() => folder[Symbol.asyncDispose]());

const login: Login = {
  authority: 'https://sso.example.com',
  clientId: 'cli',
  binding: { jkt: 'A'.repeat(43) },
  refreshToken: 'refresh-token-1',
};

/** The message of the fault, which never has the refresh token in it. */
function faultOf(attempt: () => unknown): string {
  try {
    attempt();
  } catch (cause) {
    const { message } = cause as Error;
    expect(message).not.toContain('refresh-token-1');
    return message;
  }
  return 'no fault';
}

test('what is written is read again, by its owner alone, and nothing else is left behind', () => {
  writeLogin(path, login);
  expect(readLogin(path)).toEqual(login);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder.path)).toEqual(['me.login']);
});

test('no file is no login', () => {
  expect(readLogin(path)).toBeNull();
  expect(faultOf(() => checkLogin(null, login, path))).toContain(
    'nobody is logged in; run registry-token login',
  );
});

test.each([0o640, 0o604, 0o660, 0o666])('a file of mode %o is refused: others may have a copy', (mode) => {
  writeLogin(path, login);
  chmodSync(path, mode);
  expect(faultOf(() => readLogin(path))).toContain(`other users can read it (mode ${mode.toString(8)})`);
});

test('a link is not followed, whether or not something is there', () => {
  writeLogin(folder.at('target'), login);
  symlinkSync(folder.at('target'), path);
  expect(faultOf(() => readLogin(path))).toBe(`cannot use the login in ${path}: it is a symbolic link`);
  expect(faultOf(() => prepareLoginFile(path))).toContain('is not a regular file of this user');
  symlinkSync(folder.at('nothing'), folder.at('dangling'));
  expect(faultOf(() => readLogin(folder.at('dangling')))).toContain('it is a symbolic link');
  expect(faultOf(() => prepareLoginFile(folder.at('dangling')))).toContain(
    'is not a regular file of this user',
  );
});

test('a link that appears meanwhile is replaced, and its target is left alone', () => {
  writeFileSync(folder.at('target'), 'theirs');
  symlinkSync(folder.at('target'), path);
  writeLogin(path, login);
  expect(readFileSync(folder.at('target'), 'utf8')).toBe('theirs');
  expect(readLogin(path)).toEqual(login);
});

test('a folder and a pipe are refused, and no one waits for a writer', async () => {
  mkdirSync(path);
  expect(faultOf(() => readLogin(path))).toContain('it is not a regular file');
  await runOrFail(['mkfifo', '-m', '600', folder.at('pipe')]);
  expect(faultOf(() => readLogin(folder.at('pipe')))).toContain('it is not a regular file');
});

test.each([
  ['nothing', ''],
  ['half of a file', '{"authority":"https://sso.example.com","refreshTok'],
  ['no object', '[]'],
  ['null', 'null'],
  ['no refresh token', JSON.stringify({ ...login, refreshToken: undefined })],
  ['an empty refresh token', JSON.stringify({ ...login, refreshToken: '' })],
  ['a refresh token with a line feed', JSON.stringify({ ...login, refreshToken: 'a\nb' })],
  ['no binding', JSON.stringify({ ...login, binding: null })],
  ['a binding to nothing', JSON.stringify({ ...login, binding: {} })],
  ['no client', JSON.stringify({ ...login, clientId: 7 })],
])('a file with %s is told as what it is', (_what, text) => {
  writeFileSync(path, text, { mode: 0o600 });
  expect(faultOf(() => readLogin(path))).toContain(
    'it is not a file that login wrote; run registry-token login again',
  );
});

test('a file of a gigabyte is not read', async () => {
  await runOrFail(['truncate', '--size', '1G', path]);
  chmodSync(path, 0o600);
  expect(faultOf(() => readLogin(path))).toContain('more than 262144 bytes');
});

test('the login of another client or another Authority is not used', () => {
  const other = { ...login, clientId: 'other\u001b[2J' };
  expect(faultOf(() => checkLogin(other, login, path))).toContain('is for the client other\\u001b[2J of');
  expect(faultOf(() => checkLogin({ ...login, authority: 'https://other' }, login, path))).toContain(
    'of https://other;',
  );
});

test('the folder is made for its owner alone; one that cannot be is told', () => {
  prepareLoginFile(folder.at('a/b/me.login'));
  expect(statSync(folder.at('a/b')).mode & 0o777).toBe(0o700);
  writeFileSync(folder.at('file'), '');
  expect(faultOf(() => prepareLoginFile(folder.at('file/me.login')))).toContain('cannot create the folder');
});

test('the holder of the lock removes login and lock', async () => {
  writeLogin(path, login);
  await withLoginLock(path, Bun.sleep, () => removeLogin(path));
  expect(readdirSync(folder.path)).toEqual([]);
});

test('a lock that is a link is not followed', async () => {
  symlinkSync(folder.at('nothing'), `${path}.lock`);
  await expect(withLoginLock(path, Bun.sleep, () => {})).rejects.toThrow(
    `cannot create the lock file ${path}.lock: its symbolic links form a loop (ELOOP)`,
  );
  expect(existsSync(folder.at('nothing'))).toBe(false);
});

describeAsRoot([], 'a file of another user', () => {
  test('is neither read nor replaced', () => {
    writeLogin(path, login);
    chownSync(path, 65534, 65534);
    expect(faultOf(() => readLogin(path))).toContain('it belongs to the user 65534');
    expect(faultOf(() => prepareLoginFile(path))).toContain('is not a regular file of this user');
  });

  test('and a login in a folder of another user is not written', () => {
    chownSync(folder.path, 65534, 65534);
    expect(faultOf(() => prepareLoginFile(path))).toContain(
      'belongs to the user 65534, who could replace the login',
    );
  });
});
