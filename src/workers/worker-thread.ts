/** The worker's end: it does what the main thread says, and asks there for what only the main thread has. */
import { errorCodeOrMessage } from '../platform/errors.ts';
import type { Listener } from '../server/listen.ts';

/**
 * What the main thread and a worker say to each other: plain values, copied from one to the other. `Setup` is all that
 * a worker is made of, `News` what may reach it later.
 */
export type ToWorker<Setup, News> =
  | { readonly kind: 'start'; readonly setup: Setup }
  /** Answered by `done`. */
  | { readonly kind: 'change'; readonly id: number; readonly setup: Setup }
  | { readonly kind: 'ping'; readonly id: number }
  | { readonly kind: 'news'; readonly news: News }
  /** To an `ask`: exactly one of `answer` and `fault` is there. */
  | { readonly kind: 'answer'; readonly id: number; readonly answer?: unknown; readonly fault?: string }
  | { readonly kind: 'stop'; readonly graceMs: number };

export type FromWorker<Question> =
  | {
      readonly kind: 'listening';
      readonly url: string;
      readonly port: number;
      readonly generation: number;
    }
  | { readonly kind: 'not-started'; readonly fault: string }
  /** `generation`: of the setup that is in use then. */
  | {
      readonly kind: 'done';
      readonly id: number;
      readonly fault: string | null;
      readonly generation: number;
    }
  | { readonly kind: 'ask'; readonly id: number; readonly question: Question }
  /** Whole lines. */
  | { readonly kind: 'lines'; readonly to: LineTarget; readonly lines: string }
  | { readonly kind: 'stopped' };

/** What the main thread alone writes to. */
export type LineTarget = 'log' | 'decisions';

/** The way to the main thread. */
export interface MainThread<Question> {
  /** Rejects with the fault that the main thread tells. */
  readonly ask: (question: Question) => Promise<unknown>;
  readonly writeLines: (lines: string, to: LineTarget) => void;
}

/** What runs in the worker. */
export interface WorkerService<Setup, News> {
  readonly listener: Listener;
  /** Takes a new setup into use, or rejects: the worker is then replaced. */
  readonly change: (setup: Setup) => Promise<void>;
  readonly hear: (news: News) => void;
  /** After the last answer. */
  readonly close: () => Promise<void>;
}

/** What a worker has of `self`. */
export interface WorkerScope {
  onmessage: ((event: { data: never }) => void) | null;
  postMessage(message: unknown): void;
}

/** Waits for the setup, starts the service by it and serves the main thread until it says stop. */
export function runWorker<Setup extends { readonly generation: number }, News, Question>(
  scope: WorkerScope,
  start: (setup: Setup, main: MainThread<Question>) => Promise<WorkerService<Setup, News>>,
): void {
  const post = (message: FromWorker<Question>) => scope.postMessage(message);
  const asked = new Map<number, PromiseWithResolvers<unknown>>();
  let lastId = 0;
  const main: MainThread<Question> = {
    ask: (question) => {
      const answer = Promise.withResolvers<unknown>();
      lastId += 1;
      asked.set(lastId, answer);
      post({ kind: 'ask', id: lastId, question });
      return answer.promise;
    },
    writeLines: (lines, to) => post({ kind: 'lines', to, lines }),
  };
  let service: WorkerService<Setup, News> | null = null;
  let generation = 0;
  /** Start, changes and news one after another, in the order in which they were sent. */
  let work: Promise<void> = Promise.resolve();
  const inOrder = (step: () => Promise<void> | void) => {
    work = work.then(step);
  };

  const begin = async (setup: Setup) => {
    try {
      service = await start(setup, main);
      ({ generation } = setup);
      post({ kind: 'listening', url: service.listener.url, port: service.listener.port, generation });
    } catch (cause) {
      post({ kind: 'not-started', fault: errorCodeOrMessage(cause) });
    }
  };
  const change = async (id: number, setup: Setup) => {
    let fault: string | null = null;
    try {
      if (setup.generation > generation) {
        await service?.change(setup);
        ({ generation } = setup);
      }
    } catch (cause) {
      fault = errorCodeOrMessage(cause);
    }
    post({ kind: 'done', id, fault, generation });
  };
  const stop = async (graceMs: number) => {
    await service?.listener.stop(graceMs);
    await service?.close();
    post({ kind: 'stopped' });
  };

  scope.onmessage = ({ data }: { data: ToWorker<Setup, News> }) => {
    switch (data.kind) {
      case 'start':
        return inOrder(() => begin(data.setup));
      case 'change':
        return inOrder(() => change(data.id, data.setup));
      case 'ping':
        return post({ kind: 'done', id: data.id, fault: null, generation });
      case 'news':
        return inOrder(() => service?.hear(data.news));
      case 'answer': {
        const { id, answer, fault } = data;
        if (fault === undefined) asked.get(id)?.resolve(answer);
        else asked.get(id)?.reject(new Error(fault));
        asked.delete(id);
        return;
      }
      case 'stop':
        return void stop(data.graceMs);
    }
  };
}
