/**
 * Configuration to a service with its keys, stores, clock and telemetry: the one place where parts are joined.
 * No rule lives here; it hands each part the few values that it needs.
 */

import type { AuthorityKeys } from '../authenticate/authority-keys.ts';
import { replaceableBefore } from '../authenticate/dpop-proof.ts';
import { createNonces } from '../authenticate/nonce.ts';
import { Signatures } from '../authenticate/signatures.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import type { Configuration } from '../config/schema.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import type { EndpointParts, FailingPart } from '../endpoints.ts';
import { CLOCK_SKEW, expiryOf } from '../entitlements/admission.ts';
import type { Bundle } from '../entitlements/bundle.ts';
import { withBundle } from '../entitlements/in-force.ts';
import type { SeenSerials } from '../entitlements/seen-serials.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import type { TlsMaterial } from '../keys/tls-material.ts';
import { RunQueue } from '../limit/run-queue.ts';
import { createPauses } from '../platform/pauses.ts';
import type { Decision } from '../service.ts';
import type { Counters } from '../telemetry/counters.ts';
import { logDecision, warnOfUnreadableAddresses } from '../telemetry/log.ts';
import { type Observations, shareCollection } from '../telemetry/metrics.ts';
import { openAuthorityKeys } from './authority.ts';
import type { Dependencies } from './dependencies.ts';
import type { FileReader } from './files.ts';
import { type Material, openMaterial, revokedSets } from './material.ts';
import {
  authenticateOptions,
  challengeOptions,
  createAuthorities,
  createPolicy,
  rateLimits,
  realmPath,
  requestOptions,
} from './options.ts';
import { checkSafety, checkSampleKey } from './safety.ts';

/** The service by one configuration. */
export interface Service {
  readonly loaded: LoadedConfiguration;
  /** Which configuration this is: 1 at the start, one more at each reload. */
  readonly generation: number;
  readonly endpoints: EndpointParts;
  /** By the Authority's name. */
  readonly authorityKeys: ReadonlyMap<string, AuthorityKeys>;
  readonly signingKey: SigningKey;
  /** Those of `revokedLicensesPath`. */
  readonly listedLicenses: ReadonlySet<string>;
  /** How many licences are revoked. */
  readonly revokedLicenses: number;
  /** The vendor's bundle in force; null without `entitlements`. */
  readonly entitlements: Bundle | null;
  /** While of a newer bundle only the revocations are in force. */
  readonly newerRevocations: NewerRevocations | null;
  /** What the listener is made of; null for plain HTTP. */
  readonly tls: TlsMaterial | null;
  /** Every file that it was made of, absolute. */
  readonly files: ReadonlySet<string>;
  /** When its keys and certificates were judged, in epoch seconds: what is made of the same bytes is judged by the same time. */
  readonly openedAt: number;
  /** What those held. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
  readonly observe: () => Pick<
    Observations,
    'authorityKeysAges' | 'signingCertificateExpiry' | 'replayEntries'
  >;
}

/** The revoked licences of a bundle that is not in force itself. */
export interface NewerRevocations {
  readonly serial: number;
  /** A JSON array, in memory that threads can share. */
  readonly licenses: Uint8Array;
}

export interface AssembleOptions {
  readonly generation: number;
  /** The service that this one replaces. */
  readonly previous: Service | null;
  /** Keys, certificates and the bundle must be valid then. Default: now. */
  readonly openedAt?: number;
  /** In place of the bundle's revoked licences. */
  readonly newerRevocations?: NewerRevocations | null;
  /** null where the bundle was judged before. Default: the dependencies'. */
  readonly seen?: SeenSerials | null;
}

/**
 * Joins the parts; `files` reads what the configuration names.
 * Throws ConfigurationFault with every file, key and certificate that cannot be used.
 */
export async function assemble(
  loaded: LoadedConfiguration,
  files: FileReader,
  dependencies: Dependencies,
  {
    generation,
    previous,
    openedAt = dependencies.clock(),
    newerRevocations = null,
    seen = dependencies.seenSerials,
  }: AssembleOptions,
): Promise<Service> {
  const material = await openMaterial(loaded, files, {
    now: openedAt,
    before: previous,
    seen,
  });
  const opened = openAuthorityKeys(loaded, files, {
    ...dependencies.keyFetching,
    workers: dependencies.workers,
  });
  const mistakes = [...files.mistakes, ...checkSafety(loaded)];
  if (material !== null) mistakes.push(...checkSampleKey(loaded, material));
  if (mistakes.length > 0 || material === null || opened === null) throw new ConfigurationFault(mistakes);
  const inForce = withBundle(loaded, material.entitlements);
  dependencies.counters.announcePlans([...inForce.configuration.plans.keys()]);
  const parts: Parts = {
    loaded,
    inForce: inForce.configuration,
    generation,
    material,
    revokedLicenses: await revokedByAll(material, newerRevocations),
    entitlements: material.entitlements,
    newerRevocations,
    authorityKeys: continueAuthorityKeys(opened, previous),
    openedAt,
    files: new Set(files.snapshot.states.keys()),
    contents: files.snapshot.contents,
  };
  return join(parts, dependencies);
}

interface Parts
  extends Pick<
    Service,
    | 'loaded'
    | 'generation'
    | 'authorityKeys'
    | 'openedAt'
    | 'files'
    | 'contents'
    | 'entitlements'
    | 'newerRevocations'
  > {
  readonly material: Material;
  /** With what the bundle replaces. */
  readonly inForce: Configuration;
  readonly revokedLicenses: readonly ReadonlySet<string>[];
}

/**
 * Apart from `assemble`, because a function that is made there keeps all of its variables: each service would hold the
 * one before it, for good.
 */
function join({ material, inForce, revokedLicenses, ...parts }: Parts, dependencies: Dependencies): Service {
  const { loaded, generation, authorityKeys, entitlements } = parts;
  const { configuration } = loaded;
  const { clock, log, decisions, counters, replayStore, rateTable } = dependencies;
  const { signingKey } = material;
  const warnOfAddress = warnOfUnreadableAddresses(log, configuration.server.forwardedHeader, clock);
  const options = authenticateOptions(configuration);
  const policy = createPolicy(inForce, ...revokedLicenses);
  const usableUntil = usableUntilOf(configuration, entitlements);
  const nonceSecret = material.nonceSecret ?? dependencies.nonceSecret;
  const nonceRequired = configuration.senderConstraint.dpop.nonce === 'required';
  const endpoints: EndpointParts = {
    tokenPaths: new Set(['/token', '/auth/token', ...configuration.registry.realm.map(realmPath)]),
    jwks: { keys: [signingKey.publicJwk, ...material.additionalKeys.map(({ jwk }) => jwk)] },
    exposeMetrics: shareCollection(dependencies.exposeMetrics),
    failingParts: async () => [
      ...expiredPart(usableUntil, clock()),
      ...(await dependencies.findFailingParts(authorityKeys)),
    ],
    service: {
      generation,
      clock,
      usableUntil,
      request: requestOptions(configuration),
      queue: new RunQueue(
        share(configuration.limits?.inFlight ?? Number.POSITIVE_INFINITY, dependencies.workers),
      ),
      authenticate: {
        options,
        authorities: createAuthorities(configuration, authorityKeys),
        signatures: new Signatures(),
        replayStore,
        rateLimits: rateLimits(configuration, rateTable),
        nonces: nonceRequired ? createNonces(() => nonceSecret) : null,
        restartNonces: createNonces(() => replayStore.identity),
      },
      policy,
      signer: signingKey,
      issue: { issuer: configuration.signing.issuer, audience: configuration.signing.audience ?? null },
      challenge: challengeOptions(configuration),
      record: (decision) => {
        logDecision(log, decision);
        if (decisions !== null) logDecision(decisions, decision);
        warnOfAddress(decision);
        countDecision(counters, decision);
      },
    },
  };
  return {
    ...parts,
    endpoints,
    signingKey,
    listedLicenses: material.revokedLicenses,
    revokedLicenses: policy.revokedLicenses.size,
    tls: material.tls,
    observe: () => ({
      authorityKeysAges: agesOf(authorityKeys, clock()),
      signingCertificateExpiry: earliestExpiry(signingKey),
      replayEntries: replayStore.count(replaceableBefore(options.dpop, clock())),
    }),
  };
}

/** When the service stops to issue because the bundle has expired, in epoch seconds. */
function usableUntilOf({ entitlements }: Configuration, bundle: Bundle | null): number {
  if (bundle === null || entitlements?.onExpiry !== 'deny') return Number.POSITIVE_INFINITY;
  return expiryOf(bundle, entitlements.maxAge ?? null) + CLOCK_SKEW;
}

function expiredPart(usableUntil: number, now: number): FailingPart[] {
  if (now <= usableUntil) return [];
  return [{ part: 'entitlements', detail: 'the bundle has expired; the vendor must sign a new one' }];
}

/** The licences that are revoked beside those of the configuration itself; `newer` in place of the bundle's. */
async function revokedByAll(
  material: Pick<Material, 'revokedLicenses' | 'entitlements'>,
  newer: NewerRevocations | null,
): Promise<readonly ReadonlySet<string>[]> {
  if (newer === null) return revokedSets(material);
  const pause = createPauses();
  const licenses = JSON.parse(new TextDecoder().decode(Uint8Array.from(newer.licenses))) as readonly string[];
  const revokedLicenses = new Set<string>();
  for (const license of licenses) {
    revokedLicenses.add(license);
    const due = pause();
    if (due !== null) await due;
  }
  return [material.revokedLicenses, revokedLicenses];
}

/** Ends the fetches of a service that is not used any more. */
export function closeKeys({ authorityKeys }: Service): void {
  for (const keys of authorityKeys.values()) keys.close();
}

/** What was fetched from the same source stays in use over a reload, with its age and its cool-down. */
function continueAuthorityKeys(
  opened: ReadonlyMap<string, AuthorityKeys>,
  previous: Service | null,
): ReadonlyMap<string, AuthorityKeys> {
  for (const before of previous?.authorityKeys.values() ?? [])
    for (const keys of opened.values()) keys.inherit(before);
  return opened;
}

/** What one of several workers may have of a bound on all of them. */
function share(bound: number, workers: number): number {
  return Math.ceil(bound / workers);
}

function countDecision(counters: Counters, { refusal, grant, durationMs }: Decision): void {
  if (refusal !== null) counters.rejected(refusal.reason, durationMs / 1000);
  else if (grant !== null) counters.issued(grant.plan, durationMs / 1000);
}

/** Seconds, by the Authority's name; none for keys from a file and for those that were not fetched yet. */
function agesOf(authorityKeys: ReadonlyMap<string, AuthorityKeys>, now: number): ReadonlyMap<string, number> {
  const ages = [...authorityKeys].flatMap(([name, { fetched }]) =>
    fetched === null ? [] : [[name, now - fetched.fetchedAt] as const],
  );
  return new Map(ages);
}

/** When the first certificate of the chain ends, in epoch seconds; null where there is none. */
function earliestExpiry({ certificates }: SigningKey): number | null {
  return certificates.length === 0
    ? null
    : Math.min(...certificates.map(({ validTo }) => Date.parse(validTo) / 1000));
}
