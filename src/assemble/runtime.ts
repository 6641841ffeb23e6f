/** A service that can be replaced while it runs: a new configuration is opened whole, then swapped in one step. */
import { isDeepStrictEqual } from 'node:util';
import type { FetchedKeySet } from '../authenticate/authority-keys.ts';
import type { LoadedConfiguration, ReadFile } from '../config/load.ts';
import { authoritiesOf } from '../config/schema.ts';
import { ConfigurationFault, formatMistake, type Mistake } from '../document/mistakes.ts';
import { createEndpoints, type Handle } from '../endpoints.ts';
import { expiryOf } from '../entitlements/admission.ts';
import type { Bundle } from '../entitlements/bundle.ts';
import { createPauses } from '../platform/pauses.ts';
import { formatTime } from '../platform/time.ts';
import { settleWithin } from '../platform/wait.ts';
import { type CertificateFile, describeEnd, EndReminder, groupByFile } from '../status/certificates.ts';
import type { CertificateState, ReloadMistake, ReloadState, Snapshot } from '../status/snapshot.ts';
import { nameFault } from '../telemetry/log.ts';
import type { Observations } from '../telemetry/metrics.ts';
import {
  type AssembleOptions,
  assemble,
  closeKeys,
  type NewerRevocations,
  type Service,
} from './assemble.ts';
import { BundleWatch } from './bundle-watch.ts';
import { CLOCK_STEP, type Context, createDependencies, type MainDependencies } from './dependencies.ts';
import { openBundle } from './entitlements.ts';
import { FileReader, FileSnapshot, fileState, MOST_WAIT_MS, untilStable } from './files.ts';
import { acceptedBy, largestClockSkew } from './options.ts';
import {
  authorityStates,
  certificatesOf,
  entitlementsState,
  revocationsState,
  signingKeyState,
} from './snapshot.ts';

/** How often the Authority's keys are looked after; whether they are fetched is their own decision. */
const UPKEEP_MS = 5000;
/** How often the mistakes of a failed reload are logged again. */
const REMIND_SECONDS = 60;
const MOST_REMINDERS = 5;
/** A tenth: revocations that shrink by more are worth a warning. */
const MUCH_SHORTER = 0.1;

/** Reads and checks the configuration. Throws ConfigurationFault with every mistake. */
export type LoadConfiguration = (readFile?: ReadFile) => LoadedConfiguration;

/** How long the replay store may take to say how it is, in milliseconds. */
const REPLAY_ANSWER_MS = 2000;

/** What the runtime knows of a snapshot. The caller that opened the listeners and threads keeps them. */
export type RuntimeSnapshot = Omit<
  Snapshot,
  'version' | 'unit' | 'listeners' | 'workers' | 'auditFile' | 'descriptors'
>;

/** Before there is a service. */
const nothing = {
  authorityKeysAges: new Map(),
  signingCertificateExpiry: null,
  replayEntries: null,
  configurationGeneration: null,
  revokedLicenses: null,
  entitlements: null,
};

export class Runtime {
  readonly dependencies: MainDependencies;
  readonly #load: LoadConfiguration;
  #service: Service;
  /** The service's own, except while a reload is under way or incomplete. */
  #inForce: InForce;
  #files: ReadonlyMap<string, string>;
  /** The states of the files that the service in use was made of. */
  #filesInUse: ReadonlyMap<string, string>;
  #underWay: Promise<unknown> = Promise.resolve();
  #waiting: Promise<readonly Mistake[]> | null = null;
  #logged: { readonly reload: Promise<unknown>; readonly isReloaded: Promise<boolean> } | null = null;
  #upkeep: ReturnType<typeof setInterval> | null = null;
  #clockShiftBefore = 0;
  #setBack: Snapshot['clock']['setBack'] = null;
  #lastReload: ReloadState | null = null;
  #certificates: readonly CertificateState[];
  readonly #ends = new EndReminder();
  readonly #startedAt: number;
  readonly #bundleWatch: BundleWatch;
  /** Whether the last reading of the bundle had no mistake. */
  #isBundleGood = true;
  #unmended: { readonly mistakes: readonly Mistake[]; readonly toldAt: number } | null = null;

  private constructor(
    load: LoadConfiguration,
    dependencies: MainDependencies,
    service: Service,
    files: ReadonlyMap<string, string>,
  ) {
    this.#load = load;
    this.dependencies = dependencies;
    this.#service = service;
    this.#startedAt = dependencies.clock();
    this.#inForce = pickInForce(service, this.#startedAt);
    this.#files = files;
    this.#filesInUse = files;
    this.#certificates = certificatesOf(service);
    this.#bundleWatch = new BundleWatch(dependencies);
    this.#bundleWatch.taken(service);
  }

  /** Throws ConfigurationFault with every mistake. */
  static async create(load: LoadConfiguration, context: Context): Promise<Runtime> {
    const snapshot = new FileSnapshot();
    const loaded = load(snapshot.read);
    let runtime: Runtime | null = null;
    const dependencies = createDependencies(loaded, {
      ...context,
      onKeySet: (keySet) => runtime?.onKeySet?.(keySet),
      observe: () => runtime?.observe() ?? nothing,
    });
    const service = await assemble(loaded, new FileReader(loaded, snapshot), dependencies, {
      generation: 1,
      previous: null,
    });
    dependencies.metrics.announceAuthorities(service.authorityKeys.keys());
    dependencies.replayStore.restore(largestClockSkew(loaded.configuration));
    runtime = new Runtime(load, dependencies, service, snapshot.states);
    return runtime;
  }

  /** Told of each key set that was fetched. */
  onKeySet: ((keySet: FetchedKeySet) => void) | null = null;

  readonly handle: Handle = createEndpoints(() => this.#service.endpoints);

  /** What every thread answers by, for the log. */
  get inForce() {
    return describeInForce(this.#inForce);
  }

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
    this.#upkeep = setInterval(() => {
      void this.#refreshKeys();
      this.remind();
      this.watchClock();
      this.watchCertificates();
      this.watchBundle();
    }, UPKEEP_MS);
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
      return this.#count(this.#replace());
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
    const { configuration } = this.#service.loaded;
    const { senderConstraint, anonymousPlan } = configuration;
    for (const { name, settings } of authoritiesOf(configuration))
      if (acceptedBy(settings, senderConstraint).includes('none'))
        log.warn(
          'bearer-only: OpToks without a sender constraint are accepted; anyone who has one can use it',
          {
            authority: name,
          },
        );
    if (anonymousPlan !== undefined)
      log.warn('anonymous: requests without credentials may pull what this plan allows', {
        plan: anonymousPlan,
      });
    this.watchCertificates();
  }

  async #count(reload: Promise<readonly Mistake[]>): Promise<readonly Mistake[]> {
    let result: 'success' | 'failure' = 'failure';
    try {
      const mistakes = await reload;
      if (mistakes.length === 0) result = 'success';
      this.#lastReload = {
        at: this.dependencies.clock(),
        mistakes: someOf(mistakes),
        count: mistakes.length,
        fault: null,
      };
      return mistakes;
    } catch (cause) {
      const fault = cause instanceof ReloadIncomplete ? cause.message : nameFault(cause);
      this.#lastReload = { at: this.dependencies.clock(), mistakes: [], count: 0, fault };
      throw cause;
    } finally {
      this.dependencies.metrics.reloaded(result);
    }
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
    const { file, overrides } = this.#service.loaded;
    log.info('reloaded', {
      configuration: file,
      ...this.inForce,
      ...describeOverrides(overrides),
    });
    this.logWarnings();
    return true;
  }

  /** Nobody must be writing to a file while it is read: waits until all are as they were a while before, and still are after. */
  async #replace(): Promise<readonly Mistake[]> {
    const until = performance.now() + MOST_WAIT_MS;
    let known = new Set(this.#files.keys());
    for (;;) {
      await untilStable(known, until);
      const attempt = await this.#attempt();
      const { snapshot } = attempt;
      const files = [...snapshot.states.keys()];
      if ((snapshot.isCurrent && files.every((file) => known.has(file))) || performance.now() >= until)
        return this.#conclude(attempt);
      if (attempt.service !== null) closeKeys(attempt.service);
      known = new Set([...known, ...files]);
    }
  }

  async #attempt(): Promise<Attempt> {
    const snapshot = new FileSnapshot();
    let loaded: LoadedConfiguration | null = null;
    try {
      loaded = this.#load(snapshot.read);
      const fixed = findFixed(this.#service.loaded, loaded);
      if (fixed.length > 0) throw new ConfigurationFault(fixed);
      const files = new FileReader(loaded, snapshot);
      const service = await this.#assemble(loaded, files);
      return { snapshot, loaded, service, mistakes: [] };
    } catch (cause) {
      if (!(cause instanceof ConfigurationFault)) throw cause;
      return { snapshot, loaded, service: null, mistakes: cause.mistakes };
    }
  }

  #assemble(
    loaded: LoadedConfiguration,
    files: FileReader,
    options: Omit<AssembleOptions, 'generation' | 'previous'> = {},
  ): Promise<Service> {
    const previous = this.#service;
    return assemble(loaded, files, this.dependencies, {
      ...options,
      generation: previous.generation + 1,
      previous,
    });
  }

  async #conclude({ snapshot, loaded, service, mistakes }: Attempt): Promise<readonly Mistake[]> {
    const { log } = this.dependencies;
    if (service !== null) {
      this.#files = snapshot.states;
      this.#filesInUse = snapshot.states;
      this.#isBundleGood = true;
      await this.#take(service);
      this.#unmended = null;
      return [];
    }
    const revoked = await this.#withRevocations(loaded, snapshot);
    // Those in use that were not read this time count as they are now: they are no reason to fail again.
    const inUse = [...this.#files.keys()].map((path) => [path, fileState(path)] as const);
    this.#files = new Map([...inUse, ...snapshot.states]);
    const all = withoutRepetition([...mistakes, ...revoked.mistakes]);
    this.#unmended = { mistakes: all, toldAt: this.dependencies.clock() };
    this.#fetchKeys();
    if (revoked.service !== null) {
      const list = revoked.service.loaded.configuration.revokedLicensesPath;
      const file = list === undefined ? null : revoked.service.loaded.resolvePath(list);
      const state = file === null ? undefined : snapshot.states.get(file);
      if (file !== null && state !== undefined)
        this.#filesInUse = new Map([...this.#filesInUse, [file, state]]);
      await this.#take(revoked.service);
      log.warn('only the revocations are reloaded', this.inForce);
    }
    return all;
  }

  /** Puts a service in place in every thread. */
  async #take(service: Service): Promise<void> {
    const { log } = this.dependencies;
    const previous = this.#service;
    const before = previous.revokedLicenses;
    this.dependencies.replayStore.admitAhead(largestClockSkew(service.loaded.configuration));
    this.#service = service;
    this.#certificates = certificatesOf(service);
    this.#bundleWatch.taken(service);
    this.dependencies.metrics.announceAuthorities(service.authorityKeys.keys());
    closeKeys(previous);
    this.#fetchKeys();
    if (service.revokedLicenses < before * (1 - MUCH_SHORTER))
      log.warn('the number of revoked licences fell by more than a tenth', {
        before,
        revokedLicenses: service.revokedLicenses,
      });
    try {
      await this.onReplaced?.();
    } catch (cause) {
      throw new ReloadIncomplete(cause instanceof Error ? cause.message : 'unknown fault');
    }
    this.#inForce = pickInForce(this.#service, this.dependencies.clock());
  }

  /**
   * The service in force with the newer revocations, where those are good: they do not wait until something else is
   * mended. `loaded` is null where the configuration itself has mistakes: then its list alone is read.
   */
  async #withRevocations(
    loaded: LoadedConfiguration | null,
    snapshot: FileSnapshot,
  ): Promise<Pick<Attempt, 'service' | 'mistakes'>> {
    const list = this.#readNewerList(loaded, snapshot);
    const bundle = await this.#openNewerBundle(snapshot);
    const newerRevocations = bundle.revocations ?? this.#service.newerRevocations;
    const mistakes = [...list.mistakes, ...bundle.mistakes];
    // A list that has mistakes does not keep the bundle's revocations from entering.
    for (const files of [list.files, ...(bundle.revocations === null ? [] : [this.#filesInForce()])]) {
      if (files === null) continue;
      try {
        const { openedAt } = this.#service;
        const service = await this.#assemble(files.loaded, files, { openedAt, newerRevocations, seen: null });
        return { service, mistakes };
      } catch (cause) {
        if (!(cause instanceof ConfigurationFault)) throw cause;
        mistakes.push(...cause.mistakes);
      }
    }
    return { service: null, mistakes };
  }

  #filesInForce(): FileReader {
    const { loaded, contents } = this.#service;
    return new FileReader(loaded, FileSnapshot.of(contents));
  }

  /** The files in force with a list of revoked licences that has changed; `files` is null where it has not. */
  #readNewerList(
    loaded: LoadedConfiguration | null,
    snapshot: FileSnapshot,
  ): { readonly files: FileReader | null; readonly mistakes: readonly Mistake[] } {
    const { loaded: before, contents } = this.#service;
    const { revokedLicenses, revokedLicensesPath } = (loaded ?? before).configuration;
    const configuration = { ...before.configuration, revokedLicenses, revokedLicensesPath };
    const reader = new FileReader({ ...before, configuration }, snapshot);
    const list = revokedLicensesPath === undefined ? null : before.resolvePath(revokedLicensesPath);
    if (list !== null && !snapshot.contents.has(list))
      reader.read('revokedLicensesPath', revokedLicensesPath);
    const bytes = list === null ? null : snapshot.contents.get(list);
    if (bytes === undefined) return { files: null, mistakes: reader.mistakes };
    const isSame =
      revokedLicensesPath === before.configuration.revokedLicensesPath &&
      isDeepStrictEqual(revokedLicenses, before.configuration.revokedLicenses) &&
      (list === null || bytes === null || Buffer.compare(bytes, contents.get(list) ?? Buffer.alloc(0)) === 0);
    if (isSame) return { files: null, mistakes: [] };
    const changed = new Map(list === null || bytes === null ? contents : [...contents, [list, bytes]]);
    return { files: new FileReader({ ...before, configuration }, FileSnapshot.of(changed)), mistakes: [] };
  }

  /** The revocations of a newer bundle at the place of the one in force; null where there is none. */
  async #openNewerBundle(
    snapshot: FileSnapshot,
  ): Promise<{ readonly revocations: NewerRevocations | null; readonly mistakes: readonly Mistake[] }> {
    const { seenSerials, clock } = this.dependencies;
    const { loaded, entitlements, newerRevocations } = this.#service;
    if (entitlements === null) return { revocations: null, mistakes: [] };
    const files = new FileReader(loaded, FileSnapshot.over(snapshot));
    const options = { now: clock(), seen: seenSerials, before: this.#service, pause: createPauses() };
    const bundle = await openBundle(loaded, files, options);
    this.#isBundleGood = bundle !== null;
    if (bundle === null) return { revocations: null, mistakes: files.mistakes };
    if (bundle.serial <= (newerRevocations?.serial ?? entitlements.serial))
      return { revocations: null, mistakes: [] };
    this.#bundleWatch.record(bundle);
    return { revocations: shareRevocations(bundle), mistakes: [] };
  }

  /** Tells again what the last reload left to mend, once a minute however often this is called. */
  remind(): void {
    const now = this.dependencies.clock();
    if (this.#unmended === null || now - this.#unmended.toldAt < REMIND_SECONDS) return;
    const { mistakes } = this.#unmended;
    this.#unmended = { mistakes, toldAt: now };
    for (const mistake of mistakes.slice(0, MOST_REMINDERS))
      this.dependencies.log.error('still not reloaded', { mistake: formatMistake(mistake) });
  }

  /** Warns when the clock was set back: used proofs stay used, but tokens and proofs dated ahead of it are refused until it catches up. */
  watchClock(): void {
    const shift = this.dependencies.clockShift();
    const seconds = this.#clockShiftBefore - shift;
    this.#clockShiftBefore = shift;
    if (seconds <= CLOCK_STEP) return;
    this.#setBack = { at: this.dependencies.clock(), seconds };
    this.dependencies.log.warn('the clock was set back', { seconds });
  }

  /** The files of certificates of which one ends within 30 days, or has ended. */
  get endingCertificates(): readonly CertificateFile[] {
    return groupByFile(this.#certificates, this.dependencies.clock()).filter(({ state }) => state !== 'ok');
  }

  /** Told when the log tells of a certificate's end. */
  onCertificateEnd: (() => void) | null = null;

  /** Tells of certificates that end: each once a day, and at once when it has ended. */
  watchCertificates(): void {
    const { clock, log } = this.dependencies;
    const due = this.#ends.due(this.endingCertificates, clock());
    for (const ending of due) {
      const { key, file, first, state, days } = ending;
      const at = state === 'error' ? log.error : log.warn;
      at(days < 0 ? 'a certificate has ended' : 'a certificate ends soon', {
        key,
        file,
        subject: first.subject,
        endsAt: formatTime(first.endsAt),
        days,
        detail: describeEnd(ending),
      });
    }
    if (due.length > 0) this.onCertificateEnd?.();
  }

  /** What it runs, what the files hold now, and how the parts do. Never rejects. */
  async snapshot(): Promise<RuntimeSnapshot> {
    const service = this.#service;
    const now = this.dependencies.clock();
    const { file, overrides, configuration } = service.loaded;
    const { replayStore } = this.dependencies;
    const { rememberedSince } = replayStore;
    const [signingKey, fault] = await Promise.all([
      signingKeyState(service, this.#filesInUse, now),
      settleWithin(REPLAY_ANSWER_MS, replayStore.failing(), () => 'it does not answer'),
    ]);
    return {
      now,
      startedAt: this.#startedAt,
      configuration: {
        file,
        generation: this.#inForce.generation,
        loadedAt: this.#inForce.since,
        overrides,
        changedFiles: [...this.#filesInUse]
          .filter(([path, state]) => fileState(path) !== state)
          .map(([path]) => path),
        lastReload: this.#lastReload,
      },
      signingKey,
      certificates: this.#certificates,
      authorities: authorityStates(service, now),
      replayStore: {
        kind: configuration.senderConstraint.replay.store,
        entries: service.observe().replayEntries,
        capacity: replayStore.capacity,
        fault,
        rememberedSince: Number.isFinite(rememberedSince) ? rememberedSince : null,
      },
      revocations: revocationsState(service, this.#inForce.revokedLicenses),
      entitlements: entitlementsState(service, this.#bundleWatch.fault),
      clock: { setBack: this.#setBack },
    };
  }

  /** Keeps the serial of the bundle, and tells when it ends. */
  watchBundle(): void {
    this.#bundleWatch.remind();
  }

  observe(): Omit<Observations, 'replayCapacity' | 'auditDropped'> {
    const { generation, revokedLicenses } = this.#inForce;
    return {
      ...this.#service.observe(),
      configurationGeneration: generation,
      revokedLicenses,
      entitlements: this.#observeEntitlements(),
    };
  }

  #observeEntitlements(): Observations['entitlements'] {
    const { entitlements, loaded } = this.#service;
    if (entitlements === null) return null;
    const expiry = expiryOf(entitlements, loaded.configuration.entitlements?.maxAge ?? null);
    return { serial: entitlements.serial, expiry, isLoaded: this.#isBundleGood };
  }

  /** A reload may be requested because an Authority has new keys. */
  #fetchKeys(): void {
    for (const keys of this.#service.authorityKeys.values()) void keys.refresh(this.dependencies.clock());
  }

  async #refreshKeys(): Promise<void> {
    const now = this.dependencies.clock();
    await Promise.all([...this.#service.authorityKeys.values()].map((keys) => keys.refreshIfNeeded(now)));
  }
}

/** Not the service itself, which would keep a former one in memory. */
interface InForce {
  readonly generation: number;
  readonly revokedLicenses: number;
  /** null without a bundle. */
  readonly entitlementsSerial: number | null;
  /** Epoch seconds. */
  readonly since: number;
}

function pickInForce({ generation, revokedLicenses, entitlements }: Service, since: number): InForce {
  return { generation, revokedLicenses, entitlementsSerial: entitlements?.serial ?? null, since };
}

/** For the log. */
function describeInForce({ generation, revokedLicenses, entitlementsSerial }: Omit<InForce, 'since'>) {
  const serial = entitlementsSerial === null ? {} : { entitlementsSerial };
  return { generation, revokedLicenses, ...serial };
}

/** The keys that the environment sets, for the log; nothing where it sets none. */
export function describeOverrides(overrides: LoadedConfiguration['overrides']): {
  readonly overrides?: readonly string[];
} {
  const texts = overrides.map(({ key, variable }) => `${key} (${variable})`);
  return texts.length === 0 ? {} : { overrides: texts };
}

/** Of the mistakes of a reload, those that `status` names. */
const MOST_NAMED = 20;

/** The first of each file, then others. */
function someOf(mistakes: readonly Mistake[]): ReloadMistake[] {
  const firsts = new Map(mistakes.toReversed().map((mistake) => [mistake.source, mistake]));
  const isFirst = (mistake: Mistake) => firsts.get(mistake.source) === mistake;
  return [...mistakes.filter(isFirst), ...mistakes.filter((mistake) => !isFirst(mistake))]
    .slice(0, MOST_NAMED)
    .map((mistake) => ({ source: mistake.source, text: formatMistake(mistake) }));
}

function shareRevocations({ serial, revokedLicenses }: Bundle): NewerRevocations {
  const json = Buffer.from(JSON.stringify([...revokedLicenses]));
  const licenses = new Uint8Array(new SharedArrayBuffer(json.length));
  licenses.set(json);
  return { serial, licenses };
}

/** A configuration without mistakes that not every thread answers by. */
export class ReloadIncomplete extends Error {}

function withoutRepetition(mistakes: readonly Mistake[]): Mistake[] {
  return [...new Map(mistakes.map((mistake) => [formatMistake(mistake), mistake])).values()];
}

/** What came of reading all files once. */
interface Attempt {
  readonly snapshot: FileSnapshot;
  /** null where the configuration itself has mistakes. */
  readonly loaded: LoadedConfiguration | null;
  /** null where there are mistakes. */
  readonly service: Service | null;
  readonly mistakes: readonly Mistake[];
}

/** What only a restart can change. */
function findFixed(before: LoadedConfiguration, after: LoadedConfiguration): Mistake[] {
  const fixed = ['server.listen', 'server.workers', 'senderConstraint.replay', 'telemetry', 'logging'];
  return fixed
    .filter((key) => valueAt(before.configuration, key) !== valueAt(after.configuration, key))
    .concat(speaksTls(before) === speaksTls(after) ? [] : 'server.tls')
    .map((key) => after.mistakeAt(key, 'takes effect only after a restart'));
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
