/** One direction of a carried connection: bytes of one socket to another, read no faster than they are taken. */

export interface ByteSource {
  pause(): void;
  resume(): void;
}

export interface ByteSink {
  /** Returns how many of the bytes were taken; less than 1 for none. */
  write(bytes: Uint8Array): number;
}

/**
 * Holds what the sink has not taken yet, and pauses the source while there is any: what waits is at most what the
 * source had read already, a few hundred KiB.
 */
export class ByteFlow {
  readonly #source: ByteSource;
  #sink: ByteSink | null;
  #waiting: Uint8Array | null = null;

  /** Without a sink everything waits until there is one. */
  constructor(source: ByteSource, sink: ByteSink | null) {
    this.#source = source;
    this.#sink = sink;
  }

  get isWaiting(): boolean {
    return this.#waiting !== null;
  }

  /** Passes bytes on. They are copied where they must wait: the caller may use its buffer again. */
  push(bytes: Uint8Array): void {
    if (this.#waiting !== null) this.#waiting = Buffer.concat([this.#waiting, bytes]);
    else this.#waiting = this.#sink === null ? Buffer.from(bytes) : writeTo(this.#sink, bytes);
    if (this.#waiting !== null) this.#source.pause();
  }

  openSink(sink: ByteSink): void {
    this.#sink = sink;
    this.drain();
  }

  /** Writes what waits, and lets the source go on when nothing is left. */
  drain(): void {
    if (this.#waiting === null || this.#sink === null) return;
    this.#waiting = writeTo(this.#sink, this.#waiting);
    if (this.#waiting === null) this.#source.resume();
  }
}

/** Returns a copy of what was not taken; null when all was. */
function writeTo(sink: ByteSink, bytes: Uint8Array): Uint8Array | null {
  const taken = Math.max(sink.write(bytes), 0);
  return taken >= bytes.byteLength ? null : Buffer.from(bytes.subarray(taken));
}
