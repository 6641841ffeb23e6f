/** The requests under way, and reports about them. A request ends with the last byte of its answer, or when its client disconnects. */
import { waitAtMost } from '../../platform/wait.ts';

/** Content that passes through the agent, in either direction. */
export interface Transfer {
  readonly method: string;
  readonly path: string;
  /** So far. */
  bytes: number;
  /** Epoch seconds. */
  readonly startedAt: number;
  /** How the registry's token was got; null where none was needed. */
  token: string | null;
  /** Of the registry's answer; null before it. */
  status: number | null;
}

/** Called every 10 s during a transfer, and at its end. */
export type TransferListener = (transfer: Readonly<Transfer>, isDone: boolean) => void;

const PROGRESS_MS = 10_000;

/** The same bytes, counted. */
export function countBytes(
  stream: ReadableStream<Uint8Array>,
  transfer: Transfer | null,
): ReadableStream<Uint8Array> {
  if (transfer === null) return stream;
  return stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => {
        transfer.bytes += chunk.byteLength;
        controller.enqueue(chunk);
      },
    }),
  );
}

/** Reports a transfer until the returned function is called. */
export function reportTransfer(transfer: Transfer, listener: TransferListener): () => void {
  const timer = setInterval(() => listener(transfer, false), PROGRESS_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    listener(transfer, true);
  };
}

export class Transfers {
  #count = 0;
  #allDone = Promise.withResolvers<void>();

  get count(): number {
    return this.#count;
  }

  /**
   * Runs one request, which never rejects. It is under way until the body of its answer has been read or cancelled; Bun cancels
   * it for HEAD, and when the client disconnects. `onEnd` is called then.
   */
  async track(
    run: () => Promise<Response>,
    transfer: Transfer | null = null,
    onEnd: () => void = () => {},
  ): Promise<Response> {
    this.#count += 1;
    const done = once(() => {
      onEnd();
      this.#count -= 1;
      if (this.#count === 0) this.#allDone.resolve();
    });
    const response = await run();
    if (response.body !== null) return new Response(passOn(response.body, transfer, done), response);
    done();
    return response;
  }

  /** Resolves when nothing is under way, or after `ms`. */
  async settle(ms: number): Promise<void> {
    if (this.#count === 0) return;
    this.#allDone = Promise.withResolvers<void>();
    await waitAtMost(ms, this.#allDone.promise);
  }
}

/**
 * The same bytes, pulled one chunk at a time. If a body were passed on as it is and its source broke off, Bun would print an error
 * with the URL; an error from here makes it close the connection, so that the client notices.
 */
function passOn(
  body: ReadableStream<Uint8Array>,
  transfer: Transfer | null,
  done: () => void,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const { done: ended, value } = await reader.read();
          if (!ended) {
            if (transfer !== null) transfer.bytes += value.byteLength;
            return controller.enqueue(value);
          }
          controller.close();
        } catch (cause) {
          controller.error(cause);
        }
        done();
      },
      cancel: async (reason) => {
        done();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    act();
  };
}
