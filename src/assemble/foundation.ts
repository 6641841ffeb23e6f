/** What outlives a reload: clock, log, counts, metrics and the memory of used proofs. */
import { randomBytes } from 'node:crypto';
import type { LoadedConfiguration } from '../config/load.ts';
import type { Configuration } from '../config/schema.ts';
import { MemoryReplayStore } from '../replay/memory-replay-store.ts';
import { RedisReplayStore } from '../replay/redis-replay-store.ts';
import type { Clock } from '../service.ts';
import type { Log } from '../telemetry/log.ts';
import { createMetrics, type Metrics, type Observations, type ProcessUsage } from '../telemetry/metrics.ts';
import { Tally } from '../telemetry/tally.ts';

export interface Surroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly processUsage: () => ProcessUsage;
}

export interface Foundation extends Surroundings {
  readonly tally: Tally;
  readonly metrics: Metrics;
  readonly replayStore: MemoryReplayStore | RedisReplayStore;
  /** For DPoP nonces where the configuration names no secret. */
  readonly nonceSecret: Buffer;
}

/** `observe` tells what only the service in use knows. */
export function layFoundation(
  { configuration }: LoadedConfiguration,
  surroundings: Surroundings,
  observe: () => Pick<Observations, 'authorityKeysAge' | 'signingCertificateExpiry'>,
): Foundation {
  const replayStore = createReplayStore(configuration, surroundings);
  const memory = replayStore instanceof MemoryReplayStore ? replayStore : null;
  const tally = new Tally();
  const metrics = createMetrics(
    tally,
    () => ({
      ...observe(),
      replayEntries: memory?.count(surroundings.clock()) ?? null,
      replayCapacity: memory?.capacity ?? null,
    }),
    surroundings.processUsage,
  );
  return { ...surroundings, tally, metrics, replayStore, nonceSecret: randomBytes(32) };
}

function createReplayStore({ senderConstraint: { replay } }: Configuration, { clock, log }: Surroundings) {
  if (replay.url === undefined) return MemoryReplayStore.create(replay.capacity, clock());
  const onChange = (fault: string | null) =>
    fault === null ? log.info('replay store connected') : log.warn('replay store lost', { fault });
  return new RedisReplayStore({ url: replay.url, clock, onChange });
}
