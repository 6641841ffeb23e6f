/** A service that can be replaced while it runs: a new configuration is opened whole, then swapped in one step. */

import { type FetchedKeySet, RemoteAuthorityKeys } from '../authority/remote-authority-keys.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { ConfigurationFault, type Mistake } from '../document/mistakes.ts';
import type { Handle } from '../endpoints.ts';
import { MemoryReplayStore } from '../replay/memory-replay-store.ts';
import { RedisReplayStore } from '../replay/redis-replay-store.ts';
import { assemble, type Service } from './assemble.ts';
import { layFoundation, type MainFoundation, type Surroundings } from './dependencies.ts';
import { FileReader } from './file-reader.ts';
import { fileState } from './file-state.ts';
import type { WorkerQuestion, WorkerSetup } from './worker-setup.ts';

/** How often the Authority's keys are looked after; whether they are fetched is their own decision. */
const UPKEEP_MS = 5000;

export class Runtime {
  readonly #load: () => LoadedConfiguration;
  readonly #foundation: MainFoundation;
  #service: Service;
  #files: ReadonlyMap<string, string>;
  #underWay: Promise<unknown> = Promise.resolve();
  #waiting: Promise<readonly Mistake[]> | null = null;
  #upkeep: ReturnType<typeof setInterval> | null = null;

  private constructor(
    load: () => LoadedConfiguration,
    foundation: MainFoundation,
    service: Service,
    files: ReadonlyMap<string, string>,
  ) {
    this.#load = load;
    this.#foundation = foundation;
    this.#service = service;
    this.#files = files;
  }

  /** Throws ConfigurationFault with every mistake. */
  static async create(load: () => LoadedConfiguration, surroundings: Surroundings): Promise<Runtime> {
    const loaded = load();
    let runtime: Runtime | null = null;
    const nothing = { authorityKeysAge: null, signingCertificateExpiry: null };
    const foundation = layFoundation(loaded, {
      ...surroundings,
      onKeySet: (keySet) => runtime?.onKeySet?.(keySet),
      observe: () => runtime?.service.observe() ?? nothing,
    });
    const files = openFiles(loaded);
    const own = [loaded.file, fileState(loaded.file)] as const;
    const service = await assemble(loaded, files, foundation, null);
    runtime = new Runtime(load, foundation, service, new Map([own, ...files.states]));
    return runtime;
  }

  /** Told of each key set of the Authority that was fetched. */
  onKeySet: ((keySet: FetchedKeySet) => void) | null = null;

  /** Answers by the configuration in use when the request came; a reload meanwhile does not touch it. */
  readonly handle: Handle = (request, connection) => this.#service.handle(request, connection);

  get service(): Service {
    return this.#service;
  }

  /**
   * Every file whose change is reason for a reload, with its state when it was read: those in use, and those for want
   * of which the last reload failed.
   */
  get files(): ReadonlyMap<string, string> {
    return this.#files;
  }

  /** What a worker is made of that serves as this thread would, now. */
  workerSetup(thread: number, workers: number): WorkerSetup {
    const { loaded, contents, authorityKeys } = this.#service;
    const { tally, replayStore, rateTable, nonceSecret } = this.#foundation;
    return {
      thread,
      workers,
      configuration: loaded.configuration,
      file: loaded.file,
      contents,
      shared: {
        tally: tally.memory,
        replay: replayStore instanceof RedisReplayStore ? null : replayStore.memory,
        rates: rateTable.memory,
        nonceSecret,
      },
      plans: tally.plans,
      keySet: authorityKeys instanceof RemoteAuthorityKeys ? authorityKeys.fetched : null,
    };
  }

  /** Answers a worker. Rejects with an Error whose message may be told. */
  async answerWorker(question: WorkerQuestion): Promise<unknown> {
    const { authorityKeys } = this.#service;
    switch (question) {
      case 'metrics':
        return this.#foundation.exposeMetrics();
      case 'failing-parts':
        return this.#foundation.findFailingParts(authorityKeys);
      case 'key-set':
        if (authorityKeys instanceof RemoteAuthorityKeys)
          return authorityKeys.renew(this.#foundation.clock());
        throw new Error('the keys come from a file');
    }
  }

  /** Counts a worker's death. */
  workerDied(): void {
    this.#foundation.metrics.workerDied();
  }

  /** A worker is no more, and may have held a lock of what all share. */
  releaseLocksOf(thread: number): void {
    const { replayStore, rateTable } = this.#foundation;
    if (replayStore instanceof MemoryReplayStore) replayStore.releaseLockOf(thread);
    rateTable.releaseLockOf(thread);
  }

  /** Opens what is reached over the network. Never rejects: `readyz` tells what fails, and trying goes on. */
  async open(): Promise<void> {
    this.#upkeep = setInterval(() => void this.#refreshKeys(), UPKEEP_MS);
    const { replayStore } = this.#foundation;
    await Promise.all([
      this.#refreshKeys(),
      replayStore instanceof RedisReplayStore ? replayStore.open() : null,
    ]);
  }

  close(): void {
    if (this.#upkeep !== null) clearInterval(this.#upkeep);
    const { replayStore } = this.#foundation;
    if (replayStore instanceof RedisReplayStore) replayStore.close();
    const { authorityKeys } = this.#service;
    if (authorityKeys instanceof RemoteAuthorityKeys) authorityKeys.close();
  }

  /**
   * Replaces the service, or keeps it and returns every mistake. One after another, so that the newest files win;
   * all who ask while one is under way share the next.
   */
  reload(): Promise<readonly Mistake[]> {
    if (this.#waiting !== null) return this.#waiting;
    const replaced = this.#underWay.then(() => {
      this.#waiting = null;
      return this.#replace();
    });
    this.#waiting = replaced;
    this.#underWay = replaced.catch(() => {});
    return replaced;
  }

  async #replace(): Promise<readonly Mistake[]> {
    const { metrics } = this.#foundation;
    const { file } = this.#service.loaded;
    const own = [file, fileState(file)] as const;
    let files: FileReader | null = null;
    try {
      const loaded = this.#load();
      const fixed = findFixed(this.#service.loaded, loaded);
      if (fixed.length > 0) throw new ConfigurationFault(fixed);
      files = openFiles(loaded);
      this.#service = await assemble(loaded, files, this.#foundation, this.#service);
      this.#files = new Map([own, ...files.states]);
    } catch (cause) {
      // Those in use that were not read this time count as they are now: they are no reason to fail again.
      const inUse = [...this.#service.files].map((path) => [path, fileState(path)] as const);
      this.#files = new Map([...inUse, own, ...(files?.states ?? [])]);
      metrics.reloaded('failure');
      if (cause instanceof ConfigurationFault) return cause.mistakes;
      throw cause;
    }
    metrics.reloaded('success');
    void this.#refreshKeys();
    return [];
  }

  async #refreshKeys(): Promise<void> {
    const { authorityKeys } = this.#service;
    if (authorityKeys instanceof RemoteAuthorityKeys)
      await authorityKeys.refreshIfNeeded(this.#foundation.clock());
  }
}

function openFiles(loaded: LoadedConfiguration): FileReader {
  return new FileReader(loaded, { keepsContents: loaded.configuration.server.workers !== 1 });
}

/** What only a restart can change. */
function findFixed(before: LoadedConfiguration, after: LoadedConfiguration): Mistake[] {
  const fixed = ['server.listen', 'server.workers', 'senderConstraint.replay', 'telemetry', 'logging'];
  return fixed
    .filter((key) => valueAt(before.configuration, key) !== valueAt(after.configuration, key))
    .concat(speaksTls(before) === speaksTls(after) ? [] : 'server.tls')
    .map((key) => after.mistakeAt(key, 'cannot change while the service runs: restart it'));
}

/** Its files may change, and other files be named; the listener stays the kind that it is. */
function speaksTls({ configuration }: LoadedConfiguration): boolean {
  return configuration.server.tls !== undefined;
}

function valueAt(configuration: LoadedConfiguration['configuration'], key: string): string {
  let value: unknown = configuration;
  for (const part of key.split('.')) value = (value as Record<string, unknown> | undefined)?.[part];
  return JSON.stringify(value) ?? '';
}
