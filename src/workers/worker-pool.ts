/**
 * Several threads that listen on one port: started, changed and stopped together, and replaced one by one when they die.
 * What they serve is theirs; here is only that they do.
 */
import { waitAtMost } from '../platform/wait.ts';
import type { FromWorker, LineTarget, ToWorker } from './worker-thread.ts';

export interface PoolOptions<Setup, Question> {
  readonly count: number;
  readonly create: () => Worker;
  /** What worker `thread` (from 1) is made of, now: asked at each start and change. `port` is null until the first has one. */
  readonly setup: (thread: number, port: number | null) => Setup;
  /** Rejects with an Error whose message the worker may have. */
  readonly answer: (question: Question) => Promise<unknown>;
  readonly onLines: (lines: string, to: LineTarget) => void;
  /** A worker has ended, for whatever reason: release what it may have held of the shared memory. */
  readonly onEnd: (thread: number) => void;
  /** It has ended by itself; another takes its place. */
  readonly onDeath: (thread: number, fault: string) => void;
}

export interface WorkerPool<News> {
  readonly url: string;
  /**
   * Gives each worker the newest setup. Resolves when all use it, or a newer one; a worker that cannot take it, or takes
   * too long, is ended and started anew. Rejects where one of them still uses an older setup or does not start.
   */
  readonly change: () => Promise<void>;
  readonly tell: (news: News) => void;
  /** Whether every worker answers within a second. */
  readonly isAlive: () => Promise<boolean>;
  /** What is known of each worker, without asking it. */
  readonly states: () => readonly MemberState[];
  /** Resolves when running requests are answered or `graceMs` have passed, and the threads have ended. */
  readonly stop: (graceMs: number) => Promise<void>;
}

export interface MemberState {
  readonly thread: number;
  readonly isListening: boolean;
  /** Of the setup that it said it uses. */
  readonly generation: number;
  /** How many workers of this thread have died. */
  readonly deaths: number;
}

/** One that dies sooner after its start is started again only after a while. */
const SHORT_LIFE_MS = 10_000;
const PAUSE_MS = 1000;
const PING_MS = 1000;
/** How long a worker may take over a change, to start, and to end when it is made to. */
const CHANGE_MS = 10_000;
const START_MS = 10_000;
const END_MS = 2000;
/** What a worker may take beyond the grace to say that it has stopped. */
const LAST_WORD_MS = 1000;
const NO_WORD = 'it ended without an error';

/** Resolves when all listen. Rejects where the first cannot. */
export async function startWorkers<Setup extends Numbered, News, Question>(
  options: PoolOptions<Setup, Question>,
): Promise<WorkerPool<News>> {
  const members = Array.from(
    { length: options.count },
    (_, index) => new Member<Setup, News, Question>(index + 1, options),
  );
  const [first, ...others] = members;
  if (first === undefined) throw new Error('There is no worker.');
  let address: ListeningAddress;
  try {
    address = await first.start(null);
    await Promise.all(others.map((member) => member.start(address.port)));
  } catch (cause) {
    await Promise.all(members.map((member) => member.stop(0)));
    throw cause;
  }
  return {
    url: address.url,
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
    states: () => members.map((member) => member.state),
    stop: async (graceMs) => void (await Promise.all(members.map((member) => member.stop(graceMs)))),
  };
}

interface ListeningAddress {
  readonly url: string;
  readonly port: number;
}

interface Numbered {
  readonly generation: number;
}

/** What a worker says when it has done what it was asked, or could not. */
interface Done {
  readonly fault: string | null;
  readonly generation: number;
}

/** One member of the pool: its worker, and when that has died the next. */
class Member<Setup extends Numbered, News, Question> {
  readonly #thread: number;
  readonly #options: PoolOptions<Setup, Question>;
  readonly #awaited = new Map<number, (done: Done) => void>();
  readonly #stopped = Promise.withResolvers<void>();
  #worker: Worker | null = null;
  /** While no worker of this member listens: when one does. */
  #next: PromiseWithResolvers<ListeningAddress> | null = null;
  /** When the worker that is there now has ended. */
  #end = Promise.withResolvers<void>();
  #port: number | null = null;
  #lastId = 0;
  #startedAt = 0;
  #fault = NO_WORD;
  #isStopping = false;
  #isReplaced = false;
  #generation = 0;
  #deaths = 0;
  /** Until then a death is no reason to try again: the start has failed. */
  #hasListened = false;

  constructor(thread: number, options: PoolOptions<Setup, Question>) {
    this.#thread = thread;
    this.#options = options;
  }

  start(port: number | null): Promise<ListeningAddress> {
    this.#port = port;
    this.#startedAt = performance.now();
    this.#fault = NO_WORD;
    this.#end = Promise.withResolvers<void>();
    this.#isReplaced = false;
    const { promise } = this.#awaitNext();
    const worker = this.#options.create();
    this.#worker = worker;
    worker.addEventListener('message', ({ data }) => this.#hear(data));
    worker.addEventListener('error', (event) => {
      event.preventDefault();
      this.#fault = originOf(event.message);
    });
    worker.addEventListener('close', () => this.#ended());
    this.#post({ kind: 'start', setup: this.#options.setup(this.#thread, port) });
    return promise;
  }

  async change(): Promise<void> {
    // One that is being started may have an older setup: it is given the newest like any other.
    if (this.#next !== null) await waitAtMost(START_MS, this.#next.promise);
    if (this.#next === null && (await this.#takesNewest())) return;
    if (!this.#isStopping) await this.#startAnew();
  }

  get state(): MemberState {
    return {
      thread: this.#thread,
      isListening: this.#worker !== null && this.#next === null,
      generation: this.#generation,
      deaths: this.#deaths,
    };
  }

  async ping(): Promise<boolean> {
    return this.#worker !== null && (await this.#request((id) => ({ kind: 'ping', id }))).fault === null;
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

  async #takesNewest(): Promise<boolean> {
    const setup = this.#options.setup(this.#thread, this.#port);
    let done: Done = { fault: `it did not apply a change within ${CHANGE_MS / 1000} s`, generation: 0 };
    const change = async () => {
      done = await this.#request((id) => ({ kind: 'change', id, setup }));
    };
    await waitAtMost(CHANGE_MS, change());
    if (done.fault !== null) this.#fault = done.fault;
    else this.#generation = done.generation;
    return done.fault === null && done.generation >= setup.generation;
  }

  /** Ends the worker, if there is one, and waits for the next, which is made of the newest setup. */
  async #startAnew(): Promise<void> {
    const { promise } = this.#awaitNext();
    if (this.#worker !== null) {
      this.#isReplaced = true;
      this.#worker.terminate();
      await waitAtMost(END_MS, this.#end.promise);
      if (this.#isReplaced && this.#worker !== null)
        throw new Error(`worker ${this.#thread} still uses the old configuration: ${this.#fault}`);
    }
    // It goes on trying beyond that.
    await waitAtMost(START_MS, promise);
    if (this.#next !== null) throw new Error(`worker ${this.#thread} does not start: ${this.#fault}`);
  }

  #request(message: (id: number) => ToWorker<Setup, News>): Promise<Done> {
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve } = Promise.withResolvers<Done>();
    this.#awaited.set(id, resolve);
    this.#post(message(id));
    return promise;
  }

  #hear(message: FromWorker<Question>): void {
    switch (message.kind) {
      case 'listening':
        this.#port = message.port;
        this.#hasListened = true;
        this.#generation = message.generation;
        this.#next?.resolve(message);
        this.#next = null;
        return;
      case 'not-started':
        this.#fault = message.fault;
        this.#worker?.terminate();
        return;
      case 'done':
        this.#awaited.get(message.id)?.(message);
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
    for (const resolve of this.#awaited.values()) resolve({ fault: this.#fault, generation: 0 });
    this.#awaited.clear();
    this.#stopped.resolve();
    this.#end.resolve();
    if (!this.#hasListened) this.#next?.reject(new Error(this.#fault));
    if (!this.#hasListened || this.#isStopping) return;
    this.#awaitNext();
    this.#deaths += 1;
    this.#options.onDeath(this.#thread, this.#fault);
    const livedShort = performance.now() - this.#startedAt < SHORT_LIFE_MS;
    setTimeout(() => this.#replace(), livedShort && !this.#isReplaced ? PAUSE_MS : 0);
  }

  #replace(): void {
    if (!this.#isStopping) void this.start(this.#port);
  }

  #awaitNext(): PromiseWithResolvers<ListeningAddress> {
    this.#next ??= Promise.withResolvers<ListeningAddress>();
    return this.#next;
  }
}

/** Where an uncaught error was thrown. Its text is not told: it may hold what no log may. */
function originOf(report: unknown): string {
  return /^\s*(at .*)$/m.exec(String(report))?.[1] ?? 'it ended with an error';
}
