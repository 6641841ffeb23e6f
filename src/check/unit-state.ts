/** What systemd knows of a unit. */
import { existsSync } from 'node:fs';
import { readCommand } from '../platform/command-output.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface UnitState {
  /** `active`, `inactive`, `failed`, `activating`, … */
  readonly active: string;
  readonly result: string;
  readonly exitStatus: number;
  /** How often systemd started it again. */
  readonly restarts: number;
  /** The last line that it wrote to the journal; null where there is none, or this user may not read it. */
  readonly lastLine: string | null;
}

const SYSTEMCTL_MS = 5000;

/** sd_booted(3). */
export function isSystemdRunning(): boolean {
  return existsSync('/run/systemd/system');
}

/** `unit` without `.service`. null without systemd, and where it has no such unit. */
export async function readUnitState(unit: string, env: Environment): Promise<UnitState | null> {
  if (!isSystemdRunning()) return null;
  const names = ['LoadState', 'ActiveState', 'Result', 'ExecMainStatus', 'NRestarts'];
  const shown = await showUnit(unit, names, env);
  if (shown.get('LoadState') !== 'loaded') return null;
  const active = shown.get('ActiveState') ?? 'unknown';
  return {
    active,
    result: shown.get('Result') ?? 'unknown',
    exitStatus: Number(shown.get('ExecMainStatus') ?? 0),
    restarts: Number(shown.get('NRestarts') ?? 0),
    lastLine: active === 'active' ? null : await readLastLine(unit, env),
  };
}

/** Properties of a unit by name; none where systemd cannot be asked. */
export async function showUnit(
  unit: string,
  names: readonly string[],
  env: Environment,
): Promise<ReadonlyMap<string, string>> {
  const command = [
    'systemctl',
    'show',
    '--no-pager',
    `--property=${names.join()}`,
    `${unit}.service`,
  ] as const;
  const lines = (await readCommand([...command], env, SYSTEMCTL_MS))?.stdout.split('\n') ?? [];
  return new Map(
    lines
      .map((line) => /^(\w+)=(.*)$/.exec(line))
      .filter((match) => match !== null)
      .map(([, name = '', value = '']) => [name, value]),
  );
}

async function readLastLine(unit: string, env: Environment): Promise<string | null> {
  const words = ['-q', '--no-pager', '--output=cat', '--lines=1', `_SYSTEMD_UNIT=${unit}.service`];
  const output = await readCommand(['journalctl', ...words], env, SYSTEMCTL_MS);
  const line = output?.stdout.trim() ?? '';
  return line === '' ? null : line;
}
