/**
 * Configuration to a service with its keys, stores, clock and telemetry: the one place where parts are joined.
 * No rule lives here; it hands each part the few values that it needs.
 */
import { randomBytes } from 'node:crypto';
import { createNonces } from '../authenticate/nonce.ts';
import { Signatures } from '../authenticate/signatures.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { ConfigurationFault } from '../config/mistakes.ts';
import type { Configuration } from '../config/schema.ts';
import { createEndpoints, type FailingPart, type Handle } from '../endpoints.ts';
import { RemoteAuthorityKeys } from '../keys/remote-authority-keys.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import { MemoryReplayStore } from '../replay/memory-replay-store.ts';
import { RedisReplayStore } from '../replay/redis-replay-store.ts';
import type { Clock, Decision } from '../service.ts';
import { type Log, logDecision } from '../telemetry/log.ts';
import { createMetrics, type Metrics, type ProcessUsage } from '../telemetry/metrics.ts';
import { readMaterial } from './material.ts';
import {
  authenticateOptions,
  challengeOptions,
  createPolicy,
  metadataUrl,
  realmPath,
  requestOptions,
} from './options.ts';
import { checkSafety, checkSampleKey } from './safety.ts';

export interface Surroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly processUsage: () => ProcessUsage;
}

export interface Service {
  readonly handle: Handle;
  /** Opens what is reached over the network. Never rejects: `readyz` tells what fails, and trying goes on. */
  readonly open: () => Promise<void>;
  readonly close: () => void;
}

/** How often the Authority's keys are looked after; whether they are fetched is their own decision. */
const UPKEEP_MS = 5000;

/** Joins the parts. Throws ConfigurationFault with every file, key and certificate that cannot be used. */
export async function assemble(loaded: LoadedConfiguration, surroundings: Surroundings): Promise<Service> {
  const { configuration } = loaded;
  const { clock, log, processUsage } = surroundings;
  const read = await readMaterial(loaded, clock());
  const mistakes = [
    ...checkSafety(loaded),
    ...('mistakes' in read ? read.mistakes : checkSampleKey(loaded, read.material.signingKey)),
  ];
  if (mistakes.length > 0 || 'mistakes' in read) throw new ConfigurationFault(mistakes);
  const { signingKey, certificateAuthorities } = read.material;

  const metrics: Metrics = createMetrics(
    Object.keys(configuration.plans),
    () => ({
      replayEntries: replayStore instanceof MemoryReplayStore ? replayStore.size : null,
      replayCapacity: replayStore instanceof MemoryReplayStore ? replayStore.capacity : null,
      authorityKeysAge: remoteKeys?.fetchedAt == null ? null : clock() - remoteKeys.fetchedAt,
      signingCertificateExpiry: earliestExpiry(signingKey),
    }),
    processUsage,
  );
  const replayStore = createReplayStore(configuration, clock, log);
  const authorityKeys =
    read.material.authorityKeys ??
    new RemoteAuthorityKeys({
      issuer: configuration.authority.issuer,
      metadataUrl: metadataUrl(configuration),
      certificateAuthorities,
      onRefresh: (fault) => {
        metrics.authorityRefreshed(fault === null ? 'success' : 'failure');
        if (fault !== null) log.warn('authority keys not fetched', { fault });
      },
    });
  const remoteKeys = authorityKeys instanceof RemoteAuthorityKeys ? authorityKeys : null;
  const nonceRequired = configuration.senderConstraint.dpop.nonce === 'required';

  const handle = createEndpoints({
    tokenPaths: new Set(['/token', '/auth/token', ...configuration.registry.realm.map(realmPath)]),
    jwks: { keys: [signingKey.publicJwk] },
    exposeMetrics: metrics.expose,
    failingParts: () => findFailingParts(remoteKeys, replayStore, clock()),
    service: {
      clock,
      request: requestOptions(configuration),
      authenticate: {
        options: authenticateOptions(configuration),
        signatures: new Signatures(authorityKeys),
        replayStore,
        nonces: nonceRequired ? createNonces(read.material.nonceSecret ?? randomBytes(32)) : null,
      },
      policy: createPolicy(configuration),
      signer: signingKey,
      issuer: configuration.signing.issuer,
      challenge: challengeOptions(configuration),
      record: (decision) => {
        logDecision(log, decision);
        measureDecision(metrics, decision);
      },
    },
  });
  let upkeep: ReturnType<typeof setInterval> | null = null;
  return {
    handle,
    open: async () => {
      upkeep = setInterval(() => void remoteKeys?.refreshIfNeeded(clock()), UPKEEP_MS);
      await Promise.all([
        remoteKeys?.refreshIfNeeded(clock()),
        replayStore instanceof RedisReplayStore ? replayStore.open() : null,
      ]);
    },
    close: () => {
      if (upkeep !== null) clearInterval(upkeep);
      if (replayStore instanceof RedisReplayStore) replayStore.close();
    },
  };
}

function createReplayStore({ senderConstraint: { replay } }: Configuration, clock: Clock, log: Log) {
  if (replay.url === undefined) return new MemoryReplayStore(replay.capacity, clock());
  return new RedisReplayStore({
    url: replay.url,
    clock,
    onChange: (fault) =>
      fault === null ? log.info('replay store connected') : log.warn('replay store lost', { fault }),
  });
}

async function findFailingParts(
  remoteKeys: RemoteAuthorityKeys | null,
  replayStore: MemoryReplayStore | RedisReplayStore,
  now: number,
): Promise<readonly FailingPart[]> {
  const failing: FailingPart[] = [];
  await remoteKeys?.refreshIfNeeded(now);
  const keysFault = remoteKeys?.failing(now) ?? null;
  if (keysFault !== null) failing.push({ part: 'authority-keys', detail: keysFault });
  if (replayStore instanceof RedisReplayStore && replayStore.fault !== null)
    failing.push({ part: 'replay-store', detail: replayStore.fault });
  return failing;
}

function measureDecision(metrics: Metrics, { refusal, grant, durationMs }: Decision): void {
  if (refusal !== null) metrics.rejected(refusal.reason, durationMs / 1000);
  else if (grant !== null) metrics.issued(grant.plan, durationMs / 1000);
}

/** When the first certificate of the chain ends, in epoch seconds; null where there is none. */
function earliestExpiry({ certificates }: SigningKey): number | null {
  return certificates.length === 0
    ? null
    : Math.min(...certificates.map(({ validTo }) => Date.parse(validTo) / 1000));
}
