/** Whether a bundle may come into force at this site now: for whom it is, its times, and its serial. */

import { ANY_SITE } from '../config/schema.ts';
import { excerpt } from '../platform/escape.ts';
import { formatTime } from '../platform/time.ts';
import type { Bundle } from './bundle.ts';
import type { Seen } from './seen-serials.ts';

/** What decides. Times in epoch seconds, durations in seconds. */
export interface Site {
  /** null for a site without a name: then only a bundle for every site will do. */
  readonly name: string | null;
  readonly maxAge: number | null;
  /** The bundle with the highest serial so far; null where none is known. */
  readonly seen: Seen | null;
}

/** Seconds: how far the clocks of vendor and site may differ. */
export const CLOCK_SKEW = 300;

/** When a bundle is no longer good: at its `exp`, or when it is older than `maxAge`. */
export function expiryOf(
  { expiresAt, issuedAt }: Pick<Bundle, 'expiresAt' | 'issuedAt'>,
  maxAge: number | null,
): number {
  return maxAge === null ? expiresAt : Math.min(expiresAt, issuedAt + maxAge);
}

/**
 * Why a bundle must not come into force; empty where it may. An expired one may, where it is known to be the newest that this
 * site had (`onExpiry` says what happens then): without that knowledge it could be any old one.
 */
export function findAdmissionFaults(bundle: Bundle, { name, maxAge, seen }: Site, now: number): string[] {
  const faults: string[] = [];
  const { sites, serial, notBefore, issuedAt } = bundle;
  if (!sites.includes(ANY_SITE) && (name === null || !sites.includes(name)))
    faults.push(
      `is for ${sites
        .slice(0, 5)
        .map((site) => excerpt(site, 80))
        .join(', ')}${sites.length > 5 ? ', …' : ''}; ${
        name === null ? 'entitlements.site is not set' : `this site is ${name} (entitlements.site)`
      }`,
    );
  const isKnown = seen?.serial === serial && seen.contentHash === bundle.contentHash;
  if (notBefore > now + CLOCK_SKEW && !isKnown)
    faults.push(
      `is not valid before ${formatTime(notBefore)}, and the clock of this machine says ${formatTime(now)}; compare the clocks`,
    );
  // Its age counts from there: `maxAge` would come late, or never.
  if (issuedAt > Math.max(now, notBefore) + CLOCK_SKEW && !isKnown)
    faults.push(
      `says it was signed at ${formatTime(issuedAt)}, and the clock of this machine says ${formatTime(now)}; compare the clocks`,
    );
  if (seen !== null && serial < seen.serial)
    faults.push(
      `has the serial ${serial}; this site already had ${seen.serial}, signed at ${formatTime(seen.issuedAt)}. Use the newest bundle`,
    );
  if (seen?.serial === serial && !isKnown)
    faults.push(
      `has the serial ${serial} like the bundle signed at ${formatTime(seen.issuedAt)}, but other content; the vendor must sign each change with a higher serial`,
    );
  const expiry = expiryOf(bundle, maxAge);
  if (seen === null && now > expiry + CLOCK_SKEW)
    faults.push(
      `expired at ${formatTime(expiry)}, and no serial is remembered that would show that it is the newest; get a new bundle, or restore entitlements.statePath`,
    );
  return faults;
}
