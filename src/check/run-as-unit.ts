/** Runs a command of this executable as systemd would start a unit: `systemd-run` with the unit's settings. */
import { readCommand } from '../platform/command-output.ts';
import { readUnitSettings } from './unit-sandbox.ts';
import { isSystemdRunning } from './unit-state.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface UnitRun {
  /** The words that start this executable. */
  readonly self: readonly string[];
  /** Of the command; `configuration` is added where the unit names one and these do not. */
  readonly words: readonly string[];
  readonly hasConfiguration: boolean;
  readonly env: Environment;
  readonly write: { readonly stdout: (text: string) => void; readonly stderr: (text: string) => void };
}

/** Why it cannot be run as that unit. */
export class NoUnit extends Error {}

const SYSTEMCTL_MS = 5000;
const RUN_MS = 120_000;

/** systemd.exec(5), "Process exit codes": what systemd could not set up before the command began. */
const setupFaults: Readonly<Record<number, string>> = {
  200: 'its working directory cannot be used',
  203: 'the executable cannot be run: the sandbox hides it, or it is not for this machine',
  216: 'its group does not exist',
  217: 'its user does not exist',
  218: 'its capabilities cannot be set',
  226: 'its name spaces cannot be set up: a path of ReadWritePaths=, BindPaths= or similar is missing, or the kernel does not allow it',
  228: 'its system call filter cannot be set',
  238: 'its StateDirectory= cannot be made',
  243: 'its credentials cannot be set up: a file of LoadCredential= is missing',
};

/** Resolves to the exit code of the command. Throws NoUnit. */
export async function runAsUnit(unit: string, run: UnitRun): Promise<number> {
  if (!isSystemdRunning())
    throw new NoUnit('systemd does not run here (there is no /run/systemd/system); leave --unit out');
  const shown = await readCommand(
    ['systemctl', 'cat', '--no-pager', `${unit}.service`],
    run.env,
    SYSTEMCTL_MS,
  );
  if (shown === null || shown.exitCode !== 0)
    throw new NoUnit(
      `systemd has no unit ${unit}.service; systemctl list-units 'registry-token*' lists them`,
    );
  const runAs = `${unit}-check`;
  const settings = readUnitSettings(shown.stdout, unit, runAs);
  const named =
    run.hasConfiguration || settings.configuration === null ? [] : ['--config', settings.configuration];
  const words = [...run.self, ...run.words, ...named];
  let { properties } = settings;
  for (;;) {
    const ended = await runTransient(runAs, properties, words, run.env);
    const unknown = unknownSetting(ended);
    const known = properties.filter((property) => !property.startsWith(`${unknown}=`));
    if (unknown !== null && known.length < properties.length) {
      properties = known;
      continue;
    }
    run.write.stdout(ended.stdout);
    run.write.stderr(ended.stderr);
    const fault = setupFaults[ended.exitCode];
    if (fault !== undefined)
      throw new NoUnit(
        `systemd could not start it as ${unit}.service: ${fault} (exit status ${ended.exitCode})`,
      );
    return ended.exitCode;
  }
}

interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function runTransient(
  runAs: string,
  properties: readonly string[],
  words: readonly string[],
  env: Environment,
): Promise<Ended> {
  const child = Bun.spawn(
    [
      ...['systemd-run', `--unit=${runAs}`, '--pipe', '--wait', '--collect', '--quiet'],
      ...properties.map((property) => `--property=${property}`),
      ...['--', ...words],
    ],
    { env: { ...env }, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe', timeout: RUN_MS },
  );
  const [exitCode, stdout, stderr] = await Promise.all([
    child.exited,
    child.stdout.text(),
    child.stderr.text(),
  ]);
  return { exitCode, stdout, stderr };
}

/**
 * A setting that this version of systemd does not have, of those that systemd-run was given; null where it started the command.
 * In a unit's file systemd ignores such a one.
 */
function unknownSetting({ exitCode, stdout, stderr }: Ended): string | null {
  if (exitCode !== 1 || stdout !== '') return null;
  return (
    /^(?:Unknown assignment: |Failed to start transient service unit: Cannot set property )(\w+)/m.exec(
      stderr,
    )?.[1] ?? null
  );
}
