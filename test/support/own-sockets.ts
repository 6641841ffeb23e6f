/** The TCP sockets of this process over IPv4, as Linux lists them: what no test could ask the program for. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface OwnSocket {
  /** Tells two sockets apart that follow each other on a port. */
  readonly inode: string;
  readonly localPort: number;
  readonly remotePort: number;
  readonly isListening: boolean;
}

export function ownSockets(): OwnSocket[] {
  const inodes = new Set(
    readdirSync('/proc/self/fd').map((descriptor) => /^socket:\[(\d+)\]$/.exec(linkOf(descriptor))?.[1]),
  );
  const [, ...rows] = readFileSync('/proc/self/net/tcp', 'latin1').trim().split('\n');
  return rows
    .map((row) => row.trim().split(/\s+/))
    .filter((columns) => inodes.has(columns[9]))
    .map(([, local, remote, state, , , , , , inode = '']) => ({
      inode,
      localPort: portOf(local),
      remotePort: portOf(remote),
      isListening: state === '0A',
    }));
}

/** The descriptor that lists the folder is closed by now. */
function linkOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return '';
  }
}

function portOf(address = ''): number {
  return Number.parseInt(address.split(':')[1] ?? '', 16);
}
