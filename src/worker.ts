/** A worker: one of several threads that answer requests on one port, when `server.workers` says so. */
import { startWorkerService } from './workers/worker-service.ts';
import { runWorker, type WorkerScope } from './workers/worker-thread.ts';

declare const self: WorkerScope;

runWorker(self, startWorkerService);
