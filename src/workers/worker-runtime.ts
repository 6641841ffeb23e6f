/** The service in a worker: made of what the main thread hands over, and fetching nothing itself. */

import { assemble, type Service } from '../assemble/assemble.ts';
import { type Foundation, openRedis } from '../assemble/dependencies.ts';
import { FileReader } from '../assemble/file-reader.ts';
import { restoreConfiguration, type WorkerQuestion, type WorkerSetup } from '../assemble/worker-setup.ts';
import { type FetchedKeySet, RemoteAuthorityKeys } from '../authority/remote-authority-keys.ts';
import type { FailingPart, Handle } from '../endpoints.ts';
import type { TlsMaterial } from '../keys/tls-material.ts';
import { RateTable } from '../limit/rate-table.ts';
import { MemoryReplayStore } from '../replay/memory-replay-store.ts';
import { RedisReplayStore } from '../replay/redis-replay-store.ts';
import type { Clock } from '../service.ts';
import type { Log } from '../telemetry/log.ts';
import { Tally } from '../telemetry/tally.ts';

export interface WorkerSurroundings {
  readonly clock: Clock;
  readonly log: Log;
  /** Takes decisions alone; null without an audit file. */
  readonly audit: Log | null;
  readonly ask: (question: WorkerQuestion) => Promise<unknown>;
}

export class WorkerRuntime {
  readonly #foundation: Foundation;
  #service: Service;
  /** By the order in which the main thread has told them; clocks can be set back. */
  #newestKeySet: FetchedKeySet | null = null;

  private constructor(foundation: Foundation, service: Service) {
    this.#foundation = foundation;
    this.#service = service;
  }

  /** Throws ConfigurationFault, which the main thread's own check should have made impossible. */
  static async create(setup: WorkerSetup, surroundings: WorkerSurroundings): Promise<WorkerRuntime> {
    const foundation = shareFoundation(setup, surroundings);
    const service = await assembleFrom(setup, foundation, null);
    if (setup.keySet !== null) adopt(service, setup.keySet);
    const { replayStore } = foundation;
    if (replayStore instanceof RedisReplayStore) await replayStore.open();
    return new WorkerRuntime(foundation, service);
  }

  /** Answers by the setup in use when the request came. */
  readonly handle: Handle = (request, connection) => this.#service.handle(request, connection);

  get tls(): TlsMaterial | null {
    return this.#service.tls;
  }

  /** A key set that comes meanwhile is newer than that of the setup. */
  async change(setup: WorkerSetup): Promise<void> {
    this.#newestKeySet = setup.keySet;
    const service = await assembleFrom(setup, this.#foundation, this.#service);
    if (this.#newestKeySet !== null) adopt(service, this.#newestKeySet);
    this.#service = service;
  }

  adoptKeySet(keySet: FetchedKeySet): void {
    this.#newestKeySet = keySet;
    adopt(this.#service, keySet);
  }

  close(): void {
    const { replayStore } = this.#foundation;
    if (replayStore instanceof RedisReplayStore) replayStore.close();
  }
}

function shareFoundation(setup: WorkerSetup, surroundings: WorkerSurroundings): Foundation {
  const { ask, clock, log, audit } = surroundings;
  const { shared, thread, workers } = setup;
  const { url } = setup.configuration.senderConstraint.replay;
  return {
    clock,
    log,
    audit,
    workers,
    tally: new Tally(shared.tally),
    replayStore:
      shared.replay === null
        ? openRedis(url ?? '', surroundings)
        : MemoryReplayStore.open(shared.replay, thread),
    rateTable: RateTable.open(shared.rates, thread),
    nonceSecret: shared.nonceSecret,
    // The main thread counts and logs what it fetches.
    keyFetching: { onRefresh: () => {}, fetchKeySet: async () => (await ask('key-set')) as FetchedKeySet },
    exposeMetrics: async () => (await ask('metrics')) as string,
    findFailingParts: async () => (await ask('failing-parts')) as readonly FailingPart[],
  };
}

function assembleFrom(
  setup: WorkerSetup,
  foundation: Foundation,
  previous: Service | null,
): Promise<Service> {
  const loaded = restoreConfiguration(setup);
  foundation.tally.announcePlans(setup.plans);
  const files = new FileReader(loaded, { readFile: contentsOf(setup) });
  return assemble(loaded, files, foundation, previous);
}

function contentsOf({ contents }: WorkerSetup): (file: string) => Buffer {
  return (file) => {
    const bytes = contents.get(file);
    if (bytes === undefined) throw Object.assign(new Error('not handed over'), { code: 'ENOENT' });
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function adopt({ authorityKeys }: Service, keySet: FetchedKeySet): void {
  if (authorityKeys instanceof RemoteAuthorityKeys) authorityKeys.adopt(keySet);
}
