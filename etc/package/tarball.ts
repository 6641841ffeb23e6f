/** The .tar.gz: one folder, to be unpacked anywhere. */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Contents } from './contents.ts';
import { gzip, tar, writeTree } from './file-tree.ts';
import type { Release } from './release.ts';
import type { Executable } from './target.ts';

/** Writes `registry-token-VERSION-TARGET.tar.gz` into `out`. `work` is an empty folder. Returns the file's name. */
export async function makeTarball(
  { target, path }: Executable,
  contents: Contents,
  release: Release,
  { work, out }: { readonly work: string; readonly out: string },
): Promise<string> {
  const name = `registry-token-${release.version}-${target.name}`;
  const { manPage, completions, samples, documents } = contents;
  await writeTree(join(work, 'tree', name), {
    ...documents,
    ...samples,
    'registry-token': { copyOf: path, mode: 0o755 },
    'man/registry-token.1': manPage,
    'completions/registry-token.bash': completions.bash,
    'completions/_registry-token': completions.zsh,
    'completions/registry-token.fish': completions.fish,
  });
  const file = join(work, `${name}.tar`);
  await tar(join(work, 'tree'), file, release.epoch);
  await rename(await gzip(file), join(out, `${name}.tar.gz`));
  return `${name}.tar.gz`;
}
