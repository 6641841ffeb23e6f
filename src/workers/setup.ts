/**
 * What a worker is made of: one snapshot of the configuration and of the files that it names, as the main thread read
 * them, and the memory that all threads share.
 */
import { dirname, resolve } from 'node:path';
import type { NewerRevocations } from '../assemble/assemble.ts';
import type { Runtime } from '../assemble/runtime.ts';
import type { FetchedKeySet } from '../authenticate/authority-keys.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import type { Configuration } from '../config/schema.ts';
import type { RateMemory } from '../limit/rate-table.ts';
import type { ReplayMemory } from '../replay/memory-replay-store.ts';
import type { LogLevel } from '../telemetry/log.ts';

export interface WorkerSetup {
  /** Of the configuration: a worker takes a newer one only. */
  readonly generation: number;
  /** From 1: the main thread is 0. */
  readonly thread: number;
  /** How many workers there are. */
  readonly workers: number;
  readonly configuration: Configuration;
  /** The configuration's file, absolute. */
  readonly file: string;
  /** When the main thread judged keys and certificates, in epoch seconds: a worker that replaces another takes them too. */
  readonly openedAt: number;
  /** By absolute path: every worker is made of the same bytes, whatever the disk has meanwhile. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
  /** Of the service: see there. */
  readonly newerRevocations: NewerRevocations | null;
  readonly shared: SharedMemory;
  /** In the order of their counts in `shared.counters`. */
  readonly plans: readonly string[];
  /** The key sets that were fetched last. */
  readonly keySets: readonly FetchedKeySet[];
  readonly listen: { readonly host: string; readonly port: number };
  readonly logging: WorkerLogging;
}

export interface WorkerLogging {
  readonly level: LogLevel;
  readonly format: 'json' | 'pretty';
  readonly isForJournal: boolean;
  /** Whether its decisions go to the main thread as well: for the audit file and the console. */
  readonly sendsDecisions: boolean;
}

export interface SharedMemory {
  readonly counters: SharedArrayBuffer;
  /** null where each thread has its own connection to the replay store. */
  readonly replay: { readonly memory: ReplayMemory; readonly rememberedSince: number } | null;
  readonly rates: RateMemory;
  readonly nonceSecret: Uint8Array;
}

/** What a worker may ask the main thread: the exposition, the parts that fail, a fresh key set of an Authority. */
export type WorkerQuestion =
  | { readonly kind: 'metrics' }
  | { readonly kind: 'failing-parts' }
  | { readonly kind: 'key-set'; readonly source: string };

/** What a worker is made of that serves as the main thread would, now. */
export function createSetup(
  { service, dependencies }: Runtime,
  own: Pick<WorkerSetup, 'thread' | 'workers' | 'listen' | 'logging'>,
): WorkerSetup {
  const { generation, loaded, openedAt, contents, newerRevocations, authorityKeys } = service;
  const { counters, replayStore, rateTable, nonceSecret } = dependencies;
  const { memory, rememberedSince } = replayStore;
  const fetched = [...authorityKeys.values()].map((keys) => keys.fetched);
  return {
    ...own,
    generation,
    configuration: loaded.configuration,
    file: loaded.file,
    openedAt,
    contents,
    newerRevocations,
    shared: {
      counters: counters.memory,
      replay: memory === null ? null : { memory, rememberedSince },
      rates: rateTable.memory,
      nonceSecret,
    },
    plans: counters.plans,
    keySets: fetched.filter((keySet) => keySet !== null),
  };
}

/** The configuration as the main thread has checked it. Where its keys stand in the file is known there alone. */
export function restoreConfiguration({ configuration, file }: WorkerSetup): LoadedConfiguration {
  const place = { source: file, line: null, column: null };
  return {
    configuration,
    file,
    plansFile: null,
    overrides: [],
    resolvePath: (path) => resolve(dirname(file), path),
    placeOf: () => file,
    mistakeAt: (key, message) => ({ ...place, key, message }),
  };
}
