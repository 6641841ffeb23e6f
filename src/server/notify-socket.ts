/** A datagram socket of AF_UNIX, which neither Bun nor node:dgram has: three calls of the C library. Linux only. */
import { dlopen } from 'bun:ffi';

/** The way to the manager. */
export interface Channel {
  /** Sends one datagram; false where nobody takes it. */
  readonly send: (text: string) => boolean;
  /** CLOCK_MONOTONIC, by which the manager tells this reload from an earlier one. */
  readonly monotonicMicroseconds: () => bigint;
  readonly processId: () => number;
  readonly close: () => void;
}

/** glibc, then musl as Alpine names it, then musl elsewhere. */
const libraries = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1', 'libc.so'];

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
/** sun_path of sockaddr_un, its closing NUL included. */
const PATH_BYTES = 108;
/** A manager whose queue is full gets this long, in microseconds: READY must not be lost, nor a request kept waiting. */
const SEND_TIMEOUT = 100_000n;

/** `address` is an absolute path, or `@name` of the abstract namespace. Throws an Error that says what is wrong. */
export function openNotifySocket(address: string): Channel {
  const socketAddress = encodeSocketAddress(address);
  const libc = openLibrary();
  const fd = libc.symbols.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) throw new Error('no socket of AF_UNIX can be had');
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

/** sockaddr_un as unix(7) has it: a path ends with NUL, an abstract name begins with one. Throws where it is neither. */
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

function openLibrary() {
  for (const name of libraries) {
    try {
      return dlopen(name, calls);
    } catch {
      // The next one.
    }
  }
  throw new Error(`no C library is there (${libraries.join(', ')})`);
}
