/** A worker: one of several threads that answer requests on one port, when `server.workers` says so. */

import type { PlacedWorkerSetup, WorkerQuestion } from './assemble/worker-setup.ts';
import type { FetchedKeySet } from './authority/remote-authority-keys.ts';
import { listen } from './server/listen.ts';
import { listenTls } from './server/listen-tls.ts';
import { createLineBatch } from './telemetry/line-batch.ts';
import { createLog } from './telemetry/log.ts';
import { WorkerRuntime } from './workers/worker-runtime.ts';
import { runWorker, type WorkerScope } from './workers/worker-thread.ts';

declare const self: WorkerScope;

runWorker<PlacedWorkerSetup, FetchedKeySet, WorkerQuestion>(self, async (setup, main) => {
  const { level, format, isForJournal, audits } = setup.logging;
  const lines = createLineBatch((text) => main.writeLines(text, 'log'));
  const auditLines = createLineBatch((text) => main.writeLines(text, 'audit'));
  const log = createLog(level, format, lines.write, lines.flush, isForJournal);
  const clock = () => Date.now() / 1000;
  const audit = audits ? createLog('info', 'json', auditLines.write) : null;
  const runtime = await WorkerRuntime.create(setup, { clock, log, audit, ask: main.ask });
  const { handle, tls } = runtime;
  const address = { ...setup.listen, handle, sharesPort: true };
  const listener = tls === null ? listen(address) : listenTls({ ...address, material: tls });
  return {
    listener,
    change: async (next) => {
      await runtime.change(next);
      if (runtime.tls !== null) await listener.reload?.(runtime.tls);
    },
    hear: (keySet) => runtime.adoptKeySet(keySet),
    close: () => {
      runtime.close();
      lines.flush();
      auditLines.flush();
    },
  };
});
