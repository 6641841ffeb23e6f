/**
 * Tells the manager that started the service (systemd) how it is: sd_notify(3) and sd_watchdog_enabled(3). Without
 * NOTIFY_SOCKET nothing happens; a socket that cannot be reached is told once in the log and stops nothing.
 */
import type { Log } from '../telemetry/log.ts';
import type { Channel } from './notify-socket.ts';

export interface ServiceManager extends Disposable {
  /** It answers requests, or has ended a reload, well or not. `status` is shown by `systemctl status`. */
  readonly ready: (status: string) => void;
  readonly reloading: () => void;
  /** It ends within `graceMs`, which the manager is asked to wait for. */
  readonly stopping: (graceMs: number) => void;
}

export interface ServiceManagerOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  /** Whether the service can answer now; asked before each beat of the watchdog, which is left out where it cannot. */
  readonly isAlive: () => Promise<boolean>;
}

/** What is left for closing after the grace has run out. */
const CLOSING_MS = 5000;

/** Never throws. The watchdog's beats start at once and end when it is disposed of. */
export async function connectServiceManager(options: ServiceManagerOptions): Promise<ServiceManager> {
  const { env, log, isAlive } = options;
  const address = env.NOTIFY_SOCKET;
  if (address === undefined || address === '') return silent;
  let warned = false;
  const warn = (reason: string) => {
    if (!warned) log.warn('cannot notify systemd: NOTIFY_SOCKET is unusable', { address, reason });
    warned = true;
  };
  let channel: Channel;
  try {
    // Only here: whoever runs the service without a manager never loads a C library into it.
    const { openNotifySocket } = await import('./notify-socket.ts');
    channel = openNotifySocket(address);
  } catch (cause) {
    warn(cause instanceof Error ? cause.message : 'unknown fault');
    return silent;
  }
  const notify = (...assignments: readonly string[]) => {
    if (!channel.send(assignments.join('\n'))) warn('no process receives on this socket');
  };
  const period = watchdogPeriod(env, channel.processId());
  const beat = async () => {
    if (await isAlive().catch(() => false)) notify('WATCHDOG=1');
  };
  const timer = period === null ? null : setInterval(() => void beat(), period);
  return {
    ready: (status) => notify('READY=1', `STATUS=${oneLine(status)}`),
    reloading: () =>
      notify('RELOADING=1', `MONOTONIC_USEC=${channel.monotonicMicroseconds()}`, 'STATUS=reloading'),
    stopping: (graceMs) =>
      notify('STOPPING=1', 'STATUS=stopping', `EXTEND_TIMEOUT_USEC=${(graceMs + CLOSING_MS) * 1000}`),
    [Symbol.dispose]: () => {
      if (timer !== null) clearInterval(timer);
      channel.close();
    },
  };
}

const silent: ServiceManager = {
  ready: () => {},
  reloading: () => {},
  stopping: () => {},
  [Symbol.dispose]: () => {},
};

/** Milliseconds between two beats: half of what the manager waits for; null where it expects none from this process. */
export function watchdogPeriod(
  env: Readonly<Record<string, string | undefined>>,
  processId: number,
): number | null {
  const { WATCHDOG_USEC: limit = '', WATCHDOG_PID: pid } = env;
  if (!/^[1-9]\d{0,15}$/.test(limit)) return null;
  if (pid !== undefined && pid !== String(processId)) return null;
  // A timer of more than 2^31 - 1 ms would fire at once.
  return Math.min(Math.max(Math.floor(Number(limit) / 2000), 1), 2 ** 31 - 1);
}

/** A line feed would begin the next assignment. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}
