/** The service in a worker: the same assembly as in the main thread, of what that hands over, and fetching nothing itself. */
import { assemble, closeKeys, type Service } from '../assemble/assemble.ts';
import { type Dependencies, openRedis } from '../assemble/dependencies.ts';
import { FileReader, FileSnapshot } from '../assemble/files.ts';
import type { FetchedKeySet } from '../authenticate/authority-keys.ts';
import type { ReplayStore } from '../authenticate/replay-store.ts';
import { createEndpoints, type FailingPart } from '../endpoints.ts';
import { RateTable } from '../limit/rate-table.ts';
import { createClockShift, steadyClock } from '../platform/clock-shift.ts';
import { MemoryReplayStore } from '../replay/memory-replay-store.ts';
import { Descriptors } from '../server/descriptors.ts';
import { listen } from '../server/listen.ts';
import { listenTls } from '../server/listen-tls.ts';
import { Counters } from '../telemetry/counters.ts';
import { watchEventLoop } from '../telemetry/event-loop.ts';
import { createLineBatch, createLog, type Log } from '../telemetry/log.ts';
import { restoreConfiguration, type WorkerQuestion, type WorkerSetup } from './setup.ts';
import type { MainThread, WorkerService } from './worker-thread.ts';

/** Listens when it resolves. Rejects with ConfigurationFault, which the main thread's own check should have made impossible. */
export async function startWorkerService(
  setup: WorkerSetup,
  main: MainThread<WorkerQuestion>,
): Promise<WorkerService<WorkerSetup, FetchedKeySet>> {
  const { level, format, isForJournal, sendsDecisions } = setup.logging;
  const lines = createLineBatch((text) => main.writeLines(text, 'log'));
  const decisionLines = createLineBatch((text) => main.writeLines(text, 'decisions'));
  const log = createLog(level, format, lines.write, lines.flush, isForJournal);
  const decisions = sendsDecisions ? createLog('info', 'json', decisionLines.write) : null;
  const dependencies = shareDependencies(setup, main, log, decisions);
  let service = await assembleFrom(setup, dependencies, null);
  await dependencies.replayStore.open();
  const address = {
    ...setup.listen,
    handle: createEndpoints(() => service.endpoints),
    sharesPort: true,
    descriptors: new Descriptors({ threads: setup.workers }),
  };
  const listener =
    service.tls === null
      ? listen(address)
      : listenTls({ ...address, material: service.tls, clock: dependencies.clock });
  const watching = watchEventLoop(dependencies.counters);
  return {
    listener,
    change: async (next) => {
      const previous = service;
      service = await assembleFrom(next, dependencies, previous);
      closeKeys(previous);
      if (service.tls !== null) await listener.reload?.(service.tls);
    },
    hear: (keySet) => {
      for (const keys of service.authorityKeys.values()) keys.adopt(keySet);
    },
    close: async () => {
      watching[Symbol.dispose]();
      await dependencies.replayStore.close();
      lines.flush();
      decisionLines.flush();
    },
  };
}

function shareDependencies(
  setup: WorkerSetup,
  { ask }: MainThread<WorkerQuestion>,
  log: Log,
  decisions: Log | null,
): Dependencies {
  const { shared, thread, workers } = setup;
  const clock = () => Date.now() / 1000;
  return {
    clock,
    log,
    decisions,
    workers,
    counters: new Counters(shared.counters),
    replayStore: openReplayStore(setup, { clock, log }),
    rateTable: RateTable.open(shared.rates, thread),
    nonceSecret: shared.nonceSecret,
    seenSerials: null,
    // The main thread counts and logs what it fetches.
    keyFetching: {
      onRefresh: () => {},
      onWarning: () => {},
      fetchKeySet: async (source) => (await ask({ kind: 'key-set', source })) as FetchedKeySet,
    },
    exposeMetrics: async () => (await ask({ kind: 'metrics' })) as string,
    findFailingParts: async () => (await ask({ kind: 'failing-parts' })) as readonly FailingPart[],
  };
}

function openReplayStore(setup: WorkerSetup, context: Pick<Dependencies, 'clock' | 'log'>): ReplayStore {
  const { thread, shared } = setup;
  if (shared.replay === null) return openRedis(restoreConfiguration(setup), context);
  const { memory, rememberedSince } = shared.replay;
  return MemoryReplayStore.open(memory, thread, rememberedSince, {
    clockShift: createClockShift(context.clock, steadyClock),
  });
}

async function assembleFrom(
  setup: WorkerSetup,
  dependencies: Dependencies,
  previous: Service | null,
): Promise<Service> {
  const loaded = restoreConfiguration(setup);
  dependencies.counters.announcePlans(setup.plans);
  const files = new FileReader(loaded, FileSnapshot.of(setup.contents));
  const { generation, openedAt, newerRevocations } = setup;
  const options = { generation, previous, openedAt, newerRevocations };
  const service = await assemble(loaded, files, dependencies, options);
  for (const keySet of setup.keySets) for (const keys of service.authorityKeys.values()) keys.adopt(keySet);
  return service;
}
