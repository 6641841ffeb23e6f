/** A lock on a file: who gets it, and when. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { withFileLock } from '../../src/platform/file-lock.ts';
import { createTemporaryFolder, runOrFail, start, type TemporaryFolder } from '../support/processes.ts';

let folder: TemporaryFolder;
let path: string;
beforeEach(async () => {
  folder = await createTemporaryFolder();
  path = folder.at('lock');
});
afterEach(() => folder[Symbol.asyncDispose]());

const wait = { maxMs: 10_000, pause: Bun.sleep };
const locker = new URL('../../src/platform/file-lock.ts', import.meta.url).pathname;

/** A process that holds the lock until it is killed. */
async function startHolder() {
  const script = `
    import { withFileLock } from ${JSON.stringify(locker)};
    await withFileLock(${JSON.stringify(path)}, { maxMs: 10_000, pause: Bun.sleep }, async () => {
      process.stdout.write('held\\n');
      await Bun.sleep(60_000);
    });`;
  const child = start([process.execPath, '-e', script]);
  await child.waitForLine(/^held$/);
  return child;
}

test('the bodies of one process run one after another, and the result is that of the body', async () => {
  const seen: string[] = [];
  const body = (name: string) => async () => {
    seen.push(`${name} begins`);
    await Bun.sleep(30);
    seen.push(`${name} ends`);
    return name;
  };
  const names = ['a', 'b', 'c'];
  expect(await Promise.all(names.map((name) => withFileLock(path, wait, body(name))))).toEqual(names);
  for (let index = 0; index < seen.length; index += 2)
    expect(seen[index + 1]).toBe(seen[index]?.replace('begins', 'ends') ?? '');
});

test('a lock that another process holds is waited for, up to the given time', async () => {
  await using _holder = await startHolder();
  await expect(withFileLock(path, { ...wait, maxMs: 100 }, () => 'never')).rejects.toMatchObject({
    cause: null,
  });
});

test('the lock of a process that was killed is free', async () => {
  const holder = await startHolder();
  holder.signal('SIGKILL');
  await holder.exited;
  expect(await withFileLock(path, wait, () => 'mine')).toBe('mine');
});

test('the lock is free after a body that failed', async () => {
  const failing = withFileLock(path, wait, () => Promise.reject(new Error('no')));
  await expect(failing).rejects.toThrow('no');
  expect(await withFileLock(path, wait, () => 'mine')).toBe('mine');
});

test('processes that take turns never hold the lock together, and leave no file', async () => {
  // Each adds 1 to a number in a file, in a way that loses additions where two do so at once.
  const script = `
    import { readFileSync, writeFileSync } from 'node:fs';
    import { withFileLock } from ${JSON.stringify(locker)};
    for (let count = 0; count < 1000; count += 1)
      await withFileLock(${JSON.stringify(path)}, { maxMs: Infinity, pause: () => Bun.sleep(0) }, () => {
        const number = Number(readFileSync(${JSON.stringify(folder.at('number'))}, 'utf8'));
        writeFileSync(${JSON.stringify(folder.at('number'))}, String(number + 1));
      });`;
  writeFileSync(folder.at('number'), '0');
  await Promise.all(Array.from({ length: 4 }, () => runOrFail([process.execPath, '-e', script])));
  expect(readFileSync(folder.at('number'), 'utf8')).toBe('4000');
  expect(readdirSync(folder.path)).toEqual(['number']);
}, 60_000);

test('the file is readable by its owner alone, and a link is not followed', async () => {
  await withFileLock(path, wait, () => expect(statSync(path).mode & 0o777).toBe(0o600));
  writeFileSync(folder.at('target'), 'text');
  symlinkSync(folder.at('target'), folder.at('link'));
  symlinkSync(folder.at('nothing'), folder.at('dangling'));
  for (const link of ['link', 'dangling'])
    await expect(withFileLock(folder.at(link), wait, () => {})).rejects.toMatchObject({
      cause: { code: 'ELOOP' },
    });
  expect(existsSync(folder.at('nothing'))).toBe(false);
});

test('the lock works in the file system of another program too: flock(1) waits for it', async () => {
  await withFileLock(path, wait, async () => {
    await expect(runOrFail(['flock', '--nonblock', path, 'true'])).rejects.toThrow('ended with 1');
  });
  await runOrFail(['flock', '--nonblock', path, 'true']);
});
