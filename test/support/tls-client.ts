/** A TLS client that says what a test wants it to, byte by byte, over one connection. */
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { TlsIdentity } from './tls-identities.ts';

export interface HttpAnswer {
  readonly status: number;
  /** The status line and the headers. */
  readonly head: string;
  readonly body: string;
}

export interface TlsClient extends Disposable {
  readonly socket: TLSSocket;
  /** Common name of the certificate that the server showed. */
  readonly serverName: string;
  readonly write: (text: string) => void;
  /** The next answer on this connection. Rejects where the connection ends before. */
  readonly answer: () => Promise<HttpAnswer>;
  /** A GET, and its answer. */
  readonly get: (path: string) => Promise<HttpAnswer>;
  /** Resolves when the connection is closed, however it came to be. */
  readonly closed: Promise<void>;
}

/** The text of a GET. */
export function getRequest(path: string, ...headers: readonly string[]): string {
  return `GET ${path} HTTP/1.1\r\n${['Host: localhost', ...headers].join('\r\n')}\r\n\r\n`;
}

/** Connects, with the certificate of `identity` or none. Rejects where the handshake fails. */
export async function connectTls(
  port: number,
  identity: TlsIdentity | null = null,
  options: ConnectionOptions & { readonly allowHalfOpen?: boolean } = {},
): Promise<TlsClient> {
  const own = identity === null ? {} : { cert: identity.certificate, key: identity.key };
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...own, ...options });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const answers = readAnswers(socket);
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('The connection was closed during the handshake.')));
  });
  socket.on('error', () => {});
  const { CN } = socket.getPeerCertificate().subject;
  const write = (text: string) => void socket.write(text);
  return {
    socket,
    serverName: String(CN),
    write,
    answer: answers,
    get: (path) => {
      write(getRequest(path));
      return answers();
    },
    closed,
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** Cuts what arrives into answers, each with a Content-Length. */
function readAnswers(socket: TLSSocket): () => Promise<HttpAnswer> {
  let received = '';
  let isClosed = false;
  const waiting: { resolve: (answer: HttpAnswer) => void; reject: (cause: Error) => void }[] = [];
  const deliver = () => {
    for (const first = waiting[0]; waiting[0] !== undefined && first !== undefined; ) {
      const answer = cutAnswer(received);
      if (answer === null) break;
      received = received.slice(answer.head.length + 4 + answer.body.length);
      waiting.shift()?.resolve(answer);
    }
    if (isClosed)
      for (const { reject } of waiting.splice(0)) reject(new Error(`Closed after "${received}".`));
  };
  socket.on('data', (bytes: Buffer) => {
    received += bytes.toString('latin1');
    deliver();
  });
  socket.once('close', () => {
    isClosed = true;
    deliver();
  });
  return () =>
    new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      deliver();
    });
}

function cutAnswer(text: string): HttpAnswer | null {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const head = text.slice(0, end);
  const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
  if (text.length < end + 4 + length) return null;
  return { status: Number(head.split(' ', 2)[1]), head, body: text.slice(end + 4, end + 4 + length) };
}
