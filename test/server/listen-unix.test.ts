/** A listener on a socket in the file system: who may connect, what it replaces, and what it leaves. */
import { afterAll, describe, expect, test } from 'bun:test';
import { existsSync, lstatSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { listenUnix } from '../../src/server/listen-unix.ts';
import { createTemporaryFolder, run } from '../support/processes.ts';

const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());

const handle = async () => new Response('here\n');

function ask(path: string): Promise<Response> {
  return fetch('http://localhost/', { unix: path });
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
    return 'none';
  } catch (cause) {
    return (cause as { code?: unknown }).code;
  }
}

/** As a killed process leaves it: bound, and nobody listens. */
async function leaveSocket(path: string): Promise<void> {
  const script = 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])';
  await run(['python3', '-c', script, path]);
  expect(lstatSync(path).isSocket()).toBe(true);
}

describe('a listener on a socket', () => {
  test('answers, lets owner and group connect and nobody else, and leaves nothing behind', async () => {
    const path = folder.at('a.sock');
    const listener = await listenUnix({ path, handle });
    expect(listener.url).toBe(`unix:${path}`);
    expect(await (await ask(path)).text()).toBe('here\n');
    expect(statSync(path).mode & 0o777).toBe(0o660);
    await listener.stop(0);
    expect(existsSync(path)).toBe(false);
  });

  test('takes the place of a socket that a killed process left', async () => {
    const path = folder.at('b.sock');
    await leaveSocket(path);
    const listener = await listenUnix({ path, handle });
    expect(await (await ask(path)).text()).toBe('here\n');
    await listener.stop(0);
  });

  test('leaves a socket alone that a process answers', async () => {
    const path = folder.at('c.sock');
    const first = await listenUnix({ path, handle });
    expect(await codeOf(listenUnix({ path, handle }))).toBe('EADDRINUSE');
    expect(await (await ask(path)).text()).toBe('here\n');
    await first.stop(0);
  });

  test('touches no file that is there instead', async () => {
    const path = folder.at('d.sock');
    writeFileSync(path, 'mine');
    expect(await codeOf(listenUnix({ path, handle }))).toBe('EEXIST');
    expect(readFileSync(path, 'utf8')).toBe('mine');
  });

  test('follows no symbolic link, not even to a stale socket', async () => {
    const [target, path] = [folder.at('e.sock'), folder.at('link.sock')];
    await leaveSocket(target);
    symlinkSync(target, path);
    expect(await codeOf(listenUnix({ path, handle }))).toBe('EEXIST');
    expect(lstatSync(target).isSocket()).toBe(true);
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
  });

  test('makes its folder where only that is missing, for owner and group', async () => {
    const path = folder.at('made/f.sock');
    const listener = await listenUnix({ path, handle });
    expect(statSync(folder.at('made')).mode & 0o027).toBe(0);
    await listener.stop(0);
    expect(await codeOf(listenUnix({ path: folder.at('none/at/all/f.sock'), handle }))).toBe('ENOENT');
  });
});
