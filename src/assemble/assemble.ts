/**
 * Configuration to a service with its keys, stores, clock and telemetry: the one place where parts are joined.
 * No rule lives here; it hands each part the few values that it needs.
 */

import type { AuthorityKeys } from '../authenticate/authority-keys.ts';
import { createNonces } from '../authenticate/nonce.ts';
import { Signatures } from '../authenticate/signatures.ts';
import type { FormerWindow } from '../authenticate/use-proof.ts';
import { RemoteAuthorityKeys } from '../authority/remote-authority-keys.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { createEndpoints, type Handle } from '../endpoints.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import type { TlsMaterial } from '../keys/tls-material.ts';
import { RunQueue } from '../limit/run-queue.ts';
import type { Decision } from '../service.ts';
import { logDecision, warnOfUnreadableAddresses } from '../telemetry/log.ts';
import { type Observations, shareCollection } from '../telemetry/metrics.ts';
import type { Tally } from '../telemetry/tally.ts';
import { openAuthorityKeys } from './authority.ts';
import type { Foundation } from './dependencies.ts';
import type { FileReader } from './file-reader.ts';
import { type Material, openMaterial } from './material.ts';
import {
  authenticateOptions,
  challengeOptions,
  createPolicy,
  rateLimits,
  realmPath,
  requestOptions,
} from './options.ts';
import { checkSafety, checkSampleKey } from './safety.ts';

/** The service by one configuration. */
export interface Service {
  readonly loaded: LoadedConfiguration;
  readonly handle: Handle;
  readonly authorityKeys: AuthorityKeys;
  readonly signingKey: SigningKey;
  readonly revokedLicenses: ReadonlySet<string>;
  /** What the listener is made of; null for plain HTTP. */
  readonly tls: TlsMaterial | null;
  /** null where proofs have always been good for as long as now. */
  readonly formerWindow: FormerWindow | null;
  /** Every file that it was made of, absolute. */
  readonly files: ReadonlySet<string>;
  /** What those held, where workers are made of it. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
  readonly observe: () => Pick<Observations, 'authorityKeysAge' | 'signingCertificateExpiry'>;
}

/**
 * Joins the parts; `files` reads what the configuration names, `previous` is the service that this one replaces.
 * Throws ConfigurationFault with every file, key and certificate that cannot be used.
 */
export async function assemble(
  loaded: LoadedConfiguration,
  files: FileReader,
  foundation: Foundation,
  previous: Service | null,
): Promise<Service> {
  const now = foundation.clock();
  const material = await openMaterial(loaded, files, now);
  const opened = openAuthorityKeys(loaded, files, foundation.keyFetching);
  const mistakes = [...files.mistakes, ...checkSafety(loaded)];
  if (material !== null) mistakes.push(...checkSampleKey(loaded, material));
  if (mistakes.length > 0 || material === null || opened === null) throw new ConfigurationFault(mistakes);
  foundation.tally.announcePlans(Object.keys(loaded.configuration.plans));
  const parts: Parts = {
    loaded,
    material,
    authorityKeys: keepAuthorityKeys(opened, previous),
    formerWindow: formerWindow(loaded, previous, now),
    files: new Set([loaded.file, ...files.states.keys()]),
    contents: files.contents,
  };
  return join(parts, foundation);
}

interface Parts extends Pick<Service, 'loaded' | 'authorityKeys' | 'formerWindow' | 'files' | 'contents'> {
  readonly material: Material;
}

/**
 * Apart from `assemble`, because a function that is made there keeps all of its variables: each service would hold the
 * one before it, for good.
 */
function join({ material, ...parts }: Parts, foundation: Foundation): Service {
  const { loaded, authorityKeys, formerWindow } = parts;
  const { configuration } = loaded;
  const { clock, log, audit, tally, replayStore, rateTable } = foundation;
  const { signingKey } = material;
  const warnOfAddress = warnOfUnreadableAddresses(log, configuration.server.forwardedHeader, clock);
  const nonceRequired = configuration.senderConstraint.dpop.nonce === 'required';
  const handle = createEndpoints({
    tokenPaths: new Set(['/token', '/auth/token', ...configuration.registry.realm.map(realmPath)]),
    jwks: { keys: [signingKey.publicJwk, ...material.additionalKeys.map(({ jwk }) => jwk)] },
    exposeMetrics: shareCollection(foundation.exposeMetrics),
    failingParts: () => foundation.findFailingParts(authorityKeys),
    service: {
      clock,
      request: requestOptions(configuration),
      queue: new RunQueue(
        share(configuration.limits?.inFlight ?? Number.POSITIVE_INFINITY, foundation.workers),
      ),
      authenticate: {
        options: authenticateOptions(configuration),
        signatures: new Signatures(authorityKeys),
        replayStore,
        rateLimits: rateLimits(configuration, rateTable),
        nonces: nonceRequired ? createNonces(material.nonceSecret ?? foundation.nonceSecret) : null,
        formerWindow,
      },
      policy: createPolicy(configuration, material.revokedLicenses),
      signer: signingKey,
      issue: { issuer: configuration.signing.issuer, audience: configuration.signing.audience ?? null },
      challenge: challengeOptions(configuration),
      record: (decision) => {
        logDecision(log, decision);
        if (audit !== null) logDecision(audit, decision);
        warnOfAddress(decision);
        countDecision(tally, decision);
      },
    },
  });
  return {
    ...parts,
    handle,
    signingKey,
    revokedLicenses: material.revokedLicenses,
    tls: material.tls,
    observe: () => ({
      authorityKeysAge: ageOf(authorityKeys, clock()),
      signingCertificateExpiry: earliestExpiry(signingKey),
    }),
  };
}

/** Keys that were fetched from the same place stay in use over a reload, with their cool-down. */
function keepAuthorityKeys(opened: AuthorityKeys, previous: Service | null): AuthorityKeys {
  const before = previous?.authorityKeys;
  if (opened instanceof RemoteAuthorityKeys && before instanceof RemoteAuthorityKeys && before.isLike(opened))
    return before;
  return opened;
}

/** Seconds for which a request may go on under the service that was replaced: longer than Bun leaves it to idle. */
const LAST_REQUESTS = 60;

/**
 * Where proofs are now good for longer than before, those recorded before are still forgotten as early as then, and so
 * they must not be good for longer. Two such changes on end: the first window counts, for both.
 */
function formerWindow(
  loaded: LoadedConfiguration,
  previous: Service | null,
  now: number,
): FormerWindow | null {
  if (previous === null) return null;
  const before = previous.formerWindow;
  const seconds = proofWindow(previous.loaded);
  if (proofWindow(loaded) <= seconds) return before;
  const until = now + previous.loaded.configuration.authority.clockSkew + LAST_REQUESTS;
  return {
    until,
    seconds: Math.min(
      seconds,
      before !== null && now < before.until + before.seconds ? before.seconds : seconds,
    ),
  };
}

/** Seconds for which a proof can pass. */
function proofWindow({ configuration: { senderConstraint, authority } }: LoadedConfiguration): number {
  return senderConstraint.dpop.maxAge + authority.clockSkew;
}

/** What one of several workers may have of a bound on all of them. */
function share(bound: number, workers: number): number {
  return Math.ceil(bound / workers);
}

function countDecision(tally: Tally, { refusal, grant, durationMs }: Decision): void {
  if (refusal !== null) tally.rejected(refusal.reason, durationMs / 1000);
  else if (grant !== null) tally.issued(grant.plan, durationMs / 1000);
}

/** Seconds; null for keys from a file and for none at all. */
function ageOf(keys: AuthorityKeys, now: number): number | null {
  return keys instanceof RemoteAuthorityKeys && keys.fetched !== null ? now - keys.fetched.fetchedAt : null;
}

/** When the first certificate of the chain ends, in epoch seconds; null where there is none. */
function earliestExpiry({ certificates }: SigningKey): number | null {
  return certificates.length === 0
    ? null
    : Math.min(...certificates.map(({ validTo }) => Date.parse(validTo) / 1000));
}
