/** The vendor's bundle: what it replaces, what it lacks, when it ends, and whether its serial can be remembered. */
import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { WARNED_BEFORE } from '../assemble/bundle-watch.ts';
import { serialFileOf } from '../assemble/entitlements.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { expiryOf } from '../entitlements/admission.ts';
import type { Bundle } from '../entitlements/bundle.ts';
import { findUnknownPlans, withBundle } from '../entitlements/in-force.ts';
import { NO_FILE, SeenSerials } from '../entitlements/seen-serials.ts';
import { explainError } from '../platform/errors.ts';
import { formatTime } from '../platform/time.ts';
import type { Finding } from './finding.ts';

/** Of plans in a message. */
const MOST_NAMED = 5;

/** `loaded` is the configuration without what the bundle replaces. */
export function findEntitlementsFaults(
  loaded: LoadedConfiguration,
  bundle: Bundle | null,
  now: number,
): Finding[] {
  if (bundle === null) return [];
  return [
    ...findReplaced(loaded, bundle),
    ...findUnknown(loaded, bundle),
    ...findEnd(loaded, bundle, now),
    ...findSerialFile(loaded),
  ];
}

function findReplaced(loaded: LoadedConfiguration, { plans, file, serial }: Bundle): Finding[] {
  const isLocal = loaded.configuration.entitlements?.localPlans === 'allow';
  const own = [...loaded.configuration.plans.keys()];
  const replaced = isLocal ? own.filter((name) => plans.has(name)) : own;
  const [first] = replaced;
  if (first === undefined) return [];
  return [
    {
      severity: 'note',
      code: 'entitlements-replace',
      place: loaded.placeOf(['plans', first]),
      fault: `${file} (serial ${serial}) replaces ${replaced.length === 1 ? 'the plan' : 'the plans'} ${nameSome(replaced)} of this site.`,
      mend: isLocal ? 'Rename them.' : 'Remove them, or set entitlements.localPlans: allow.',
    },
  ];
}

function nameSome(names: readonly string[]): string {
  const more = names.length - MOST_NAMED;
  return `${names.slice(0, MOST_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function findUnknown(loaded: LoadedConfiguration, bundle: Bundle): Finding[] {
  const inForce = withBundle(loaded, bundle);
  return findUnknownPlans(inForce).map(({ path, plan }) => ({
    severity: 'error',
    code: 'entitlements-plan-unknown',
    place: inForce.placeOf(path),
    fault: `No plan ${plan} is in force: requests for which this chooses it are refused.`,
    mend: `The bundle has ${nameSome([...bundle.plans.keys()])}.`,
  }));
}

function findEnd(loaded: LoadedConfiguration, bundle: Bundle, now: number): Finding[] {
  const { maxAge = null, onExpiry } = loaded.configuration.entitlements ?? {};
  const expiry = expiryOf(bundle, maxAge);
  if (now <= expiry - WARNED_BEFORE) return [];
  const place = loaded.placeOf(['entitlements', 'path']);
  const mend = 'Get a new bundle from the vendor.';
  const then = onExpiry === 'deny' ? 'every request is answered 503' : 'it stays in use';
  return now > expiry
    ? [
        {
          severity: 'error',
          code: 'entitlements-expired',
          place,
          fault: `The bundle expired at ${formatTime(expiry)}; ${then}.`,
          mend,
        },
      ]
    : [
        {
          severity: 'warning',
          code: 'entitlements-expiring',
          place,
          fault: `The bundle expires at ${formatTime(expiry)}; after that, ${then}.`,
          mend,
        },
      ];
}

function findSerialFile(loaded: LoadedConfiguration): Finding[] {
  const file = serialFileOf(loaded);
  if (file === null) return [];
  const place = loaded.placeOf(['entitlements', 'statePath']);
  try {
    accessSync(dirname(file), constants.W_OK | constants.X_OK);
  } catch (cause) {
    return [
      {
        severity: 'error',
        code: 'entitlements-state',
        place,
        fault: `The highest serial cannot be kept in ${file} (${explainError(cause, 'write')}): a restart would accept an older bundle.`,
        mend: "Name a file in a folder of the service's user as entitlements.statePath.",
      },
    ];
  }
  const { seen, fault } = new SeenSerials().find(file);
  if (seen !== null) return [];
  return [
    {
      severity: fault === NO_FILE ? 'note' : 'warning',
      code: 'entitlements-state',
      place,
      fault: `No serial is remembered in ${file} (${fault}): any bundle that has not expired is accepted.`,
      mend:
        fault === NO_FILE
          ? 'Before the first start this is expected. Later it means that the file was lost.'
          : 'Compare the serial with the vendor; the next start writes the file again.',
    },
  ];
}
