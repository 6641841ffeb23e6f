/** A service that can be replaced while it runs: a new configuration is opened whole, then swapped in one step. */
import type { FetchedKeySet } from '../authenticate/authority-keys.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { ConfigurationFault, formatMistake, type Mistake } from '../document/mistakes.ts';
import { createEndpoints, type Handle } from '../endpoints.ts';
import { nameFault } from '../telemetry/log.ts';
import type { Observations } from '../telemetry/metrics.ts';
import { assemble, closeReplacedKeys, type Service } from './assemble.ts';
import { type Context, createDependencies, type MainDependencies } from './dependencies.ts';
import { FileReader, fileState } from './files.ts';

/** How often the Authority's keys are looked after; whether they are fetched is their own decision. */
const UPKEEP_MS = 5000;

/** Before there is a service. */
const nothing = {
  authorityKeysAge: null,
  signingCertificateExpiry: null,
  replayEntries: null,
  configurationGeneration: null,
  revokedLicenses: null,
};

export class Runtime {
  readonly dependencies: MainDependencies;
  readonly #load: () => LoadedConfiguration;
  #service: Service;
  /** The service's own, except while a reload is under way or incomplete. */
  #inForce: Pick<Service, 'generation' | 'revokedLicenses'>;
  #files: ReadonlyMap<string, string>;
  #underWay: Promise<unknown> = Promise.resolve();
  #waiting: Promise<readonly Mistake[]> | null = null;
  #logged: { readonly reload: Promise<unknown>; readonly isReloaded: Promise<boolean> } | null = null;
  #upkeep: ReturnType<typeof setInterval> | null = null;

  private constructor(
    load: () => LoadedConfiguration,
    dependencies: MainDependencies,
    service: Service,
    files: ReadonlyMap<string, string>,
  ) {
    this.#load = load;
    this.dependencies = dependencies;
    this.#service = service;
    this.#inForce = pickInForce(service);
    this.#files = files;
  }

  /** Throws ConfigurationFault with every mistake. */
  static async create(load: () => LoadedConfiguration, context: Context): Promise<Runtime> {
    const loaded = load();
    let runtime: Runtime | null = null;
    const dependencies = createDependencies(loaded, {
      ...context,
      onKeySet: (keySet) => runtime?.onKeySet?.(keySet),
      observe: () => runtime?.observe() ?? nothing,
    });
    const files = new FileReader(loaded);
    const own = [loaded.file, fileState(loaded.file)] as const;
    const service = await assemble(loaded, files, dependencies, 1, null);
    runtime = new Runtime(
      load,
      dependencies,
      service,
      new Map([own, ...plansFileState(loaded), ...files.states]),
    );
    return runtime;
  }

  /** Told of each key set that was fetched. */
  onKeySet: ((keySet: FetchedKeySet) => void) | null = null;

  readonly handle: Handle = createEndpoints(() => this.#service.endpoints);

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

  /** Opens what is reached over the network. Never rejects: `readyz` tells what fails, and trying goes on. */
  async open(): Promise<void> {
    this.#upkeep = setInterval(() => void this.#refreshKeys(), UPKEEP_MS);
    await Promise.all([this.#refreshKeys(), this.dependencies.replayStore.open()]);
  }

  async close(): Promise<void> {
    if (this.#upkeep !== null) clearInterval(this.#upkeep);
    for (const keys of this.#service.authorityKeys.values()) keys.close();
    await this.dependencies.replayStore.close();
  }

  /**
   * Makes every thread answer by the service that was just put in place. Rejects where one does not: its Error's message
   * may be told.
   */
  onReplaced: (() => Promise<void>) | null = null;

  /**
   * Replaces the service, or keeps it and returns every mistake. It is done when every thread answers by the new service;
   * where one does not, it rejects with ReloadIncomplete. One after another, so that configurations come into use in the
   * order of their generations; all who ask while one is under way share the next.
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

  /** Reloads and logs the result, once however many ask. Resolves to whether the files are in use as they are now. */
  reloadAndLog(): Promise<boolean> {
    const reload = this.reload();
    if (this.#logged?.reload !== reload) this.#logged = { reload, isReloaded: this.#log(reload) };
    return this.#logged.isReloaded;
  }

  /** What an operator may want and should be reminded of. */
  logWarnings(): void {
    const { log } = this.dependencies;
    const { senderConstraint, anonymousPlan } = this.#service.loaded.configuration;
    if (senderConstraint.accept.includes('none'))
      log.warn('bearer-only: OpToks without a sender constraint are accepted; whoever holds one can use it');
    if (anonymousPlan !== undefined)
      log.warn('anonymous: requests without credentials may pull what this plan allows', {
        plan: anonymousPlan,
      });
  }

  async #log(reload: Promise<readonly Mistake[]>): Promise<boolean> {
    const { log } = this.dependencies;
    let mistakes: readonly Mistake[];
    try {
      mistakes = await reload;
    } catch (cause) {
      if (cause instanceof ReloadIncomplete) log.error('reload incomplete', { fault: cause.message });
      else log.error('not reloaded', { fault: nameFault(cause) });
      return false;
    }
    for (const mistake of mistakes) log.error('not reloaded', { mistake: formatMistake(mistake) });
    if (mistakes.length > 0) return false;
    log.info('reloaded', { configuration: this.#service.loaded.file, ...this.#inForce });
    this.logWarnings();
    return true;
  }

  async #replace(): Promise<readonly Mistake[]> {
    const { metrics } = this.dependencies;
    const { file } = this.#service.loaded;
    const own = [file, fileState(file)] as const;
    let files: FileReader | null = null;
    try {
      const loaded = this.#load();
      const fixed = findFixed(this.#service.loaded, loaded);
      if (fixed.length > 0) throw new ConfigurationFault(fixed);
      files = new FileReader(loaded);
      const previous = this.#service;
      this.#service = await assemble(loaded, files, this.dependencies, previous.generation + 1, previous);
      closeReplacedKeys(previous, this.#service);
      this.#files = new Map([own, ...plansFileState(loaded), ...files.states]);
    } catch (cause) {
      // Those in use that were not read this time count as they are now: they are no reason to fail again.
      const inUse = [...this.#service.files].map((path) => [path, fileState(path)] as const);
      this.#files = new Map([...inUse, own, ...(files?.states ?? [])]);
      metrics.reloaded('failure');
      if (cause instanceof ConfigurationFault) return cause.mistakes;
      throw cause;
    }
    void this.#refreshKeys();
    try {
      await this.onReplaced?.();
    } catch (cause) {
      metrics.reloaded('failure');
      throw new ReloadIncomplete(cause instanceof Error ? cause.message : 'unknown fault');
    }
    this.#inForce = pickInForce(this.#service);
    metrics.reloaded('success');
    return [];
  }

  observe(): Omit<Observations, 'replayCapacity' | 'auditDropped'> {
    const { generation, revokedLicenses } = this.#inForce;
    return { ...this.#service.observe(), configurationGeneration: generation, revokedLicenses };
  }

  async #refreshKeys(): Promise<void> {
    const now = this.dependencies.clock();
    await Promise.all([...this.#service.authorityKeys.values()].map((keys) => keys.refreshIfNeeded(now)));
  }
}

/** Not the service itself, which would keep a former one in memory. */
function pickInForce({ generation, revokedLicenses }: Service) {
  return { generation, revokedLicenses };
}

/** A configuration without mistakes that not every thread answers by. */
export class ReloadIncomplete extends Error {}

function plansFileState({ plansFile }: LoadedConfiguration): [string, string][] {
  return plansFile === null ? [] : [[plansFile, fileState(plansFile)]];
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
