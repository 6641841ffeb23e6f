/** What outlives a reload: clock, log, counts, metrics, and the memory of used proofs and of used rates. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { AuthorityKeys, FetchedKeySet } from '../authenticate/authority-keys.ts';
import type { ReplayStore } from '../authenticate/replay-store.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import type { Configuration } from '../config/schema.ts';
import type { FailingPart } from '../endpoints.ts';
import { SeenSerials } from '../entitlements/seen-serials.ts';
import { RateTable } from '../limit/rate-table.ts';
import { createClockShift, steadyClock } from '../platform/clock-shift.ts';
import type { Proxies } from '../platform/proxy.ts';
import { type KeptState, MemoryReplayStore } from '../replay/memory-replay-store.ts';
import type { RedisTarget } from '../replay/redis-link.ts';
import { RedisReplayStore } from '../replay/redis-replay-store.ts';
import type { Clock } from '../service.ts';
import { Counters } from '../telemetry/counters.ts';
import type { Log } from '../telemetry/log.ts';
import { createMetrics, type Metrics, type Observations, type ProcessUsage } from '../telemetry/metrics.ts';
import type { MetricsPush } from '../telemetry/otlp-push.ts';
import type { KeyFetching } from './authority.ts';
import { largestClockSkew } from './options.ts';

export interface Context {
  readonly clock: Clock;
  /** One that cannot be set, by which steps of `clock` are noticed; that of the machine if not given. */
  readonly steadyClock?: Clock;
  readonly log: Log;
  /** Where decisions go beside the log: to the audit file, to the console. */
  readonly decisions?: Log | null;
  /** Lines that the audit file has lost; null without one. */
  readonly auditDropped?: (() => number) | null;
  readonly processUsage: () => ProcessUsage;
  /** Where metrics go beside those who scrape. */
  readonly push?: MetricsPush | null;
  /** Through which the Authority is asked. */
  readonly proxies?: Proxies;
}

/** What the service stands on, in whichever thread it runs. */
export interface Dependencies extends Pick<Context, 'clock' | 'log'> {
  /** Takes decisions alone; null where they go to the log alone. */
  readonly decisions: Log | null;
  /** Threads that answer requests, each for its share of what is bounded for all. */
  readonly workers: number;
  readonly counters: Counters;
  readonly replayStore: ReplayStore;
  /** There without a limit too: a reload may set one. */
  readonly rateTable: RateTable;
  /** For DPoP nonces where the configuration names no secret. */
  readonly nonceSecret: Uint8Array;
  /** Of the main thread, which judges bundles; null in a worker. */
  readonly seenSerials: SeenSerials | null;
  readonly keyFetching: KeyFetching;
  /** In the Prometheus text format. */
  readonly exposeMetrics: () => Promise<string>;
  readonly findFailingParts: (
    authorityKeys: ReadonlyMap<string, AuthorityKeys>,
  ) => Promise<readonly FailingPart[]>;
}

/** That of the main thread, which alone fetches, reloads and exposes. */
export interface MainDependencies extends Dependencies {
  readonly metrics: Metrics;
  /** Seconds by which `clock` was set ahead since the start. */
  readonly clockShift: () => number;
  readonly seenSerials: SeenSerials;
}

export interface DependencyOptions extends Context {
  /** Told of each key set of the Authority that was fetched. */
  readonly onKeySet: (keySet: FetchedKeySet) => void;
  /** Tells what only the service in use knows. */
  readonly observe: () => Omit<Observations, 'replayCapacity' | 'auditDropped'>;
}

export function createDependencies(
  loaded: LoadedConfiguration,
  {
    clock,
    steadyClock: steady = steadyClock,
    log,
    decisions = null,
    auditDropped = null,
    processUsage,
    push = null,
    proxies,
    onKeySet,
    observe,
  }: DependencyOptions,
): MainDependencies {
  const clockShift = createClockShift(clock, steady);
  const replayStore = createReplayStore(loaded, { clock, log }, clockShift);
  const counters = new Counters();
  const metrics = createMetrics(
    counters,
    () => ({
      ...observe(),
      replayCapacity: replayStore.capacity,
      auditDropped: auditDropped?.() ?? null,
    }),
    processUsage,
    push,
  );
  const onRefresh = (authority: string, fault: string | null) => {
    metrics.authorityRefreshed(authority, fault === null ? 'success' : 'failure');
    if (fault !== null) log.warn('authority keys not fetched', { authority, fault });
  };
  const onWarning = (authority: string, warning: string) =>
    log.warn('authority keys are used with a warning', { authority, warning });
  return {
    clock,
    clockShift,
    log,
    decisions,
    workers: 1,
    counters,
    metrics,
    replayStore,
    rateTable: RateTable.create(),
    nonceSecret: randomBytes(32),
    seenSerials: new SeenSerials(),
    keyFetching: { onRefresh, onWarning, onKeySet, ...(proxies === undefined ? {} : { proxies }) },
    exposeMetrics: metrics.expose,
    findFailingParts: (authorityKeys) => findFailingParts(authorityKeys, replayStore, clock()),
  };
}

function createReplayStore(
  loaded: LoadedConfiguration,
  context: Pick<Context, 'clock' | 'log'>,
  clockShift: () => number,
): ReplayStore {
  const { replay } = loaded.configuration.senderConstraint;
  if (replay.store === 'redis') return openRedis(loaded, context);
  // The former process may have recorded proofs that were dated ahead.
  const rememberedSince = context.clock() + largestClockSkew(loaded.configuration);
  return MemoryReplayStore.create(replay.capacity, rememberedSince, {
    kept: keptState(loaded, context.log),
    clock: context.clock,
    clockShift,
  });
}

/** Seconds: a smaller step is the ordinary correction of a clock. */
export const CLOCK_STEP = 1;

/** null where the configuration names no place. */
function keptState({ configuration, resolvePath }: LoadedConfiguration, log: Log): KeptState | null {
  const { statePath } = configuration.senderConstraint.replay;
  if (statePath === undefined) return null;
  const path = resolvePath(statePath);
  return {
    path,
    onRestored: ({ entries, fault, doubted, setBack }) => {
      if (setBack > CLOCK_STEP) log.warn('the clock was set back since the last run', { seconds: setBack });
      if (fault === null) log.info('used proofs restored', { path, entries });
      if (fault === null && doubted > 0)
        log.warn('the clock was ahead before: proofs need a nonce for a while', { seconds: doubted });
      if (fault !== null)
        log.warn('used proofs not restored: proofs need a nonce for a while', {
          path,
          fault,
          seconds: doubted,
        });
    },
    onNotNoted: (fault) => log.warn('clockSkew is not noted beside the used proofs', { path, fault }),
    onSaved: ({ entries, fault }) =>
      fault === null
        ? log.info('used proofs saved', { path, entries })
        : log.warn('used proofs not saved', { path, fault }),
  };
}

/** Connections of this thread's own. */
export function openRedis(
  { configuration, resolvePath }: Pick<LoadedConfiguration, 'configuration' | 'resolvePath'>,
  { clock, log }: Pick<Context, 'clock' | 'log'>,
): ReplayStore {
  const { replay } = configuration.senderConstraint;
  const { passwordPath, caPath } = replay;
  const read = (path: string) => readFileSync(resolvePath(path), 'utf8');
  return new RedisReplayStore({
    target: redisTarget(replay),
    // At each connection, not once: a new password needs no restart.
    readSecrets: () => ({
      password: passwordPath === undefined ? null : read(passwordPath).replace(/\r?\n$/, ''),
      ca: caPath === undefined ? null : read(caPath),
    }),
    minReplicas: replay.minReplicas ?? 0,
    clockSkew: largestClockSkew(configuration),
    clock,
    onChange: (fault) =>
      fault === null ? log.info('replay store connected') : log.warn('replay store lost', { fault }),
  });
}

function redisTarget({
  url = '',
  sentinels,
  master = '',
  cluster,
}: Configuration['senderConstraint']['replay']): RedisTarget {
  if (sentinels !== undefined) return { kind: 'sentinel', sentinels, master };
  return cluster === undefined ? { kind: 'server', url } : { kind: 'cluster', nodes: cluster };
}

/** What cannot do its work now, each with why. `now` in epoch seconds. */
async function findFailingParts(
  authorityKeys: ReadonlyMap<string, AuthorityKeys>,
  replayStore: ReplayStore,
  now: number,
): Promise<readonly FailingPart[]> {
  const failing: FailingPart[] = [];
  const judged = [...authorityKeys].map(([name, keys]) => {
    // Not awaited: an Authority that hangs would delay the answer, which is about now.
    void keys.refreshIfNeeded(now);
    return { name, detail: keys.failing(now) };
  });
  const isPartial = judged.some(({ detail }) => detail === null);
  for (const { name, detail } of judged)
    if (detail !== null) failing.push({ part: 'authority-keys', detail: `${name}: ${detail}`, isPartial });
  const replayFault = await replayStore.failing();
  if (replayFault !== null) failing.push({ part: 'replay-store', detail: replayFault });
  return failing;
}
