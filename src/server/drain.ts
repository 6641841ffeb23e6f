/**
 * The time between the wish to stop and the end of a listener: requests that are on their way over open connections are
 * answered, and each answer closes its connection. Bun.serve's own stop closes idle connections at once, and with them
 * what their clients have sent and nobody has read yet.
 */

/** A client that reuses its connection does so sooner than this. */
const QUIET_MS = 100;
/** Where new connections never cease, a listener that waited for quiet would not end. */
const LONGEST_MS = 1000;
const LOOK_MS = 5;

export class Drain {
  #isDraining = false;
  /** In milliseconds of `performance.now()`. */
  #lastRequest = 0;

  /** Passes an answer on, which is the last of its connection once the listener drains. */
  async closing(answer: Promise<Response>): Promise<Response> {
    if (this.#isDraining) this.#lastRequest = performance.now();
    const response = await answer;
    if (this.#isDraining) response.headers.set('Connection', 'close');
    return response;
  }

  /** Whether answers say that they are the last. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  /**
   * Resolves when no request has come for a while, at the latest after `mostMs`; `isExpecting` tells of connections whose
   * first request cannot be read yet.
   */
  async start(mostMs: number, isExpecting: () => boolean = () => false): Promise<void> {
    const began = performance.now();
    this.#isDraining = true;
    this.#lastRequest = began;
    const end = began + Math.min(mostMs, LONGEST_MS);
    for (let now = began; now < end && now < this.#lastRequest + QUIET_MS; now = performance.now()) {
      if (isExpecting()) this.#lastRequest = now;
      await Bun.sleep(LOOK_MS);
    }
  }
}
