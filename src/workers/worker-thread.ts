/** The worker's end: it does what the main thread says, and asks there for what only the main thread has. */

import { errorCodeOrMessage } from '../platform/errors.ts';
import type { Listener } from '../server/listen.ts';
import type { FromWorker, LineTarget, ToWorker } from './worker-messages.ts';

/** The way to the main thread. */
export interface MainThread<Question> {
  /** Rejects with the fault that the main thread tells. */
  readonly ask: (question: Question) => Promise<unknown>;
  readonly writeLines: (lines: string, to: LineTarget) => void;
}

/** What runs in the worker. */
export interface WorkerService<Setup, News> {
  readonly listener: Listener;
  /** Takes a new setup into use, or rejects and stays as it was. */
  readonly change: (setup: Setup) => Promise<void>;
  readonly hear: (news: News) => void;
  /** After the last answer. */
  readonly close: () => void;
}

/** What a worker has of `self`. */
export interface WorkerScope {
  onmessage: ((event: { data: never }) => void) | null;
  postMessage(message: unknown): void;
}

/** Waits for the setup, starts the service by it and serves the main thread until it says stop. */
export function runWorker<Setup, News, Question>(
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
  /** What came before the service was there to hear it. */
  const early: News[] = [];

  const begin = async (setup: Setup) => {
    try {
      service = await start(setup, main);
      for (const news of early.splice(0)) service.hear(news);
      post({ kind: 'listening', url: service.listener.url, port: service.listener.port });
    } catch (cause) {
      post({ kind: 'not-started', fault: errorCodeOrMessage(cause) });
    }
  };
  const change = async (id: number, setup: Setup) => {
    const fault = await service?.change(setup).then(() => null, errorCodeOrMessage);
    post({ kind: 'done', id, fault: fault === undefined ? 'it is not started' : fault });
  };
  const stop = async (graceMs: number) => {
    await service?.listener.stop(graceMs);
    service?.close();
    post({ kind: 'stopped' });
  };

  scope.onmessage = ({ data }: { data: ToWorker<Setup, News> }) => {
    switch (data.kind) {
      case 'start':
        return void begin(data.setup);
      case 'change':
        return void change(data.id, data.setup);
      case 'ping':
        return post({ kind: 'done', id: data.id, fault: null });
      case 'news':
        if (service === null) early.push(data.news);
        else service.hear(data.news);
        return;
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
