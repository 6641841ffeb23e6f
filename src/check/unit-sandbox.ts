/** A unit's own settings, so that a command can be run as systemd would start its service: environment, user and sandbox. */

export interface UnitSettings {
  /** Of `[Service]`, in the order of the unit's files: `User=registry-token`. */
  readonly properties: readonly string[];
  /** The configuration that its ExecStart= names; null where it names none. */
  readonly configuration: string | null;
}

/** How the service is started and watched is not the business of a command that runs beside it. */
const ofService =
  /^(?:Type|Exec\w+|Restart\w*|Watchdog\w*|Timeout\w+|RuntimeMaxSec|RuntimeDirectory\w*|Standard\w+|TTY\w*|Syslog\w+|Log\w+|NotifyAccess|PIDFile|BusName|Sockets|FileDescriptorStore\w+|RemainAfterExit|SuccessExitStatus|Kill\w+|SendSIG\w+|FinalKillSignal|GuessMainPID|OOMPolicy|Slice|Delegate\w*|NonBlocking|RootDirectoryStartOnly|USBFunction\w+|ReloadSignal|OpenFile|StartLimit\w+|FailureAction|SuccessAction|RestartForceExitStatus)$/;

/**
 * Reads what `systemctl cat` prints: the unit's file and its drop-ins. `runAs` is the unit that the command runs as: its
 * credentials are in a folder of its own.
 */
export function readUnitSettings(text: string, unit: string, runAs: string): UnitSettings {
  const assignments = readSection(text, 'Service');
  const expand = (value: string) => expandSpecifiers(value, unit, runAs);
  const runtimeDirectories = assignments
    .filter(({ name }) => name === 'RuntimeDirectory')
    .flatMap(({ value }) => value.split(/\s+/).filter(Boolean));
  const commands = assignments.filter(({ name, value }) => name === 'ExecStart' && value !== '');
  const words = (commands.at(-1)?.value ?? '').split(/\s+/).map(expand);
  const at = words.indexOf('--config');
  const joined = words.find((word) => word.startsWith('--config='))?.slice('--config='.length);
  return {
    properties: [
      ...assignments
        .filter(({ name }) => !ofService.test(name))
        .map(({ name, value }) => `${name}=${expand(value)}`),
      // The service's own, which is there while it runs: as the command's it would be removed at its end.
      ...runtimeDirectories.map((name) => `ReadWritePaths=-/run/${expand(name)}`),
    ],
    configuration: at === -1 ? (joined ?? null) : (words[at + 1] ?? null),
  };
}

interface Assignment {
  readonly name: string;
  readonly value: string;
}

/** systemd.syntax(7): sections, comments, and lines that go on after a backslash. */
function readSection(text: string, wanted: string): Assignment[] {
  const found: Assignment[] = [];
  let section = '';
  let pending = '';
  for (const line of text.split('\n')) {
    if (/^\s*[#;]/.test(line)) continue;
    if (line.endsWith('\\')) {
      pending += `${line.slice(0, -1)} `;
      continue;
    }
    const whole = (pending + line).trim();
    pending = '';
    const header = /^\[(.+)\]$/.exec(whole)?.[1];
    if (header !== undefined) section = header;
    const [, name = '', value = ''] = /^([A-Za-z]+)\s*=\s*(.*)$/.exec(whole) ?? [];
    if (section === wanted && name !== '') found.push({ name, value });
  }
  return found;
}

/** Those of systemd.unit(5) that a system service may use in its settings; others stay as they are. */
function expandSpecifiers(value: string, unit: string, runAs: string): string {
  const texts: Readonly<Record<string, string>> = {
    '%': '%',
    n: `${unit}.service`,
    N: unit,
    p: unit.split('@', 1).join(''),
    d: `/run/credentials/${runAs}.service`,
    t: '/run',
    S: '/var/lib',
    C: '/var/cache',
    L: '/var/log',
    E: '/etc',
    T: '/tmp',
    V: '/var/tmp',
    h: '/root',
    u: 'root',
  };
  return value.replace(/%([%A-Za-z])/g, (whole, letter: string) => texts[letter] ?? whole);
}
