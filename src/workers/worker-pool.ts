/**
 * Several threads that listen on one port: started, changed and stopped together, and replaced one by one when they die.
 * What they serve is theirs; here is only that they do.
 */
import { waitAtMost } from '../platform/wait.ts';
import type { FromWorker, LineTarget, ToWorker } from './worker-messages.ts';

export interface PoolOptions<Setup, Question> {
  readonly count: number;
  readonly create: () => Worker;
  /** What worker `thread` (from 1) is made of, asked at each start and change. `port` is null until the first has one. */
  readonly setup: (thread: number, port: number | null) => Setup;
  /** Rejects with an Error whose message the worker may have. */
  readonly answer: (question: Question) => Promise<unknown>;
  readonly onLines: (lines: string, to: LineTarget) => void;
  /** A worker is no more, whyever: what it may have held of shared memory is nobody's. */
  readonly onEnd: (thread: number) => void;
  /** It has ended by itself; another takes its place. */
  readonly onDeath: (thread: number, fault: string) => void;
}

export interface WorkerPool<News> {
  readonly url: string;
  /** Gives each worker its setup anew. Resolves when all use it; who cannot is replaced by one that does. Rejects where that takes too long. */
  readonly change: () => Promise<void>;
  readonly tell: (news: News) => void;
  /** Whether every worker answers within a second. */
  readonly isAlive: () => Promise<boolean>;
  /** Resolves when running requests are answered or `graceMs` have passed, and the threads have ended. */
  readonly stop: (graceMs: number) => Promise<void>;
}

/** One that dies sooner after its start is started again only after a while. */
const SHORT_LIFE_MS = 10_000;
const PAUSE_MS = 1000;
const PING_MS = 1000;
/** How long a change waits for a worker in the place of another. */
const REPLACE_MS = 10_000;
/** What a worker may take beyond the grace to say that it has stopped. */
const LAST_WORD_MS = 1000;
const NO_WORD = 'it ended without a word';

/** Resolves when all listen. Rejects where the first cannot. */
export async function startWorkers<Setup, News, Question>(
  options: PoolOptions<Setup, Question>,
): Promise<WorkerPool<News>> {
  const members = Array.from(
    { length: options.count },
    (_, index) => new Member<Setup, News, Question>(index + 1, options),
  );
  const [first, ...others] = members;
  if (first === undefined) throw new Error('There is no worker.');
  let place: Place;
  try {
    place = await first.start(null);
    await Promise.all(others.map((member) => member.start(place.port)));
  } catch (cause) {
    await Promise.all(members.map((member) => member.stop(0)));
    throw cause;
  }
  return {
    url: place.url,
    change: async () => void (await Promise.all(members.map((member) => member.change()))),
    tell: (news) => {
      for (const member of members) member.tell(news);
    },
    isAlive: async () => {
      let areAlive = false;
      const look = async () => {
        areAlive = (await Promise.all(members.map((member) => member.ping()))).every(Boolean);
      };
      await waitAtMost(PING_MS, look());
      return areAlive;
    },
    stop: async (graceMs) => void (await Promise.all(members.map((member) => member.stop(graceMs)))),
  };
}

/** Where a worker listens. */
interface Place {
  readonly url: string;
  readonly port: number;
}

/** One member of the pool: its worker, and when that has died the next. */
class Member<Setup, News, Question> {
  readonly #thread: number;
  readonly #options: PoolOptions<Setup, Question>;
  readonly #awaited = new Map<number, (fault: string | null) => void>();
  readonly #stopped = Promise.withResolvers<void>();
  #worker: Worker | null = null;
  /** While no worker of this member listens: when one does. */
  #next: PromiseWithResolvers<Place> | null = null;
  #port: number | null = null;
  #lastId = 0;
  #startedAt = 0;
  #fault = NO_WORD;
  #isStopping = false;
  #isReplaced = false;
  /** Until then a death is no reason to try again: the start has failed. */
  #hasListened = false;

  constructor(thread: number, options: PoolOptions<Setup, Question>) {
    this.#thread = thread;
    this.#options = options;
  }

  start(port: number | null): Promise<Place> {
    this.#port = port;
    this.#startedAt = performance.now();
    this.#fault = NO_WORD;
    this.#isReplaced = false;
    const { promise } = this.#awaitNext();
    const worker = this.#options.create();
    this.#worker = worker;
    worker.addEventListener('message', ({ data }) => this.#hear(data));
    worker.addEventListener('error', (event) => {
      event.preventDefault();
      this.#fault = placeOf(event.message);
    });
    worker.addEventListener('close', () => this.#ended());
    this.#post({ kind: 'start', setup: this.#options.setup(this.#thread, port) });
    return promise;
  }

  async change(): Promise<void> {
    if (this.#next !== null) await waitAtMost(REPLACE_MS, this.#next.promise);
    if (this.#worker === null || this.#next !== null)
      throw new Error(`worker ${this.#thread} is not there: ${this.#fault}`);
    const setup = this.#options.setup(this.#thread, this.#port);
    const fault = await this.#request((id) => ({ kind: 'change', id, setup }));
    if (fault === null || this.#isStopping) return;
    this.#fault = fault;
    this.#isReplaced = true;
    const { promise } = this.#awaitNext();
    this.#worker?.terminate();
    // It goes on trying beyond that; who waits for the change is told.
    await waitAtMost(REPLACE_MS, promise);
    if (this.#next !== null) throw new Error(`worker ${this.#thread} does not start again: ${this.#fault}`);
  }

  async ping(): Promise<boolean> {
    return this.#worker !== null && (await this.#request((id) => ({ kind: 'ping', id }))) === null;
  }

  tell(news: News): void {
    this.#post({ kind: 'news', news });
  }

  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    if (this.#worker === null) return;
    this.#post({ kind: 'stop', graceMs });
    await waitAtMost(graceMs + LAST_WORD_MS, this.#stopped.promise);
    this.#worker?.terminate();
  }

  #post(message: ToWorker<Setup, News>): void {
    this.#worker?.postMessage(message);
  }

  /** The worker's fault, or null when it has done what was asked. */
  #request(message: (id: number) => ToWorker<Setup, News>): Promise<string | null> {
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve } = Promise.withResolvers<string | null>();
    this.#awaited.set(id, resolve);
    this.#post(message(id));
    return promise;
  }

  #hear(message: FromWorker<Question>): void {
    switch (message.kind) {
      case 'listening':
        this.#port = message.port;
        this.#hasListened = true;
        this.#next?.resolve(message);
        this.#next = null;
        return;
      case 'not-started':
        this.#fault = message.fault;
        this.#worker?.terminate();
        return;
      case 'done':
        this.#awaited.get(message.id)?.(message.fault);
        this.#awaited.delete(message.id);
        return;
      case 'ask':
        void this.#answer(message.id, message.question);
        return;
      case 'lines':
        this.#options.onLines(message.lines, message.to);
        return;
      case 'stopped':
        this.#stopped.resolve();
    }
  }

  async #answer(id: number, question: Question): Promise<void> {
    try {
      this.#post({ kind: 'answer', id, answer: await this.#options.answer(question) });
    } catch (cause) {
      this.#post({ kind: 'answer', id, fault: cause instanceof Error ? cause.message : 'unknown fault' });
    }
  }

  #ended(): void {
    this.#worker = null;
    this.#options.onEnd(this.#thread);
    for (const resolve of this.#awaited.values()) resolve(this.#fault);
    this.#awaited.clear();
    this.#stopped.resolve();
    if (!this.#hasListened) this.#next?.reject(new Error(this.#fault));
    if (!this.#hasListened || this.#isStopping) return;
    this.#awaitNext();
    this.#options.onDeath(this.#thread, this.#fault);
    const livedShort = performance.now() - this.#startedAt < SHORT_LIFE_MS;
    setTimeout(() => this.#replace(), livedShort && !this.#isReplaced ? PAUSE_MS : 0);
  }

  #replace(): void {
    if (!this.#isStopping) void this.start(this.#port);
  }

  #awaitNext(): PromiseWithResolvers<Place> {
    this.#next ??= Promise.withResolvers<Place>();
    return this.#next;
  }
}

/** Where an uncaught error was thrown. Its text is not told: it may hold what no log may. */
function placeOf(report: unknown): string {
  return /^\s*(at .*)$/m.exec(String(report))?.[1] ?? 'it ended by an error';
}
