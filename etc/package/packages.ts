/** All packages of a release, from the executables to SHA256SUMS. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CLibrary } from './c-library.ts';
import { gatherContents } from './contents.ts';
import { makeDebianPackage } from './debian-package.ts';
import { makeImage } from './image.ts';
import type { Release } from './release.ts';
import { makeRpm } from './rpm-package.ts';
import { renderSbom } from './sbom.ts';
import { makeTarball } from './tarball.ts';
import { buildExecutables, type Executable } from './target.ts';

export interface MadePackages {
  /** The names of the files in `out`, sorted, SHA256SUMS among them. */
  readonly files: readonly string[];
  readonly executables: readonly Executable[];
}

/**
 * Compiles and packages into `out`. `work` is an empty folder that may go afterwards. `cLibraries` are the parts of the
 * image that are not of this repository. Throws with the failing tool's own words.
 */
export async function makePackages(
  release: Release,
  cLibraries: readonly CLibrary[],
  { work, out }: { readonly work: string; readonly out: string },
): Promise<MadePackages> {
  await mkdir(out, { recursive: true });
  const executables = await buildExecutables(join(work, 'executables'), release.version);
  const contents = await gatherContents(release, [...new Set(executables.flatMap(({ bundled }) => bundled))]);
  const folderFor = async (name: string) => {
    await mkdir(join(work, name), { recursive: true });
    return { work: join(work, name), out };
  };
  const glibc = executables.filter(({ target }) => target.libc === 'glibc');
  const images = glibc.flatMap((executable) => {
    const cLibrary = cLibraries.find(({ architecture }) => architecture === executable.target.architecture);
    return cLibrary === undefined ? [] : [{ executable, cLibrary }];
  });
  const sbom = `registry-token-${release.version}.cdx.json`;
  await writeFile(join(out, sbom), await renderSbom(release, cLibraries));
  const made = await Promise.all([
    ...executables.map(async (executable) =>
      makeTarball(executable, contents, release, await folderFor(`${executable.target.name}-tarball`)),
    ),
    ...glibc.map(async (executable) =>
      makeDebianPackage(executable, contents, release, await folderFor(`${executable.target.name}-deb`)),
    ),
    ...glibc.map(async (executable) =>
      makeRpm(executable, contents, release, await folderFor(`${executable.target.name}-rpm`)),
    ),
    makeImage(images, contents, release, await folderFor('image')),
  ]);
  const files = [...made, sbom].sort();
  const sums = await Promise.all(files.map(async (name) => `${await sha256(join(out, name))}  ${name}\n`));
  await writeFile(join(out, 'SHA256SUMS'), sums.join(''));
  return { files: ['SHA256SUMS', ...files], executables };
}

export async function sha256(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}
