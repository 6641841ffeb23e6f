/** Builds the executable: `bun run build` leaves it for this machine at `dist/registry-token`. */
import { $ } from 'bun';
import manifest from './package.json' with { type: 'json' };

export interface BuildOptions {
  /** A Bun compile target, `bun-linux-x64` for one; this machine's where none is given. */
  target?: Bun.Build.CompileTarget;
  /** The Bun of that target to build from; Bun looks for it itself, on the network if need be, where none is given. */
  runtimePath?: string;
  outfile: string;
  /** What `registry-token version` prints; that of package.json where none is given. */
  version?: string;
}

/**
 * Compiles `src/main.ts` into one executable. It reads neither `.env` nor `bunfig.toml` where it runs: the
 * configuration file and the environment are its only inputs. Of the latter, Bun itself honours `BUN_OPTIONS`.
 * Returns the paths of the files that are in it, from this folder.
 */
export async function build({
  target,
  runtimePath,
  outfile,
  version = manifest.version,
}: BuildOptions): Promise<readonly string[]> {
  const result = await Bun.build({
    // The first is the program; the other is found by its place beside it when a worker starts.
    entrypoints: ['src/main.ts', 'src/worker.ts'],
    minify: { syntax: true },
    format: 'esm',
    // The worker shares the code of the program, and what few configurations need is loaded when it is needed.
    splitting: true,
    bytecode: true,
    metafile: true,
    define: {
      BUILD_COMMIT: JSON.stringify(await commit()),
      BUILD_VERSION: JSON.stringify(version),
    },
    compile: {
      outfile,
      ...(target === undefined ? {} : { target }),
      ...(runtimePath === undefined ? {} : { executablePath: runtimePath }),
      autoloadDotenv: false,
      autoloadBunfig: false,
    },
  });
  for (const message of result.logs) process.stderr.write(`${message}\n`);
  return Object.keys(result.metafile?.inputs ?? {});
}

/** The commit being built, `unknown` outside a checkout. */
export async function commit(): Promise<string> {
  const answer = await $`git rev-parse --short=12 HEAD`.quiet().nothrow();
  return answer.exitCode === 0 ? answer.text().trim() : 'unknown';
}

if (import.meta.main) await build({ outfile: 'dist/registry-token' });
