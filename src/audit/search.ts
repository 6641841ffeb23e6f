/** Searches sources for decisions, in the order of their times. */
import { LineBlocks, type Match, Searched, searchBlock } from './lines.ts';
import type { Matcher } from './selection.ts';
import { followFile, type Source, SourceFault } from './sources.ts';

export interface Search {
  readonly searched: Searched;
  /** Of sources that could not be read, or not to their end. The search goes on with the others. */
  readonly faults: string[];
}

export function newSearch(): Search {
  return { searched: new Searched(), faults: [] };
}

/**
 * The matches of all sources, in the order of their times as far as each source is in order itself. Several are read side
 * by side: memory is that of a chunk and a batch for each.
 */
export async function* searchSources(
  sources: readonly Source[],
  matcher: Matcher,
  search: Search,
): AsyncGenerator<readonly Match[]> {
  const streams: MatchStream[] = [];
  for (const source of sources) {
    const stream = new MatchStream(matchesIn(source, matcher, search));
    if (await stream.fill()) streams.push(stream);
  }
  while (streams.length > 0) {
    streams.sort((a, b) => a.time - b.time);
    const [first, second] = streams;
    if (first === undefined) return;
    yield first.takeUntil(second?.time ?? Number.POSITIVE_INFINITY);
    if (!(await first.fill())) streams.shift();
  }
}

/** What is appended to a file, from its start on; null once everything that was there is read. Without end. */
export async function* followMatches(
  path: string,
  matcher: Matcher,
  { searched }: Search,
): AsyncGenerator<readonly Match[] | null> {
  const blocks = new LineBlocks();
  for await (const chunk of followFile(path)) {
    const block = chunk === null ? null : blocks.push(chunk);
    yield block === null ? null : searchBlock(block, matcher, searched);
  }
}

async function* matchesIn(
  source: Source,
  matcher: Matcher,
  { searched, faults }: Search,
): AsyncGenerator<readonly Match[]> {
  const blocks = new LineBlocks();
  try {
    for await (const chunk of source.read()) yield searchBlock(blocks.push(chunk), matcher, searched);
  } catch (cause) {
    if (!(cause instanceof SourceFault)) throw cause;
    faults.push(cause.message);
  }
  yield searchBlock(blocks.end(), matcher, searched);
  searched.lines += blocks.skipped;
  searched.unreadable += blocks.skipped;
}

/** The matches of one source, with the next one in sight. */
class MatchStream {
  readonly #batches: AsyncGenerator<readonly Match[]>;
  #batch: readonly Match[] = [];
  #at = 0;

  constructor(batches: AsyncGenerator<readonly Match[]>) {
    this.#batches = batches;
  }

  /** Of the next match, in epoch milliseconds. */
  get time(): number {
    return this.#batch[this.#at]?.time ?? Number.POSITIVE_INFINITY;
  }

  /** Resolves to whether there is a next match. */
  async fill(): Promise<boolean> {
    while (this.#at >= this.#batch.length) {
      const { value, done } = await this.#batches.next();
      if (done === true) return false;
      this.#batch = value;
      this.#at = 0;
    }
    return true;
  }

  /** The next match, and those of its batch that are not later than `time`. */
  takeUntil(time: number): readonly Match[] {
    const from = this.#at;
    if (time === Number.POSITIVE_INFINITY) this.#at = this.#batch.length;
    else
      do this.#at += 1;
      while (this.#at < this.#batch.length && this.time <= time);
    return from === 0 && this.#at === this.#batch.length ? this.#batch : this.#batch.slice(from, this.#at);
  }
}
