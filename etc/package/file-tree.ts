/** Folders as they are to be unpacked, and archives of them that are the same whenever they are made. */
import { chmod, cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runTool } from './tool.ts';

/** What is at a path: a text, a copy of a file, a link, or an empty folder. */
export type Entry =
  | { readonly text: string; readonly mode?: number }
  | { readonly copyOf: string; readonly mode?: number }
  | { readonly linkTo: string }
  | { readonly folder: true; readonly mode?: number };

/** Paths from the root of what is unpacked, without a leading slash. */
export type FileTree = Readonly<Record<string, Entry>>;

const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;

/** Writes a tree below `root`. Modes are set, never left to the umask. */
export async function writeTree(root: string, tree: FileTree): Promise<void> {
  await makeFolder(root, '.');
  for (const [path, entry] of Object.entries(tree)) {
    const at = join(root, path);
    await makeFolder(root, dirname(path));
    if ('linkTo' in entry) {
      await symlink(entry.linkTo, at);
      continue;
    }
    if ('folder' in entry) await makeFolder(root, path);
    else if ('text' in entry) await writeFile(at, entry.text);
    else await cp(entry.copyOf, at, { dereference: true });
    await chmod(at, entry.mode ?? ('folder' in entry ? FOLDER_MODE : FILE_MODE));
  }
}

async function makeFolder(root: string, path: string): Promise<void> {
  const parent = dirname(path);
  if (parent !== path) await makeFolder(root, parent);
  if (await mkdir(join(root, path), { recursive: true })) await chmod(join(root, path), FOLDER_MODE);
}

/** Archives what is in `root`, sorted, owned by root, dated `epoch`. */
export async function tar(root: string, file: string, epoch: number): Promise<void> {
  const same = [
    '--sort=name',
    '--format=ustar',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    `--mtime=@${epoch}`,
  ];
  await runTool(['tar', '--create', `--file=${file}`, ...same, `--directory=${root}`, '.'], {
    failure: `${file} cannot be written`,
  });
}

/**
 * Compresses `file` to `file.gz`, and keeps both. By level 1 the executable gets 6 % larger than by level 6, in half
 * the time; Debian wants 9 for documents.
 */
export async function gzip(file: string, level: 1 | 9 = 1): Promise<string> {
  await runTool(['gzip', `-${level}`, '--no-name', '--keep', '--force', file], {
    failure: `${file}.gz cannot be written`,
  });
  return `${file}.gz`;
}
