/** A Debian root with a real systemd as PID 1, in systemd-nspawn; it shares this machine's network. */
import { readFile } from 'node:fs/promises';
import { type Child, type Finished, run, start } from './processes.ts';

export interface BootedRoot extends AsyncDisposable {
  /** Runs a command in it to its end, as root. */
  readonly run: (...command: readonly string[]) => Promise<Finished>;
  /** The value of a property of a unit, as `systemctl show` prints it. */
  readonly show: (property: string, unit: string) => Promise<string>;
}

const BOOT_MS = 60_000;
const ENVIRONMENT = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LANG=C'];

/** Boots it. Rejects with the output where this machine cannot run a systemd of its own. */
export async function bootRoot(path: string): Promise<BootedRoot> {
  const options = ['--quiet', '--boot', '--register=no', '--keep-unit', '--console=pipe'];
  const container = start([
    'systemd-nspawn',
    ...options,
    `--machine=rt-${process.pid}`,
    `--directory=${path}`,
  ]);
  try {
    const leader = await findLeader(container);
    const enter = ['nsenter', `--target=${leader}`, '--mount', '--uts', '--ipc', '--pid', '--root', '--wd'];
    const runInside = (...command: readonly string[]) =>
      run([...enter, 'env', '--ignore-environment', ...ENVIRONMENT, ...command]);
    await untilRunning(container, runInside);
    return {
      run: runInside,
      show: async (property, unit) =>
        (await runInside('systemctl', 'show', `--property=${property}`, '--value', unit)).stdout.trim(),
      [Symbol.asyncDispose]: () => container[Symbol.asyncDispose](),
    };
  } catch (cause) {
    await container.stop();
    throw cause;
  }
}

/** PID 1 of the container: the child of systemd-nspawn. */
async function findLeader(container: Child): Promise<string> {
  const children = `/proc/${container.pid}/task/${container.pid}/children`;
  for (const deadline = performance.now() + BOOT_MS; performance.now() < deadline; await Bun.sleep(50)) {
    const [leader = ''] = (await readFile(children, 'utf8').catch(() => '')).trim().split(' ');
    const name = await readFile(`/proc/${leader}/comm`, 'utf8').catch(() => '');
    if (name.trim() === 'systemd') return leader;
    if (!(await isAlive(container))) break;
  }
  throw new Error(`systemd-nspawn started no systemd:\n${container.stdout()}${container.stderr()}`);
}

async function isAlive(container: Child): Promise<boolean> {
  return (await Promise.race([container.exited, Bun.sleep(0).then(() => null)])) === null;
}

async function untilRunning(container: Child, runInside: BootedRoot['run']): Promise<void> {
  let state = '';
  for (const deadline = performance.now() + BOOT_MS; performance.now() < deadline; await Bun.sleep(200)) {
    state = (await runInside('systemctl', 'is-system-running')).stdout.trim();
    if (state === 'running' || state === 'degraded') return;
    if (!(await isAlive(container))) break;
  }
  throw new Error(`systemd is ${state} and not running:\n${container.stdout()}${container.stderr()}`);
}
