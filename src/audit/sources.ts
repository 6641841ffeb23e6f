/** Where lines are read from: the audit file with its rotated ones, other files, standard input, the journal. */

import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { errorCode, explainError } from '../platform/errors.ts';

const CHUNK = 256 * 1024;

export interface Source {
  readonly name: string;
  /** Chunks of bytes, in order. Rejects with SourceFault. */
  readonly read: () => AsyncIterable<Buffer>;
}

/** Why something cannot be read; the message says what to do. */
export class SourceFault extends Error {}

/**
 * The files of an audit file: itself and those that logrotate made of it (`.1`, `.2.gz`, `-20261129.gz`), without those
 * that were last written before `since` (epoch milliseconds). Throws SourceFault where there is none, or one cannot be read.
 */
export async function auditFiles(path: string, since: number | null): Promise<readonly string[]> {
  const folder = dirname(path);
  const name = basename(path);
  const names = await readdir(folder).catch(async (cause) => {
    throw new SourceFault(await accessFault(folder, cause));
  });
  const stem = name.replace(/\.[^.]+$/, '');
  const extension = name.slice(stem.length);
  const isRotated = (candidate: string) =>
    candidate === name ||
    ROTATED.test(candidate.startsWith(name) ? candidate.slice(name.length) : '') ||
    // With `extension .log` logrotate puts the number before it.
    (extension !== '' &&
      candidate.startsWith(stem) &&
      ROTATED_BEFORE.test(candidate.slice(stem.length)) &&
      candidate.includes(extension));
  const files: string[] = [];
  for (const candidate of names.filter(isRotated)) {
    const file = join(folder, candidate);
    const { mtimeMs, size } = await stat(file).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY, size: 1 }));
    if (size > 0 && (since === null || mtimeMs >= since)) files.push(file);
  }
  if (!names.includes(name) && files.length === 0)
    throw new SourceFault(
      `${path} does not exist: no decision was written there yet, or logging.auditPath names another file`,
    );
  return files;
}

const DATE = String.raw`-\d{8}(?:[-.]?\d{2,10})?`;
const ROTATED = new RegExp(String.raw`^(?:\.\d{1,4}|${DATE})(?:\.(?:gz|zst|xz|bz2))?$`);
const ROTATED_BEFORE = new RegExp(String.raw`^(?:\.\d{1,4}|${DATE})\.[^.]+(?:\.(?:gz|zst|xz|bz2))?$`);

/** A file: lines, also compressed by gzip or zstd, or a journal's own file. Its first bytes tell. */
export function fileSource(path: string): Source {
  return { name: path, read: () => readFileChunks(path) };
}

async function* readFileChunks(path: string): AsyncGenerator<Buffer> {
  const handle = await openFile(path);
  try {
    const head = await readHead(handle, path);
    const form = formOf(head);
    if (form === 'plain') yield* chunksOf(head, handle, path);
    else if (form === 'journal') yield* readJournal(['journalctl', `--file=${path}`, ...AS_LINES]);
    else yield* decompressed(chunksOf(head, handle, path), path, form);
  } finally {
    await handle.close();
  }
}

const HEAD = 8;

/** The first bytes; fewer where there are no more. A pipe, such as that of `<(…)`, may give them one by one. */
async function readHead(handle: FileHandle, path: string): Promise<Buffer> {
  const head = Buffer.alloc(HEAD);
  let length = 0;
  for (;;) {
    const { bytesRead } = await readAt(handle, head.subarray(length), null, path);
    length += bytesRead;
    if (bytesRead === 0 || length === HEAD) return head.subarray(0, length);
  }
}

/** The head, and what follows it. Each chunk has its own memory. */
async function* chunksOf(head: Buffer, handle: FileHandle, path: string): AsyncGenerator<Buffer> {
  yield head;
  for (;;) {
    const buffer = Buffer.allocUnsafe(CHUNK);
    const { bytesRead } = await readAt(handle, buffer, null, path);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

/** At the position, or behind what was read before: a pipe has no positions. */
async function readAt(handle: FileHandle, buffer: Buffer, position: number | null, path: string) {
  try {
    return await handle.read(buffer, 0, buffer.length, position);
  } catch (cause) {
    throw new SourceFault(await accessFault(path, cause));
  }
}

const magics = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['journal', [...Buffer.from('LPKSHHRH')]],
] as const;

type Form = (typeof magics)[number][0] | 'plain';

function formOf(head: Buffer): Form {
  return magics.find(([, magic]) => magic.every((byte, index) => head[index] === byte))?.[0] ?? 'plain';
}

async function* decompressed(
  chunks: AsyncIterable<Buffer>,
  path: string,
  compression: Exclude<Form, 'plain' | 'journal'>,
): AsyncGenerator<Buffer> {
  if (compression === 'xz' || compression === 'bzip2')
    throw new SourceFault(
      `${path} is compressed with ${compression}, which this command does not read: ${compression} -dc ${path} | registry-token log --file -`,
    );
  const stream =
    compression === 'gzip' ? createGunzip({ chunkSize: CHUNK }) : createZstdDecompress({ chunkSize: CHUNK });
  const file = Readable.from(chunks, { objectMode: false });
  file.on('error', (cause) => stream.destroy(cause));
  try {
    for await (const chunk of file.pipe(stream)) yield chunk as Buffer;
  } catch (cause) {
    if (cause instanceof SourceFault) throw cause;
    throw new SourceFault(
      `${path} is cut off or damaged (${errorCode(cause)}): the part before that was read`,
    );
  } finally {
    file.destroy();
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    const handle = await open(path, 'r');
    if (!(await handle.stat()).isDirectory()) return handle;
    await handle.close();
  } catch (cause) {
    throw new SourceFault(await accessFault(path, cause));
  }
  throw new SourceFault(`${path} is a folder: name a file`);
}

const POLL_MS = 300;
/** The service writes to a renamed file for a second at most. */
const LEAVE_MS = 1500;

/**
 * The file at this path, and what is appended to it, without end; null whenever everything is read. After a rename the rest
 * of the old file is read, then the new one; a file that became shorter is read from its start.
 */
export async function* followFile(path: string): AsyncGenerator<Buffer | null> {
  const buffer = Buffer.allocUnsafe(CHUNK);
  let handle = await openFile(path);
  let position = 0;
  let isRenamedSince: number | null = null;
  try {
    for (;;) {
      const now = await stat(path).catch(() => null);
      const { bytesRead } = await readAt(handle, buffer, position, path);
      position += bytesRead;
      if (bytesRead > 0) {
        yield buffer.subarray(0, bytesRead);
        continue;
      }
      const open = await handle.stat();
      if (now !== null && (open.ino !== now.ino || open.dev !== now.dev)) {
        isRenamedSince ??= performance.now();
        if (performance.now() - isRenamedSince > LEAVE_MS) {
          await handle.close();
          handle = await openFile(path);
          position = 0;
          isRenamedSince = null;
          continue;
        }
      } else if (open.size < position) {
        position = 0;
        continue;
      }
      yield null;
      await Bun.sleep(POLL_MS);
    }
  } finally {
    await handle.close();
  }
}

/** Text that arrives on standard input. */
export function streamSource(name: string, chunks: () => AsyncIterable<Uint8Array>): Source {
  return {
    name,
    read: async function* () {
      for await (const chunk of chunks()) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    },
  };
}

export interface JournalOptions {
  readonly unit: string;
  /** Epoch milliseconds. */
  readonly since: number | null;
  readonly until: number | null;
  readonly follow: boolean;
}

const AS_LINES = ['--output=cat', '--no-pager', '--quiet'];

/** The unit's lines in systemd's journal. */
export function journalSource({ unit, since, until, follow }: JournalOptions): Source {
  const command = [
    'journalctl',
    `--unit=${unit}`,
    ...AS_LINES,
    // The journal dates a line when it arrives, a moment after its own time.
    ...(since === null ? [] : [`--since=@${Math.floor(since / 1000) - 1}`]),
    ...(until === null ? [] : [`--until=@${Math.ceil(until / 1000) + 60}`]),
    ...(follow ? ['--follow', since === null ? '--lines=1000' : '--lines=all'] : []),
  ];
  return { name: `the journal of ${unit}`, read: () => readJournal(command) };
}

async function* readJournal(command: readonly string[]): AsyncGenerator<Buffer> {
  let child: Bun.Subprocess<'ignore', 'pipe', 'pipe'>;
  try {
    child = Bun.spawn([...command], { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
  } catch {
    throw new SourceFault(
      'journalctl cannot be run: set logging.auditPath, or name files of lines with --file',
    );
  }
  const faults = new Response(child.stderr).text();
  try {
    for await (const chunk of child.stdout as unknown as AsyncIterable<Uint8Array>)
      yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const exitCode = await child.exited;
    const said = (await faults).trim();
    if (exitCode !== 0)
      throw new SourceFault(`journalctl ended with ${exitCode}${said === '' ? '' : `: ${said}`}`);
  } finally {
    child.kill();
  }
}

/** Why a file or folder cannot be read, and who may. */
async function accessFault(path: string, cause: unknown): Promise<string> {
  const code = errorCode(cause);
  if (code === 'ENOENT') return `${path} does not exist`;
  if (code !== 'EACCES' && code !== 'EPERM') return `${path} cannot be read: ${explainError(cause, 'read')}`;
  for (let at = path; ; at = dirname(at)) {
    const found = await stat(at).catch(() => null);
    if (found !== null && (at === path || at === dirname(at) || (found.mode & 0o001) === 0)) {
      const group = await groupName(found.gid);
      return (
        `${path} cannot be read (${code}): ${at} is for its owner and the group ${group} (mode ${(found.mode & 0o777).toString(8)}). ` +
        `Run this as root, or as a member of ${group}: usermod -aG ${group} USER, then log in again`
      );
    }
    if (at === dirname(at)) return `${path} cannot be read (${code}): run this as root`;
  }
}

async function groupName(gid: number): Promise<string> {
  const groups = await Bun.file('/etc/group')
    .text()
    .catch(() => '');
  const line = groups.split('\n').find((candidate) => candidate.split(':')[2] === String(gid));
  return line?.split(':', 1)[0] ?? String(gid);
}
