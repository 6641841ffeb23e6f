/** The machines that are packaged for, and the executable of each. */
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from '../../build.ts';
import { runTool } from './tool.ts';

export interface Target {
  /** As the names of files have it: `linux-amd64`. */
  readonly name: string;
  /** As Debian and OCI call the processor. */
  readonly architecture: 'amd64' | 'arm64';
  readonly libc: 'glibc' | 'musl';
  readonly compileTarget: Bun.Build.CompileTarget;
  /** npm's words for it, and the package that has the Bun of it. */
  readonly cpu: 'x64' | 'arm64';
  readonly runtimePackage: string;
}

export const targets = [
  {
    name: 'linux-amd64',
    architecture: 'amd64',
    libc: 'glibc',
    compileTarget: 'bun-linux-x64',
    cpu: 'x64',
    runtimePackage: '@oven/bun-linux-x64',
  },
  {
    name: 'linux-arm64',
    architecture: 'arm64',
    libc: 'glibc',
    compileTarget: 'bun-linux-arm64',
    cpu: 'arm64',
    runtimePackage: '@oven/bun-linux-aarch64',
  },
  {
    name: 'linux-amd64-musl',
    architecture: 'amd64',
    libc: 'musl',
    compileTarget: 'bun-linux-x64-musl',
    cpu: 'x64',
    runtimePackage: '@oven/bun-linux-x64-musl',
  },
] as const satisfies readonly Target[];

/** An executable that is ready to be packaged. */
export interface Executable {
  readonly target: Target;
  readonly path: string;
  /** The files of the sources, and of packages, that are in it. */
  readonly bundled: readonly string[];
}

/**
 * Compiles `version` for each target into `folder`. The Bun of a target comes from npm, and is the very one whose hash bun.lock
 * has: `bun build` would fetch it too, but without a hash. Rejects where the network is needed and is not there.
 */
export async function buildExecutables(folder: string, version: string): Promise<readonly Executable[]> {
  const runtimes = join(folder, 'bun');
  await mkdir(runtimes, { recursive: true });
  for (const file of ['package.json', 'bun.lock']) await cp(file, join(runtimes, file));
  const executables: Executable[] = [];
  for (const target of targets) {
    const runtimePath = await fetchRuntime(target, runtimes);
    const path = join(folder, target.name, 'registry-token');
    await mkdir(join(folder, target.name), { recursive: true });
    const bundled = await build({ target: target.compileTarget, runtimePath, outfile: path, version });
    executables.push({ target, path, bundled });
  }
  return executables;
}

async function fetchRuntime({ cpu, libc, runtimePackage }: Target, folder: string): Promise<string> {
  const platform = ['--os=linux', `--cpu=${cpu}`, `--libc=${libc}`];
  await runTool([process.execPath, 'install', '--frozen-lockfile', '--ignore-scripts', ...platform], {
    cwd: folder,
    failure: `The Bun of ${runtimePackage} is not available; it comes from the npm registry, once, then from Bun's cache`,
  });
  return join(folder, 'node_modules', runtimePackage, 'bin', 'bun');
}
