/** Small bodies are kept while their requests are under way, so that each can be sent twice; together they are bounded. */
import type { OutgoingBody } from './forward.ts';

/** Above any manifest that registries take (4 MiB), below any layer that matters. */
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_BYTES_TOGETHER = 64 * 1024 * 1024;

export class KeptBodies {
  #bytes = 0;

  /**
   * Runs `send` with the body of the request: read, where it is small, its length is known, and there is room; else
   * as it comes. The room is taken before the first byte, so that slow senders cannot have more of it than others.
   */
  async use<Result>(request: Request, send: (body: OutgoingBody) => Promise<Result>): Promise<Result> {
    if (request.body === null) return send(null);
    const length = Number(request.headers.get('content-length') ?? Number.NaN);
    if (!(length <= MAX_BYTES && this.#bytes + length <= MAX_BYTES_TOGETHER)) return send(request.body);
    this.#bytes += length;
    try {
      return await send(new Uint8Array(await request.arrayBuffer()));
    } finally {
      this.#bytes -= length;
    }
  }
}
