/** Over time: keeps the highest serial, and warns before a bundle expires. */
import { expiryOf } from '../entitlements/admission.ts';
import type { Bundle } from '../entitlements/bundle.ts';
import { formatTime } from '../platform/time.ts';
import type { Service } from './assemble.ts';
import type { MainDependencies } from './dependencies.ts';
import { serialFileOf } from './entitlements.ts';

/** Seconds. */
export const WARNED_BEFORE = 7 * 86_400;
const DAY = 86_400;

type Phase = 'fine' | 'ends-soon' | 'expired';

export class BundleWatch {
  readonly #dependencies: Pick<MainDependencies, 'clock' | 'log' | 'seenSerials'>;
  #service: Pick<Service, 'loaded' | 'entitlements'> | null = null;
  #told: { readonly phase: Phase; readonly at: number } = { phase: 'fine', at: 0 };
  /** Why the serial is not kept, as it was told last. */
  #fault: string | null = null;

  constructor(dependencies: Pick<MainDependencies, 'clock' | 'log' | 'seenSerials'>) {
    this.#dependencies = dependencies;
  }

  /** Why the serial is not kept for the next start; null where it is. */
  get fault(): string | null {
    return this.#fault;
  }

  /** A service comes into force. */
  taken(service: Pick<Service, 'loaded' | 'entitlements'>): void {
    const { log, seenSerials } = this.#dependencies;
    const before = this.#service?.entitlements ?? null;
    this.#service = { loaded: service.loaded, entitlements: service.entitlements };
    const { entitlements: bundle, loaded } = service;
    const path = serialFileOf(loaded);
    if (bundle === null || path === null) return;
    const { seen, fault } = seenSerials.find(path);
    if (seen === null)
      log.warn('no serial of entitlements is remembered: any bundle that has not expired is accepted', {
        path,
        fault,
        serial: bundle.serial,
      });
    this.record(bundle);
    if (before?.contentHash === bundle.contentHash) return;
    this.#told = { phase: 'fine', at: 0 };
    log.info('entitlements in force', describeBundle(bundle));
    this.remind();
  }

  /** Remembers the serial of a bundle that counts, if only by its revocations. */
  record(bundle: Bundle): void {
    const { log, seenSerials } = this.#dependencies;
    const path = this.#service === null ? null : serialFileOf(this.#service.loaded);
    if (path === null) return;
    const fault = seenSerials.record(path, bundle);
    if (fault === this.#fault) return;
    this.#fault = fault;
    if (fault === null) log.info('the serial of the entitlements is kept again', { path });
    else
      log.error('the serial of the entitlements is not kept: a restart would accept an older bundle', {
        path,
        fault,
        serial: bundle.serial,
      });
  }

  /** To be called every few seconds: writes a lost file again, and logs an expiry once a day. */
  remind(): void {
    const { clock, log } = this.#dependencies;
    const { entitlements: bundle, loaded } = this.#service ?? { entitlements: null, loaded: null };
    if (bundle === null || loaded === null) return;
    this.record(bundle);
    const { maxAge = null, onExpiry } = loaded.configuration.entitlements ?? {};
    const expiry = expiryOf(bundle, maxAge);
    const now = clock();
    const phase = phaseOf(expiry, now);
    if (phase === 'fine' || (phase === this.#told.phase && now < this.#told.at + DAY)) return;
    this.#told = { phase, at: now };
    const { serial } = bundle;
    if (phase === 'ends-soon')
      log.warn('the entitlements expire soon: get a new bundle', { serial, expires: formatTime(expiry) });
    else
      log.error('the entitlements have expired: get a new bundle', {
        serial,
        expired: formatTime(expiry),
        onExpiry: onExpiry ?? null,
      });
  }
}

function phaseOf(expiry: number, now: number): Phase {
  if (now > expiry) return 'expired';
  return now > expiry - WARNED_BEFORE ? 'ends-soon' : 'fine';
}

/** For the log. */
function describeBundle(bundle: Bundle) {
  const { file, serial, issuer, keyId, issuedAt, expiresAt, note, plans, revokedLicenses } = bundle;
  return {
    file,
    serial,
    issuer,
    keyId,
    issuedAt: formatTime(issuedAt),
    expires: formatTime(expiresAt),
    note,
    plans: plans.size,
    revokedLicenses: revokedLicenses.size,
  };
}
