/** A service that can be replaced while it runs: a new configuration is opened whole, then swapped in one step. */
import type { LoadedConfiguration } from '../config/load.ts';
import { ConfigurationFault, type Mistake } from '../config/mistakes.ts';
import type { Handle } from '../endpoints.ts';
import { RemoteAuthorityKeys } from '../keys/remote-authority-keys.ts';
import { RedisReplayStore } from '../replay/redis-replay-store.ts';
import { assemble, type Service } from './assemble.ts';
import { type Foundation, layFoundation, type Surroundings } from './foundation.ts';

/** How often the Authority's keys are looked after; whether they are fetched is their own decision. */
const UPKEEP_MS = 5000;

export class Runtime {
  readonly #load: () => LoadedConfiguration;
  readonly #foundation: Foundation;
  #service: Service;
  #upkeep: ReturnType<typeof setInterval> | null = null;

  private constructor(load: () => LoadedConfiguration, foundation: Foundation, service: Service) {
    this.#load = load;
    this.#foundation = foundation;
    this.#service = service;
  }

  /** Throws ConfigurationFault with every mistake. */
  static async create(load: () => LoadedConfiguration, surroundings: Surroundings): Promise<Runtime> {
    const loaded = load();
    let runtime: Runtime | null = null;
    const nothing = { authorityKeysAge: null, signingCertificateExpiry: null };
    const foundation = layFoundation(loaded, surroundings, () => runtime?.service.observe() ?? nothing);
    runtime = new Runtime(load, foundation, await assemble(loaded, foundation, null));
    return runtime;
  }

  /** Answers by the configuration in use when the request came; a reload meanwhile does not touch it. */
  readonly handle: Handle = (request, connection) => this.#service.handle(request, connection);

  get service(): Service {
    return this.#service;
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
  }

  /** Replaces the service, or keeps it and returns every mistake. */
  async reload(): Promise<readonly Mistake[]> {
    const { metrics } = this.#foundation;
    try {
      const loaded = this.#load();
      const fixed = findFixed(this.#service.loaded, loaded);
      if (fixed.length > 0) throw new ConfigurationFault(fixed);
      this.#service = await assemble(loaded, this.#foundation, this.#service);
    } catch (cause) {
      metrics.reloaded('failure');
      if (cause instanceof ConfigurationFault) return cause.mistakes;
      throw cause;
    }
    metrics.reloaded('success');
    await this.#refreshKeys();
    return [];
  }

  async #refreshKeys(): Promise<void> {
    const { authorityKeys } = this.#service;
    if (authorityKeys instanceof RemoteAuthorityKeys)
      await authorityKeys.refreshIfNeeded(this.#foundation.clock());
  }
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
