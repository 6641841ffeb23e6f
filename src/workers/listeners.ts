/** What answers requests: a listener in this thread, or workers that share its port. */
import { availableParallelism } from 'node:os';
import type { Runtime } from '../assemble/runtime.ts';
import type { PlacedWorkerSetup, WorkerQuestion } from '../assemble/worker-setup.ts';
import type { FetchedKeySet } from '../authority/remote-authority-keys.ts';
import { checkPortIsFree, listen } from '../server/listen.ts';
import { listenTls } from '../server/listen-tls.ts';
import type { Log } from '../telemetry/log.ts';
import type { LineTarget } from './worker-messages.ts';
import { startWorkers } from './worker-pool.ts';

export interface Front {
  readonly url: string;
  /** After a reload: makes everything that answers use what the runtime has now. Rejects where a part of it cannot. */
  readonly change: () => Promise<void>;
  readonly isAlive: () => Promise<boolean>;
  /** Takes no more connections, and resolves when running requests are answered or `graceMs` have passed. */
  readonly stop: (graceMs: number) => Promise<void>;
}

export interface FrontOptions {
  readonly createWorker: () => Worker;
  readonly log: Log;
  readonly logging: PlacedWorkerSetup['logging'];
  /** Takes lines of workers. */
  readonly writeLines: Readonly<Record<LineTarget, (lines: string) => void>>;
}

/** Listens when it resolves. Rejects where the address cannot be had. */
export function openFront(runtime: Runtime, options: FrontOptions): Promise<Front> {
  const { workers } = runtime.service.loaded.configuration.server;
  const count = workers === 'auto' ? availableParallelism() : workers;
  return count === 1 ? openListener(runtime) : openWorkers(runtime, count, options);
}

async function openListener(runtime: Runtime): Promise<Front> {
  const { handle } = runtime;
  const { loaded, tls } = runtime.service;
  const address = { ...loaded.configuration.server.listen, handle };
  const listener = tls === null ? listen(address) : listenTls({ ...address, material: tls });
  return {
    url: listener.url,
    change: async () => {
      if (runtime.service.tls !== null) await listener.reload?.(runtime.service.tls);
    },
    // Asks itself what a load balancer would, without a socket: it must not fail because others fill the listener.
    isAlive: async () => {
      const question = new Request('http://localhost/healthz');
      return (await handle(question, { address: 'localhost', certificate: null })).ok;
    },
    stop: listener.stop,
  };
}

async function openWorkers(
  runtime: Runtime,
  count: number,
  { createWorker, log, logging, writeLines }: FrontOptions,
): Promise<Front> {
  const { listen: address } = runtime.service.loaded.configuration.server;
  if (address.port !== 0) checkPortIsFree(address.host, address.port);
  const pool = await startWorkers<PlacedWorkerSetup, FetchedKeySet, WorkerQuestion>({
    count,
    create: createWorker,
    setup: (thread, port) => ({
      ...runtime.workerSetup(thread, count),
      listen: { ...address, port: port ?? address.port },
      logging,
    }),
    answer: (question) => runtime.answerWorker(question),
    onLines: (lines, to) => writeLines[to](lines),
    onDeath: (thread, fault) => {
      log.error('a worker died; another takes its place', { worker: thread, fault });
      runtime.workerDied();
    },
    onEnd: (thread) => runtime.releaseLocksOf(thread),
  });
  runtime.onKeySet = pool.tell;
  return { url: pool.url, change: pool.change, isAlive: pool.isAlive, stop: pool.stop };
}
