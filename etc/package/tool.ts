/** The programs of the system that write packages: tar, gzip, dpkg-deb, apt-get. */

export interface ToolOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What it means where it fails: `The image cannot be made`. */
  readonly failure: string;
}

/** Runs a program to its end. Throws with its own words where it is missing or fails. Returns standard output. */
export async function runTool(command: readonly string[], options: ToolOptions): Promise<string> {
  const [program = ''] = command;
  if (Bun.which(program) === null)
    throw new Error(`${options.failure}: ${program} is not installed (on Debian: see .ci/run).`);
  const child = Bun.spawn([...command], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    // The same words and the same order of names everywhere.
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC', ...options.env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [exitCode, stdout, stderr] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if (exitCode !== 0)
    throw new Error(`${options.failure}: ${program} ended with ${exitCode}:\n${stderr.trim()}`);
  return stdout;
}
