/** A fresh Debian in a folder, by mmdebstrap from this machine's own sources: the essential packages, and passwd. */
import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { inRoot } from './chroot.ts';
import { type Child, createTemporaryFolder, type Finished, run, runOrFail, start } from './processes.ts';

export interface DebianRoot extends AsyncDisposable {
  readonly path: string;
  readonly at: (path: string) => string;
  /** dpkg on the packages of the root; maintainer scripts run in it. */
  readonly dpkg: (...words: readonly string[]) => Promise<Finished>;
  /** This machine's rpm on the root; its scripts run in it. Of what packages require there are Debian's, which rpm does not know. */
  readonly rpm: (...words: readonly string[]) => Promise<Finished>;
  /** Every path in it but what dpkg keeps for itself and what useradd leaves of the last passwd. */
  readonly paths: () => Promise<readonly string[]>;
  /** Runs a command in it to its end, as root. */
  readonly run: (...command: readonly string[]) => Promise<Finished>;
  /** Starts the program of an installed unit as systemd would: its user, its words and its folder in /run. */
  readonly startUnit: (unit: Unit, env: Readonly<Record<string, string>>) => Promise<Child>;
}

/** What starting needs of a unit's text. */
export interface Unit {
  readonly command: readonly string[];
  /** Names under /run. */
  readonly runtimeDirectories: readonly string[];
}

/** On Debian rpm knows no package, and warns of itself. */
export const RPM_ON_DEBIAN = ['--nodeps', '--force-debian'];

/** `extra` names packages beside the essential ones. */
export async function createDebianRoot(extra: readonly string[] = []): Promise<DebianRoot> {
  const folder = await createTemporaryFolder();
  const path = folder.at('root');
  const sources = await runOrFail(['apt-get', 'indextargets', '--format', '$(REPO_URI) $(CODENAME)']);
  const [, mirror = '', codename = ''] = /^(\S+) ([a-z]+)$/m.exec(sources) ?? [];
  const options = [
    '--mode=root',
    '--variant=essential',
    `--include=${['passwd', ...extra].join(',')}`,
    '--dpkgopt=force-unsafe-io',
  ];
  const command = ['mmdebstrap', '--quiet', ...options, codename, path, mirror];
  await runOrFail(command, { timeoutMs: 240_000, env: { HOME: '/root' } });
  const at = (name: string) => join(path, name);
  return {
    path,
    at,
    dpkg: (...words) => run(['dpkg', `--root=${path}`, ...words]),
    rpm: (...words) => run(['rpm', `--root=${path}`, ...RPM_ON_DEBIAN, ...words]),
    paths: async () => {
      const own = ['./var/lib/dpkg', './var/log', './var/cache', './run', './proc'].flatMap((name) => [
        ...['-path', name, '-prune', '-o'],
      ]);
      const found = await runOrFail(['find', '.', ...own, '-not', '-path', './etc/*-', '-print'], {
        cwd: path,
      });
      return found.trim().split('\n').sort();
    },
    run: (...command) => run(inRoot(path, command)),
    startUnit: async ({ command, runtimeDirectories }, env) => {
      const identity = await runOrFail(['chroot', path, 'getent', 'passwd', 'registry-token']);
      const [, , user = '', group = ''] = identity.split(':');
      for (const name of runtimeDirectories) {
        await mkdir(at(`run/${name}`), { recursive: true, mode: 0o750 });
        await chown(at(`run/${name}`), Number(user), Number(group));
      }
      return start(inRoot(path, command, { user: `${user}:${group}` }), { env });
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** Reads what starting needs; the rest of a unit is systemd's. */
export function readUnit(text: string): Unit {
  const [, command = ''] = /^ExecStart=(.+)$/m.exec(text) ?? [];
  const [, folders = ''] = /^RuntimeDirectory=(.+)$/m.exec(text) ?? [];
  return { command: command.split(' '), runtimeDirectories: folders.split(' ').filter(Boolean) };
}
