/** An HTTP client of bytes: what was written over a connection, and whether its whole answer came. */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface RawTarget {
  readonly port: number;
  readonly tls: boolean;
}

/** What became of one connection's last request; `refused`: nothing was ever written. */
export type Ending = 'answered' | 'lost' | 'refused';

export interface ConnectionOptions {
  /** The text of the next request; null for no more. */
  readonly next: () => string | null;
  /** Told of each whole answer. */
  readonly onAnswer: (status: number, text: string) => void;
  /** Whether more than one request goes over the connection. */
  readonly keepAlive: boolean;
  /** Milliseconds between an answer and the next request. */
  readonly pauseMs: () => number;
}

/** Opens a connection without a word. The socket ends in silence, whatever happens to it. */
export function openSocket({ port, tls }: RawTarget): Socket {
  const place = { host: '127.0.0.1', port };
  const socket = tls ? connectTls({ ...place, rejectUnauthorized: false }) : connect(place);
  socket.on('error', () => {});
  return socket;
}

/** Resolves when the connection can carry requests, or is closed. */
export function untilOpen(socket: Socket, { tls }: RawTarget): Promise<void> {
  return new Promise((resolve) => {
    socket.once(tls ? 'secureConnect' : 'connect', () => resolve());
    socket.once('close', () => resolve());
  });
}

/**
 * Sends requests over one connection until there are no more or the server closes it. A request is never sent after an
 * answer with `Connection: close`.
 */
export function useConnection(target: RawTarget, options: ConnectionOptions): Promise<Ending> {
  const socket = openSocket(target);
  let ending: Ending = 'refused';
  let received = '';
  const send = () => {
    const request = options.next();
    if (request === null || socket.destroyed) return void socket.end();
    ending = 'lost';
    received = '';
    socket.write(request);
  };
  socket.once(target.tls ? 'secureConnect' : 'connect', send);
  socket.on('data', (bytes) => {
    received += bytes.toString('latin1');
    const answer = readAnswer(received);
    if (answer === null) return;
    ending = 'answered';
    options.onAnswer(answer.status, received);
    if (!options.keepAlive) socket.destroy();
    else if (answer.closes) socket.end();
    else setTimeout(send, options.pauseMs());
  });
  return new Promise((resolve) => socket.once('close', () => resolve(ending)));
}

/** Null until the whole body is there, as its Content-Length has it. */
function readAnswer(text: string): { readonly status: number; readonly closes: boolean } | null {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const head = text.slice(0, end);
  const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1]);
  if (!(text.length >= end + 4 + length)) return null;
  return { status: Number(head.split(' ', 2)[1]), closes: /^connection: close$/im.test(head) };
}
