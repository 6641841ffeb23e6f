/** The C library that the executable of an image is linked to, from Debian, for any architecture. */
import { mkdir, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileTree } from './file-tree.ts';
import type { Target } from './target.ts';
import { runTool } from './tool.ts';

export interface CLibrary {
  readonly architecture: Target['architecture'];
  /** Of Debian's package libc6: `2.36-9+deb12u10`. */
  readonly version: string;
  /** The loader, the libraries and their licence, as they are in an image. */
  readonly tree: FileTree;
}

/** What `ldd` lists for the executable, and nothing else. Names and users are looked up by libc.so.6 itself since 2.34. */
const LIBRARIES = ['libc.so.6', 'libdl.so.2', 'libm.so.6', 'libpthread.so.0'];
const places = {
  amd64: { loader: 'lib64/ld-linux-x86-64.so.2', folder: 'lib/x86_64-linux-gnu' },
  arm64: { loader: 'lib/ld-linux-aarch64.so.1', folder: 'lib/aarch64-linux-gnu' },
} as const;

/**
 * Fetches libc6 of each architecture with apt-get from the sources of this machine, whose signatures it checks. Its
 * lists are its own, in `folder`: nothing of the machine is changed, and root is not needed. An image is so as new as
 * the security updates of the day, and byte-identical as long as Debian has the same libc6; the SBOM has its version.
 */
export async function fetchCLibraries(folder: string): Promise<readonly CLibrary[]> {
  const architectures = ['amd64', 'arm64'] as const;
  for (const name of ['lists/partial', 'cache/archives/partial', 'packages'])
    await mkdir(join(folder, name), { recursive: true });
  const options = [
    `Dir::State=${folder}`,
    `Dir::State::lists=${join(folder, 'lists')}`,
    'Dir::State::status=/dev/null',
    `Dir::Cache=${join(folder, 'cache')}`,
    'APT::Architecture=amd64',
    ...architectures.map((architecture) => `APT::Architectures::=${architecture}`),
    'APT::Sandbox::User=',
    'Acquire::Languages=none',
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false',
    'Debug::NoLocking=1',
  ].flatMap((option) => ['-o', option]);
  const failure =
    'The C library of the image is not available (apt-get, from the Debian sources of this machine)';
  await runTool(['apt-get', ...options, '--error-on=any', '--quiet', 'update'], { failure });
  const wanted = architectures.map((architecture) => `libc6:${architecture}`);
  await runTool(['apt-get', ...options, '--quiet', 'download', ...wanted], {
    cwd: join(folder, 'packages'),
    failure,
  });
  return Promise.all(architectures.map((architecture) => openPackage(architecture, folder)));
}

async function openPackage(architecture: Target['architecture'], folder: string): Promise<CLibrary> {
  const files = await readdir(join(folder, 'packages'));
  const file = files.find((name) => name.startsWith('libc6_') && name.endsWith(`_${architecture}.deb`));
  const path = join(folder, 'packages', file ?? '');
  const failure = `${path} cannot be read`;
  const version = (await runTool(['dpkg-deb', '--field', path, 'Version'], { failure })).trim();
  const root = join(folder, architecture);
  await runTool(['dpkg-deb', '--extract', path, root], { failure });
  const { loader, folder: libraries } = places[architecture];
  const paths = [...LIBRARIES.map((name) => `${libraries}/${name}`), loader];
  const entries = await Promise.all(
    paths.map(async (at) => [at, { copyOf: await realpath(join(root, at)), mode: 0o755 }] as const),
  );
  const licence = 'usr/share/doc/libc6/copyright';
  return {
    architecture,
    version,
    tree: { ...Object.fromEntries(entries), [licence]: { copyOf: join(root, licence) } },
  };
}
