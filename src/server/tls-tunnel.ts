/**
 * One TLS connection and the plain connection to the inner server that its bytes are copied to: who the client is, the
 * state of both sockets, and when the connection is closed. The bytes are copied and not looked at.
 */
import type { ClientConnection } from '../request/client-connection.ts';

export interface ByteSource {
  pause(): void;
  resume(): void;
}

export interface ByteSink {
  /** Returns how many of the bytes were accepted; less than 1 for none. */
  write(bytes: Uint8Array): number;
}

/**
 * One direction of a connection: copies bytes from one socket to another, no faster than the sink accepts them. While the
 * sink has not accepted everything, the rest is buffered and the source is paused, so the buffer holds at most what the
 * source had already read: a few hundred KiB.
 */
export class SocketPipe {
  readonly #source: ByteSource;
  #sink: ByteSink | null;
  #waiting: Uint8Array | null = null;

  /** Without a sink, everything is buffered until openSink. */
  constructor(source: ByteSource, sink: ByteSink | null) {
    this.#source = source;
    this.#sink = sink;
  }

  get isWaiting(): boolean {
    return this.#waiting !== null;
  }

  /** Passes bytes on. What must be buffered is copied: the caller may reuse its buffer. */
  push(bytes: Uint8Array): void {
    if (this.#waiting !== null) this.#waiting = Buffer.concat([this.#waiting, bytes]);
    else this.#waiting = this.#sink === null ? Buffer.from(bytes) : writeTo(this.#sink, bytes);
    if (this.#waiting !== null) this.#source.pause();
  }

  openSink(sink: ByteSink): void {
    this.#sink = sink;
    this.drain();
  }

  /** Writes what is buffered; resumes the source when nothing is left. */
  drain(): void {
    if (this.#waiting === null || this.#sink === null) return;
    this.#waiting = writeTo(this.#sink, this.#waiting);
    if (this.#waiting === null) this.#source.resume();
  }
}

/** Returns a copy of what the sink did not accept; null if it accepted everything. */
function writeTo(sink: ByteSink, bytes: Uint8Array): Uint8Array | null {
  const taken = Math.max(sink.write(bytes), 0);
  return taken >= bytes.byteLength ? null : Buffer.from(bytes.subarray(taken));
}

/** What a tunnel needs of a socket; those of Bun.listen and Bun.connect have it. */
export interface TunnelSocket extends ByteSource, ByteSink {
  readonly localAddress: string;
  readonly localPort: number;
  /** Closes in order, after everything that was written. */
  end(): unknown;
  /** Closes at once. */
  terminate(): void;
}

export interface TunnelOptions {
  /** From the first byte to the inner connection, handshake included. */
  readonly handshakeMs: number;
  /** How long a client may read nothing of its answer, or keep its side open after ours is closed. */
  readonly idleMs: number;
  /** The connection ends with its next answer after this time, and without one `idleMs` later. */
  readonly lifetimeMs: number;
  /** Whether each answer must be the connection's last. */
  readonly isLastAnswer: () => boolean;
}

/** The tunnel of each connection of the inner server, by the source address and port of the connection. */
export type Routes = Map<string, TlsTunnel>;

/** `shaking hands -> open -> ending -> gone`; each stage may be skipped. */
type Stage = 'shaking hands' | 'open' | 'ending' | 'gone';

/** The key of a route. The address is part of it because 127.0.0.2 can use the same port. */
export function routeKey(address: string, port: number): string {
  return `${address} ${port}`;
}

export class TlsTunnel {
  readonly #client: TunnelSocket;
  readonly #routes: Routes;
  readonly #options: TunnelOptions;
  readonly #toServer: SocketPipe;
  #toClient: SocketPipe | null = null;
  #server: TunnelSocket | null = null;
  #serverEnded = false;
  /** No more requests are expected: it ends with the last answer. */
  #isLast = false;
  #route: string | null = null;
  #identity: ClientConnection | null = null;
  #wasTrusted = false;
  #hasAnswered = false;
  #stage: Stage = 'shaking hands';
  #answering = 0;
  /** Whether any bytes were passed on since the last look. */
  #stirred = false;
  /** When the connection is given up unless the client continues; in milliseconds of `performance.now()`. */
  #deadline: number;
  /** After this time each answer is the last; in milliseconds of `performance.now()`. */
  readonly #expiry: number;

  constructor(client: TunnelSocket, routes: Routes, options: TunnelOptions) {
    this.#client = client;
    this.#routes = routes;
    this.#options = options;
    this.#toServer = new SocketPipe(client, null);
    const now = performance.now();
    this.#deadline = now + options.handshakeMs;
    this.#expiry = now + options.lifetimeMs;
  }

  /** False once its answers are sent or given up. */
  get isBusy(): boolean {
    return this.#stage === 'shaking hands' || this.#stage === 'open';
  }

  get isShakingHands(): boolean {
    return this.#stage === 'shaking hands';
  }

  /** The handshake is complete. The connection keeps this identity. */
  identify(identity: ClientConnection): void {
    this.#identity ??= identity;
    this.#wasTrusted = this.#identity.certificate?.trusted ?? false;
  }

  /**
   * Answers a request that arrived over this tunnel's inner connection. A body must not be a stream that pauses: a client that
   * has half-closed would not get the rest. The last answer has `Connection: close`, and the inner server closes its connection
   * after it.
   */
  async answer(handle: (connection: ClientConnection) => Promise<Response>): Promise<Response> {
    if (this.#identity === null) return new Response(null, { status: 403 });
    this.#answering += 1;
    try {
      const response = await handle(this.#identity);
      if (this.#isLastAnswer(this.#identity)) response.headers.set('Connection', 'close');
      return response;
    } finally {
      this.#answering -= 1;
      this.#hasAnswered = true;
      this.#stirred = true; // the answer is not sent yet
    }
  }

  /** The inner connection is open. Its route is registered before the first byte can arrive over it. */
  serverOpened(server: TunnelSocket): void {
    if (this.#stage !== 'shaking hands') {
      server.end();
      return;
    }
    this.#stage = 'open';
    this.#deadline = Infinity;
    this.#server = server;
    this.#toClient = new SocketPipe(server, this.#client);
    this.#route = routeKey(server.localAddress, server.localPort);
    this.#routes.set(this.#route, this);
    this.#toServer.openSink(server);
  }

  /** Bytes that arrive after the end are read and dropped, so that the client's own end is noticed. */
  clientSent(bytes: Uint8Array): void {
    if (!this.isBusy) return;
    this.#stirred = true;
    this.#toServer.push(withUsualExpect(bytes));
  }

  serverSent(bytes: Uint8Array): void {
    if (this.#stage !== 'open') return;
    this.#stirred = true;
    const wasWaiting = this.#toClient?.isWaiting;
    this.#toClient?.push(bytes);
    if (!wasWaiting) this.#expectClient();
  }

  clientDrained(): void {
    this.#toClient?.drain();
    if (this.#stage !== 'open') return;
    this.#expectClient();
    if (this.#serverEnded && !this.#toClient?.isWaiting) this.#end();
  }

  serverDrained(): void {
    this.#toServer.drain();
  }

  /**
   * The client sends no more. It still gets the answers to its requests, so the inner side stays open: Bun.serve drops the answer
   * of a running handler when its client half-closes.
   */
  clientEnded(): void {
    this.retire();
  }

  /** Ends the connection once it is quiet, or at once before the handshake is complete. */
  retire(): void {
    this.#isLast = true;
    this.#stirred = true;
    if (this.#identity === null) this.terminate();
  }

  /** Ends a connection that has had an answer, once it is quiet. A new connection may still send its request. */
  endIfIdle(): void {
    if (this.#hasAnswered && !this.#isLast) this.retire();
  }

  /** The inner server has closed the connection, after its last answer or because it was idle. */
  serverEnded(): void {
    this.#serverEnded = true;
    this.#removeRoute();
    if (this.#stage === 'open' && !this.#toClient?.isWaiting) this.#end();
  }

  /** Closes both sides at once. Bytes that were not sent yet are lost. */
  terminate(): void {
    if (this.#stage === 'gone') return;
    this.#stage = 'gone';
    this.#endServer();
    this.#client.terminate();
  }

  /** The handshake failed. The TLS alert is still sent. */
  refuse(): void {
    this.#end();
  }

  /** Called at intervals to end the connection when it is time; `now` in milliseconds of `performance.now()`. */
  look(now: number): void {
    const quiet =
      !this.#stirred && this.#answering === 0 && !this.#toServer.isWaiting && !this.#toClient?.isWaiting;
    this.#stirred = false;
    if (now > this.#deadline || now > this.#expiry + this.#options.idleMs) this.terminate();
    else if (this.#isLast && quiet) this.#end();
  }

  #isLastAnswer({ certificate }: ClientConnection): boolean {
    const hasLostTrust = this.#wasTrusted && certificate?.trusted === false;
    return hasLostTrust || performance.now() > this.#expiry || this.#options.isLastAnswer();
  }

  #expectClient(): void {
    this.#deadline = this.#toClient?.isWaiting ? performance.now() + this.#options.idleMs : Infinity;
  }

  /** Closes both sides in order: everything that was written still arrives. */
  #end(): void {
    if (!this.isBusy) return;
    this.#stage = 'ending';
    this.#deadline = performance.now() + this.#options.idleMs;
    this.#endServer();
    this.#client.end();
  }

  /** With FIN, not RST: the port stays in use until the inner server has noticed the end of the connection. */
  #endServer(): void {
    this.#removeRoute();
    this.#server?.end();
  }

  /** Another tunnel may use the port by now; its route stays. */
  #removeRoute(): void {
    if (this.#route !== null && this.#routes.get(this.#route) === this) this.#routes.delete(this.#route);
    this.#route = null;
  }
}

/**
 * Writes the value of an `Expect` header in lower case. It is case-insensitive (RFC 9110 §10.1.1), but Bun sends
 * `100 Continue` only for `100-continue`, and the client would wait for it. Only the case changes, so the message stays as
 * long as it is. A header that arrives in two reads is left alone; such a client sends its body after a while.
 */
function withUsualExpect(bytes: Uint8Array): Uint8Array {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!view.includes('100-')) return bytes;
  const text = view.toString('latin1');
  const usual = text.replace(
    /(\r\nexpect:[ \t]*)(100-continue)(?=[ \t]*\r\n)/gi,
    (_, name: string, value: string) => name + value.toLowerCase(),
  );
  return usual === text ? bytes : Buffer.from(usual, 'latin1');
}
