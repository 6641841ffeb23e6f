/** The packages of this checkout, made as `bun run package --verify` makes them, and read back. */
import { mkdir, readdir } from 'node:fs/promises';
import { gatherContents } from '../../etc/package/contents.ts';
import { makeDebianPackage } from '../../etc/package/debian-package.ts';
import { packageRelease } from '../../etc/package/package.ts';
import { readRelease } from '../../etc/package/release.ts';
import { makeRpm } from '../../etc/package/rpm-package.ts';
import { makeTarball } from '../../etc/package/tarball.ts';
import { targets } from '../../etc/package/target.ts';
import { createTemporaryFolder, run, runOrFail, type TemporaryFolder } from './processes.ts';
import { BINARY } from './running-service.ts';

export interface MadePackages extends AsyncDisposable {
  readonly folder: TemporaryFolder;
  /** What it printed, a line each. */
  readonly lines: readonly string[];
  readonly isGood: boolean;
  /** The one file whose name matches. */
  readonly file: (pattern: RegExp) => string;
  readonly names: readonly string[];
}

export async function makeAndVerify(): Promise<MadePackages> {
  const folder = await createTemporaryFolder();
  const lines: string[] = [];
  const out = folder.at('packages');
  const isGood = await packageRelease({ verify: true, out, print: (line) => lines.push(line) });
  const names = (await readdir(out)).sort();
  return {
    folder,
    lines,
    isGood,
    names,
    file: (pattern) => {
      const [name, ...more] = names.filter((candidate) => pattern.test(candidate));
      if (name === undefined || more.length > 0)
        throw new Error(`${pattern} is not one of ${names.join(', ')}`);
      return `${out}/${name}`;
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** The .deb of `dist/registry-token`, written into `folder`. Returns its path. */
export function makeDeb(folder: TemporaryFolder): Promise<string> {
  return makeOne(makeDebianPackage, folder);
}

/** The .rpm of `dist/registry-token`, of a given version where one is named. Returns its path. */
export function makeRpmOf(folder: TemporaryFolder, version?: string): Promise<string> {
  return makeOne(makeRpm, folder, version);
}

/** The .tar.gz of `dist/registry-token`. Returns its path. */
export function makeTarballOf(folder: TemporaryFolder): Promise<string> {
  return makeOne(makeTarball, folder);
}

async function makeOne(
  make: typeof makeRpm,
  folder: TemporaryFolder,
  packageVersion?: string,
): Promise<string> {
  const release = await readRelease('1');
  const [target] = targets;
  const places = { work: folder.at(`work-${make.name}-${packageVersion}`), out: folder.path };
  await mkdir(places.work);
  const named = packageVersion === undefined ? release : { ...release, packageVersion };
  const executable = { target, path: BINARY, bundled: [] };
  return folder.at(await make(executable, await gatherContents(named, []), named, places));
}

/** A package like another, of a higher version, with a change of its files. Returns its path. */
export async function nextPackage(
  { folder }: { readonly folder: TemporaryFolder },
  deb: string,
  version: string,
  change: (root: string) => Promise<void> = async () => {},
): Promise<string> {
  const root = folder.at(`next-${version}`);
  await runOrFail(['dpkg-deb', '--raw-extract', deb, root]);
  const control = `${root}/DEBIAN/control`;
  const text = await Bun.file(control).text();
  await Bun.write(control, text.replace(/^Version: .*$/m, `Version: ${version}`));
  await change(root);
  const file = folder.at(`registry-token_${version}.deb`);
  await runOrFail(['dpkg-deb', '--root-owner-group', '-Znone', '--build', root, file]);
  return file;
}

/** Unpacks an image of the archive: its layers, one over the other, and its configuration. */
export async function unpackImage({ folder }: MadePackages, archive: string, architecture: string) {
  const layout = folder.at(`image-${architecture}`);
  const choice = ['--insecure-policy', `--override-arch=${architecture}`];
  await runOrFail(['skopeo', 'copy', ...choice, `oci-archive:${archive}`, `oci:${layout}:image`]);
  const blob = (digest: string) => `${layout}/blobs/${digest.replace(':', '/')}`;
  const index = await Bun.file(`${layout}/index.json`).json();
  const manifest = await Bun.file(blob(index.manifests[0].digest)).json();
  const { config, rootfs, ...rest } = await Bun.file(blob(manifest.config.digest)).json();
  const root = folder.at(`rootfs-${architecture}`);
  await runOrFail(['mkdir', root]);
  for (const { digest } of manifest.layers)
    await runOrFail(['tar', '--extract', '--same-owner', `--directory=${root}`, `--file=${blob(digest)}`]);
  const diffIds = await Promise.all(
    manifest.layers.map(async ({ digest }: { digest: string }) => {
      const { stdout } = await run(['sh', '-c', 'gzip -dc "$1" | sha256sum', 'sh', blob(digest)]);
      return `sha256:${stdout.slice(0, 64)}`;
    }),
  );
  return { root, config, architecture: rest.architecture, rootfs, diffIds };
}
