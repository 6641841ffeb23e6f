/** The last decisions of every thread, in memory, as their lines. */

const MOST_LINES = 1000;
/** Characters: a line is usually 600, and 8 KiB at most where it is a refusal. */
const MOST_LENGTH = 2 * 1024 * 1024;

export class RecentDecisions {
  readonly #mostLines: number;
  readonly #mostLength: number;
  readonly #lines: string[] = [];
  #length = 0;

  constructor(mostLines = MOST_LINES, mostLength = MOST_LENGTH) {
    this.#mostLines = mostLines;
    this.#mostLength = mostLength;
  }

  /** Whole lines, as a log writes them. */
  add(lines: string): void {
    for (const line of lines.split('\n')) {
      if (line === '') continue;
      this.#lines.push(line);
      this.#length += line.length;
    }
    while (this.#lines.length > this.#mostLines || this.#length > this.#mostLength)
      this.#length -= this.#lines.shift()?.length ?? 0;
  }

  get count(): number {
    return this.#lines.length;
  }

  /** The newest first. */
  *newest(): Generator<string> {
    for (let at = this.#lines.length - 1; at >= 0; at -= 1) {
      const line = this.#lines[at];
      if (line !== undefined) yield line;
    }
  }
}
