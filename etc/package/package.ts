/**
 * `bun run package [--verify]`: leaves the packages of this commit in dist/package. What makes them lives here, with the
 * scripts that they carry; nothing of it is part of a package, or of the service.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fetchCLibraries } from './c-library.ts';
import { makePackages, sha256 } from './packages.ts';
import { readRelease } from './release.ts';
import { runTool } from './tool.ts';

const UNIT = 'etc/systemd/registry-token.service';

/** Packages once, or with `verify` twice, and compares. Returns whether all is as it should be. */
export async function packageRelease({
  verify,
  out,
  print,
}: {
  readonly verify: boolean;
  readonly out: string;
  readonly print: (line: string) => void;
}): Promise<boolean> {
  const release = await readRelease(process.env.SOURCE_DATE_EPOCH);
  if (release.version.endsWith('.dirty'))
    print('There are changes that are not committed: these are no packages of a commit.');
  const work = await mkdtemp(join(tmpdir(), 'registry-token-package-'));
  try {
    const cLibraries = await fetchCLibraries(join(work, 'libc6'));
    await rm(out, { recursive: true, force: true });
    const { files } = await makePackages(release, cLibraries, { work: join(work, 'first'), out });
    for (const name of files)
      print(`${out}/${name}  ${(Bun.file(join(out, name)).size / 1e6).toFixed(1)} MB`);
    if (!verify) return true;
    await rm(join(work, 'first'), { recursive: true });
    const again = join(work, 'again');
    await makePackages(release, cLibraries, { work: join(work, 'second'), out: again });
    const differing: string[] = [];
    for (const name of files)
      if ((await sha256(join(out, name))) !== (await sha256(join(again, name)))) differing.push(name);
    print(
      differing.length === 0
        ? `reproducible: two builds of ${release.commit} are byte-identical, ${files.length} files`
        : `NOT reproducible: two builds of ${release.commit} differ in ${differing.join(', ')}`,
    );
    print(`systemd exposure: ${await exposure()} of 10 (${UNIT})`);
    return differing.length === 0;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** What `systemd-analyze security` says of the unit. */
async function exposure(): Promise<string> {
  const command = ['systemd-analyze', 'security', '--offline=true', '--no-pager', UNIT];
  const rating = await runTool(command, { failure: 'The exposure of the unit is not known' });
  return /exposure level for \S+: ([\d.]+)/.exec(rating)?.[1] ?? 'unknown';
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { verify: { type: 'boolean', default: false } } });
  try {
    const good = await packageRelease({
      verify: values.verify,
      out: 'dist/package',
      print: (line) => void process.stdout.write(`${line}\n`),
    });
    if (!good) process.exitCode = 1;
  } catch (cause) {
    process.stderr.write(`bun run package: ${cause instanceof Error ? cause.message : String(cause)}\n`);
    process.exitCode = 1;
  }
}
