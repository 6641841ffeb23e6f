/** Workers that answer requests on one port, made of what the runtime of the main thread has. */
import type { Runtime } from '../assemble/runtime.ts';
import type { FetchedKeySet } from '../authenticate/authority-keys.ts';
import { checkPortIsFree } from '../server/listen.ts';
import type { WorkerState } from '../status/snapshot.ts';
import type { Log } from '../telemetry/log.ts';
import { createSetup, type WorkerLogging, type WorkerQuestion, type WorkerSetup } from './setup.ts';
import { startWorkers } from './worker-pool.ts';
import type { LineTarget } from './worker-thread.ts';

export interface Workers {
  readonly url: string;
  /** After a reload: resolves when every worker answers by what the runtime has now. Rejects where one does not. */
  readonly change: () => Promise<void>;
  readonly isAlive: () => Promise<boolean>;
  readonly states: () => readonly WorkerState[];
  /** Takes no more connections, and resolves when running requests are answered or `graceMs` have passed. */
  readonly stop: (graceMs: number) => Promise<void>;
}

export interface WorkersOptions {
  readonly count: number;
  readonly createWorker: () => Worker;
  readonly log: Log;
  readonly logging: WorkerLogging;
  /** Takes lines of workers. */
  readonly writeLines: Readonly<Record<LineTarget, (lines: string) => void>>;
}

/** Listens when it resolves. Rejects if the address cannot be used. */
export async function openWorkers(
  runtime: Runtime,
  { count, createWorker, log, logging, writeLines }: WorkersOptions,
): Promise<Workers> {
  const { listen: address } = runtime.service.loaded.configuration.server;
  if (address.port !== 0) checkPortIsFree(address.host, address.port);
  const { metrics, replayStore, rateTable } = runtime.dependencies;
  const pool = await startWorkers<WorkerSetup, FetchedKeySet, WorkerQuestion>({
    count,
    create: createWorker,
    setup: (thread, port) =>
      createSetup(runtime, {
        thread,
        workers: count,
        listen: { ...address, port: port ?? address.port },
        logging,
      }),
    answer: (question) => answerWorker(runtime, question),
    onLines: (lines, to) => writeLines[to](lines),
    onDeath: (thread, fault) => {
      log.error('a worker died and is being replaced', { worker: thread, fault });
      metrics.workerDied();
    },
    // It may have held a lock of what all share.
    onEnd: (thread) => {
      replayStore.releaseLockOf(thread);
      rateTable.releaseLockOf(thread);
    },
  });
  runtime.onKeySet = pool.tell;
  return {
    url: pool.url,
    change: pool.change,
    isAlive: pool.isAlive,
    states: () => pool.states().map(({ thread, ...state }) => ({ worker: thread, ...state })),
    stop: pool.stop,
  };
}

/** Rejects with an Error whose message may be told. */
async function answerWorker(
  { service: { authorityKeys }, dependencies }: Runtime,
  question: WorkerQuestion,
): Promise<unknown> {
  switch (question.kind) {
    case 'metrics':
      return dependencies.exposeMetrics();
    case 'failing-parts':
      return dependencies.findFailingParts(authorityKeys);
    case 'key-set': {
      const keys = [...authorityKeys.values()].find(({ source }) => source === question.source);
      if (keys === undefined) throw new Error('the configuration no longer names this Authority');
      return keys.renew(dependencies.clock());
    }
  }
}
