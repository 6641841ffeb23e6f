/** A listener on a socket in the file system, for those on this machine who may write to it: its owner and its group. */
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { errorCode } from '../platform/errors.ts';
import { settleWithin, waitAtMost } from '../platform/wait.ts';
import { type Listener, type ListenOptions, MAX_BODY_BYTES } from './listen.ts';

export interface ListenUnixOptions extends Pick<ListenOptions, 'handle'> {
  /** Absolute. Its folder should be one that only the service can write to. */
  readonly path: string;
}

/** Owner and group may connect: that takes the right to write. */
const MODE = 0o660;
/** How long a process may take to accept a connection before its socket counts as in use, in milliseconds. */
const CONNECT_MS = 1000;

/**
 * Listens when it resolves. A socket that a killed process left behind is removed; one that somebody answers is in use.
 * Rejects with a `code`: `EADDRINUSE`, `EEXIST` where something else than a socket is there, a symbolic link included, or
 * the system's. Its folder is made where only that is missing. The socket is removed at the stop.
 */
export async function listenUnix({
  path,
  handle,
}: ListenUnixOptions): Promise<Pick<Listener, 'url' | 'stop'>> {
  makeFolder(dirname(path));
  await removeStaleSocket(path);
  const server = Bun.serve({
    unix: path,
    maxRequestBodySize: MAX_BODY_BYTES,
    development: false,
    fetch: (request) => handle(request, { address: 'unix', certificate: null }),
  });
  chmodSync(path, MODE);
  return {
    url: `unix:${path}`,
    stop: async (graceMs) => {
      await waitAtMost(graceMs, server.stop());
      await server.stop(true);
    },
  };
}

/** Its folder under /run is gone after a boot, and made by systemd (`RuntimeDirectory=`) or here. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o750 });
  } catch (cause) {
    if (errorCode(cause) !== 'EEXIST') throw cause;
  }
}

async function removeStaleSocket(path: string): Promise<void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (!there.isSocket()) throw fault('EEXIST');
  if (await isAnswered(path)) throw fault('EADDRINUSE');
  // Still the one that nobody answered: another process may have made its own meanwhile.
  const now = lstatSync(path, { throwIfNoEntry: false });
  if (now?.isSocket() && now.ino === there.ino && now.dev === there.dev) unlinkSync(path);
}

/** Whether a process listens on it. Where that cannot be told, it counts as answered. */
async function isAnswered(path: string): Promise<boolean> {
  const socket = connect(path);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.on('connect', () => resolve(true));
  socket.on('error', (cause) => resolve(errorCode(cause) !== 'ECONNREFUSED'));
  const answered = await settleWithin(CONNECT_MS, promise, () => true);
  socket.destroy();
  return answered;
}

function fault(code: string): Error {
  return Object.assign(new Error(code), { code });
}
