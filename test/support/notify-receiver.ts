/** The service manager's end of NOTIFY_SOCKET: a real datagram socket of AF_UNIX that collects what it is told. */
import { dlopen } from 'bun:ffi';
import { encodeSocketAddress } from '../../src/server/service-manager.ts';

export interface NotifyReceiver extends Disposable {
  /** Each datagram so far, as its assignments. */
  readonly received: () => readonly Readonly<Record<string, string>>[];
  /** Waits for a datagram with this assignment, from the `skip`-th on. Returns its place. */
  readonly waitFor: (assignment: string, skip?: number) => Promise<number>;
}

const SOCK_DGRAM_NONBLOCK_CLOEXEC = 0o2004002;
const WAIT_MS = 15_000;

/** `address` as in NOTIFY_SOCKET. */
export function listenForNotifications(address: string): NotifyReceiver {
  const libc = dlopen('libc.so.6', {
    socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
    bind: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
    recv: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
    close: { args: ['i32'], returns: 'i32' },
  });
  const fd = libc.symbols.socket(1, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0);
  const socketAddress = encodeSocketAddress(address);
  if (libc.symbols.bind(fd, socketAddress, socketAddress.length) !== 0)
    throw new Error(`${address} cannot be bound.`);
  const datagrams: Record<string, string>[] = [];
  const buffer = Buffer.alloc(4096);
  const read = () => {
    for (;;) {
      const length = Number(libc.symbols.recv(fd, buffer, buffer.length, 0));
      if (length < 0) return;
      const lines = buffer.toString('utf8', 0, length).split('\n');
      datagrams.push(Object.fromEntries(lines.map((line) => line.split(/=(.*)/s, 2))));
    }
  };
  return {
    received: () => {
      read();
      return datagrams;
    },
    waitFor: async (assignment, skip = 0) => {
      const [name = '', value] = assignment.split('=');
      const deadline = performance.now() + WAIT_MS;
      for (;;) {
        read();
        const place = datagrams.findIndex((datagram, index) => index >= skip && datagram[name] === value);
        if (place >= 0) return place;
        if (performance.now() > deadline)
          throw new Error(`No ${assignment} in ${WAIT_MS} ms: ${JSON.stringify(datagrams)}`);
        await Bun.sleep(10);
      }
    },
    [Symbol.dispose]: () => void libc.symbols.close(fd),
  };
}
