/**
 * Reports the state of the service to systemd: sd_notify(3) and sd_watchdog_enabled(3). Without NOTIFY_SOCKET nothing is sent. A
 * socket that cannot be reached causes one warning in the log, and the service goes on.
 */
import { readFileSync } from 'node:fs';
import { openCLibrary } from '../platform/c-library.ts';
import type { Log } from '../telemetry/log.ts';

export interface ServiceManager extends Disposable {
  /** The service answers requests, or a reload has ended, whether it succeeded or failed. `systemctl status` shows `status`. */
  readonly ready: (status: string) => void;
  /** Changes what `systemctl status` shows, and nothing else. */
  readonly status: (status: string) => void;
  readonly reloading: () => void;
  /** The service stops within `graceMs`; systemd is asked to wait as long. */
  readonly stopping: (graceMs: number) => void;
}

export interface ServiceManagerOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  /** Whether the service can answer now. Called before each watchdog message, which is not sent if it cannot. */
  readonly isAlive: () => Promise<boolean>;
}

/** The systemd unit that this process is the main process of, without `.service`; null elsewhere. */
export function unitName(env: Readonly<Record<string, string | undefined>>): string | null {
  if (!env.NOTIFY_SOCKET) return null;
  try {
    return /([^/\n]+)\.service$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? null;
  } catch {
    return null;
  }
}

/** Time to close everything after `graceMs`. */
const CLOSING_MS = 5000;

/** Never throws. Watchdog messages are sent from now on until it is disposed of. */
export function connectServiceManager(options: ServiceManagerOptions): ServiceManager {
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
    channel = openNotifySocket(address);
  } catch (cause) {
    warn(cause instanceof Error ? cause.message : 'unknown error');
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
    status: (status) => notify(`STATUS=${oneLine(status)}`),
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
  status: () => {},
  reloading: () => {},
  stopping: () => {},
  [Symbol.dispose]: () => {},
};

/** Milliseconds between two watchdog messages: half of systemd's limit. null if it expects none from this process. */
export function watchdogPeriod(
  env: Readonly<Record<string, string | undefined>>,
  processId: number,
): number | null {
  const { WATCHDOG_USEC: limit = '', WATCHDOG_PID: pid } = env;
  if (!/^[1-9]\d{0,15}$/.test(limit)) return null;
  if (pid !== undefined && pid !== String(processId)) return null;
  // A timer of more than 2^31 - 1 ms fires at once.
  return Math.min(Math.max(Math.floor(Number(limit) / 2000), 1), 2 ** 31 - 1);
}

/** A line feed would start the next assignment. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}

/** A datagram socket of AF_UNIX, which neither Bun nor node:dgram has: a few calls of the C library. Linux only. */
interface Channel {
  /** Sends one datagram. False if no process receives it. */
  readonly send: (text: string) => boolean;
  /** CLOCK_MONOTONIC, by which systemd tells this reload from an earlier one. */
  readonly monotonicMicroseconds: () => bigint;
  readonly processId: () => number;
  readonly close: () => void;
}

const calls = {
  socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  setsockopt: { args: ['i32', 'i32', 'i32', 'ptr', 'u32'], returns: 'i32' },
  sendto: { args: ['i32', 'ptr', 'u64', 'i32', 'ptr', 'u32'], returns: 'i64' },
  close: { args: ['i32'], returns: 'i32' },
  clock_gettime: { args: ['i32', 'ptr'], returns: 'i32' },
  getpid: { args: [], returns: 'i32' },
} as const;

// Linux, the same on amd64 and arm64.
const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 0o2000002;
const SOL_SOCKET = 1;
const SO_SNDTIMEO = 21;
const MSG_NOSIGNAL = 0x4000;
const CLOCK_MONOTONIC = 1;
/** sun_path of sockaddr_un, with the NUL at its end. */
const PATH_BYTES = 108;
/** In microseconds. How long a full queue of systemd may delay a message, so that READY is not lost and no request waits long. */
const SEND_TIMEOUT = 100_000n;

/** `address` is an absolute path, or `@name` of the abstract namespace. Throws an Error that says what is wrong. */
function openNotifySocket(address: string): Channel {
  const socketAddress = encodeSocketAddress(address);
  const libc = openCLibrary(calls);
  const fd = libc.symbols.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) throw new Error('cannot open a socket of AF_UNIX');
  libc.symbols.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, new BigInt64Array([0n, SEND_TIMEOUT]), 16);
  return {
    send: (text) => {
      const bytes = Buffer.from(text);
      const { length } = socketAddress;
      const sent = libc.symbols.sendto(fd, bytes, bytes.length, MSG_NOSIGNAL, socketAddress, length);
      return Number(sent) === bytes.length;
    },
    monotonicMicroseconds: () => {
      const time = new BigInt64Array(2);
      libc.symbols.clock_gettime(CLOCK_MONOTONIC, time);
      const [seconds = 0n, nanoseconds = 0n] = time;
      return seconds * 1_000_000n + nanoseconds / 1000n;
    },
    processId: () => libc.symbols.getpid(),
    close: () => void libc.symbols.close(fd),
  };
}

/** sockaddr_un of unix(7): a path ends with NUL, an abstract name starts with one. Throws if `address` is neither. */
export function encodeSocketAddress(address: string): Buffer {
  if (!/^[/@]./.test(address) || address.includes('\0'))
    throw new Error('it is neither an absolute path nor @name');
  const path = Buffer.from(address.startsWith('@') ? `\0${address.slice(1)}` : `${address}\0`);
  if (path.length > PATH_BYTES)
    throw new Error(`it has more than the ${PATH_BYTES - 1} bytes of a socket's path`);
  const family = Buffer.alloc(2);
  new Uint16Array(family.buffer, family.byteOffset, 1)[0] = AF_UNIX;
  return Buffer.concat([family, path]);
}
