/** The requests under way: each ends with the last byte of its answer, or when its client has gone. */

export class Transfers {
  #count = 0;
  #allDone = Promise.withResolvers<void>();

  get count(): number {
    return this.#count;
  }

  /**
   * Runs one request, which never rejects: it is under way until the body of its answer has been read to the end or
   * given up. Bun gives up what it does not need: for HEAD, and where the client has gone.
   */
  async track(run: () => Promise<Response>): Promise<Response> {
    this.#count += 1;
    const done = once(() => {
      this.#count -= 1;
      if (this.#count === 0) this.#allDone.resolve();
    });
    const response = await run();
    if (response.body !== null) return new Response(passOn(response.body, done), response);
    done();
    return response;
  }

  /** Resolves when nothing is under way, or after `ms`. */
  async settle(ms: number): Promise<void> {
    if (this.#count === 0) return;
    this.#allDone = Promise.withResolvers<void>();
    const timer = setTimeout(this.#allDone.resolve, ms);
    await this.#allDone.promise;
    clearTimeout(timer);
  }
}

/**
 * The same bytes, read when they are taken. Handed over as it is, a body whose source breaks off would be told by Bun
 * on standard error, with its URL; an error here makes it close the connection, so that the client sees the break.
 */
function passOn(body: ReadableStream<Uint8Array>, done: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const { done: ended, value } = await reader.read();
          if (!ended) return controller.enqueue(value);
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
