/**
 * Configuration to a service with its keys, stores, clock and telemetry: the one place where parts are joined.
 * No rule lives here; it hands each part the few values that it needs.
 */
import { Signatures } from '../authenticate/signatures.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { ConfigurationFault } from '../config/mistakes.ts';
import { createEndpoints, type FailingPart, type Handle } from '../endpoints.ts';
import { RemoteAuthorityKeys } from '../keys/remote-authority-keys.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import { MemoryReplayStore } from '../replay/memory-replay-store.ts';
import type { Clock, Decision } from '../service.ts';
import { type Log, logDecision } from '../telemetry/log.ts';
import { createMetrics, type Metrics, type ProcessUsage } from '../telemetry/metrics.ts';
import { readMaterial } from './material.ts';
import { authenticateOptions, createPolicy, metadataUrl, realmPath } from './options.ts';
import { checkSafety, checkSampleKey } from './safety.ts';

export interface Surroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly processUsage: () => ProcessUsage;
}

export interface Service {
  readonly handle: Handle;
  /** Fetches the Authority's keys where they come over HTTP. Never rejects: `readyz` tells what fails. */
  readonly warmUp: () => Promise<void>;
}

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
  const { signingKey, authorityKeys: fileKeys, certificateAuthorities } = read.material;

  const replayStore = new MemoryReplayStore(configuration.senderConstraint.replay.capacity, clock());
  const metrics: Metrics = createMetrics(
    Object.keys(configuration.plans),
    () => ({
      replayEntries: replayStore.size,
      replayCapacity: replayStore.capacity,
      authorityKeysAge: remoteKeys?.fetchedAt == null ? null : clock() - remoteKeys.fetchedAt,
      signingCertificateExpiry: earliestExpiry(signingKey),
    }),
    processUsage,
  );
  const remoteKeys =
    fileKeys !== null
      ? null
      : new RemoteAuthorityKeys({
          issuer: configuration.authority.issuer,
          metadataUrl: metadataUrl(configuration),
          certificateAuthorities,
          onRefresh: (fault) => {
            metrics.authorityRefreshed(fault === null ? 'success' : 'failure');
            if (fault !== null) log.warn('authority keys not fetched', { fault });
          },
        });
  const { registry, signing, senderConstraint } = configuration;
  const handle = createEndpoints({
    tokenPaths: new Set(['/token', '/auth/token', ...registry.realm.map(realmPath)]),
    jwks: { keys: [signingKey.publicJwk] },
    exposeMetrics: metrics.expose,
    failingParts: async () => (remoteKeys === null ? [] : failingAuthority(remoteKeys, clock())),
    service: {
      clock,
      request: { allowedServices: registry.allowedServices ? new Set(registry.allowedServices) : null },
      authenticate: {
        options: authenticateOptions(configuration),
        signatures: new Signatures(fileKeys ?? (remoteKeys as RemoteAuthorityKeys)),
        replayStore,
      },
      policy: createPolicy(configuration),
      signer: signingKey,
      issuer: signing.issuer,
      challenge: {
        realm: signing.issuer,
        dpopAlgorithms: senderConstraint.accept.includes('dpop') ? senderConstraint.dpop.algorithms : [],
      },
      record: (decision) => {
        logDecision(log, decision);
        measureDecision(metrics, decision);
      },
    },
  });
  return { handle, warmUp: async () => remoteKeys?.refreshIfNeeded(clock()) };
}

function measureDecision(metrics: Metrics, { refusal, grant, durationMs }: Decision): void {
  if (refusal !== null) metrics.rejected(refusal.reason, durationMs / 1000);
  else if (grant !== null) metrics.issued(grant.plan, durationMs / 1000);
}

async function failingAuthority(keys: RemoteAuthorityKeys, now: number): Promise<readonly FailingPart[]> {
  await keys.refreshIfNeeded(now);
  return keys.fetchedAt === null ? [{ part: 'authority-keys', detail: keys.fault ?? 'not fetched yet' }] : [];
}

/** When the first certificate of the chain ends, in epoch seconds; null where there is none. */
function earliestExpiry({ certificates }: SigningKey): number | null {
  return certificates.length === 0
    ? null
    : Math.min(...certificates.map(({ validTo }) => Date.parse(validTo) / 1000));
}
