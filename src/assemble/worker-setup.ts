/** What a worker is made of: the configuration, the files that it names as they were read, and the memory that is shared. */
import { dirname, resolve } from 'node:path';
import type { FetchedKeySet } from '../authority/remote-authority-keys.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import type { Configuration } from '../config/schema.ts';
import type { RateMemory } from '../limit/rate-table.ts';
import type { ReplayMemory } from '../replay/memory-replay-store.ts';
import type { LogLevel } from '../telemetry/log.ts';

export interface WorkerSetup {
  /** From 1: the main thread is 0. */
  readonly thread: number;
  /** How many workers there are. */
  readonly workers: number;
  readonly configuration: Configuration;
  /** The configuration's file, absolute. */
  readonly file: string;
  /** By absolute path: every worker is made of the same, whatever the disk has meanwhile. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
  readonly shared: SharedMemory;
  /** In the order of their counts in `shared.tally`. */
  readonly plans: readonly string[];
  /** The Authority's keys that were fetched last. */
  readonly keySet: FetchedKeySet | null;
}

/** And where it listens, and how its log is to look. */
export interface PlacedWorkerSetup extends WorkerSetup {
  readonly listen: { readonly host: string; readonly port: number };
  readonly logging: {
    readonly level: LogLevel;
    readonly format: 'json' | 'pretty';
    readonly isForJournal: boolean;
    /** Whether its decisions go to the audit file as well. */
    readonly audits: boolean;
  };
}

export interface SharedMemory {
  readonly tally: SharedArrayBuffer;
  /** null where the store is Redis. */
  readonly replay: ReplayMemory | null;
  readonly rates: RateMemory;
  readonly nonceSecret: Uint8Array;
}

/** What a worker may ask the main thread: the exposition, the parts that fail, a fresh key set of the Authority. */
export type WorkerQuestion = 'metrics' | 'failing-parts' | 'key-set';

/** The configuration as the main thread has checked it: where its keys stand is known there alone. */
export function restoreConfiguration({ configuration, file }: WorkerSetup): LoadedConfiguration {
  const place = { source: file, line: null, column: null };
  return {
    configuration,
    file,
    resolvePath: (path) => resolve(dirname(file), path),
    placeOf: () => file,
    mistakeAt: (key, message) => ({ ...place, key, message }),
    overrides: [],
  };
}
