/** The bundle that the configuration names, opened with the vendor's keys and judged for this site. */
import { dirname, join } from 'node:path';
import { type AuthorityKeySet, parseKeySet } from '../authority/key-set.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { findAdmissionFaults, type Site } from '../entitlements/admission.ts';
import { type Bundle, bundleFault, readBundle } from '../entitlements/bundle.ts';
import type { SeenSerials } from '../entitlements/seen-serials.ts';
import type { PauseIfDue } from '../platform/pauses.ts';
import type { FileReader } from './files.ts';

/** The bundle in force, and the files that it was made of. */
export interface BundleInForce {
  readonly contents: ReadonlyMap<string, Uint8Array>;
  readonly entitlements: Bundle | null;
}

export interface BundleOptions {
  /** Epoch seconds. */
  readonly now: number;
  /** null where the bundle was judged before: in a worker, which is given the bytes that the main thread has judged. */
  readonly seen: SeenSerials | null;
  readonly before: BundleInForce | null;
  readonly pause: PauseIfDue;
}

/**
 * Opens the bundle: that of before where its file and those of the keys have not changed. null without `entitlements`, and
 * for a bundle that must not come into force; `files` then has every mistake.
 */
export async function openBundle(
  loaded: LoadedConfiguration,
  files: FileReader,
  { now, seen, before, pause }: BundleOptions,
): Promise<Bundle | null> {
  const { entitlements } = loaded.configuration;
  if (entitlements === undefined) return null;
  const keys = files.readText('entitlements.keysPath', entitlements.keysPath);
  const bytes = files.read('entitlements.path', entitlements.path, howToGetBundle);
  await pause();
  const keySet = keys === null ? null : parseKeys(keys, files);
  if (keySet === null || bytes === null) return null;
  const file = loaded.resolvePath(entitlements.path);
  const isSame = [entitlements.path, entitlements.keysPath]
    .map(loaded.resolvePath)
    .every((path) => hasSameContent(path, files.snapshot.contents, before?.contents));
  await pause();
  try {
    const bundle =
      isSame && before?.entitlements ? before.entitlements : await readBundle(bytes, file, keySet, pause);
    const faults = seen === null ? [] : findAdmissionFaults(bundle, siteOf(loaded, seen), now);
    if (faults.length > 0) throw bundleFault(file, ...faults);
    return bundle;
  } catch (cause) {
    if (!(cause instanceof ConfigurationFault)) throw cause;
    files.reportAll(cause.mistakes);
    return null;
  }
}

function howToGetBundle(): string {
  return "get the vendor's bundle, which registry-token entitlements sign makes";
}

function parseKeys(json: string, files: FileReader): AuthorityKeySet | null {
  try {
    const keySet = parseKeySet(json);
    // With the private key whoever reads this file could sign bundles for every site.
    if (keySet.warnings.length === 0) return keySet;
    files.report(
      'entitlements.keysPath',
      'holds private or secret keys: tell the vendor, who must replace them, and use a file of public keys',
    );
    return null;
  } catch (cause) {
    files.report('entitlements.keysPath', cause instanceof Error ? cause.message : 'cannot be used');
    return null;
  }
}

function hasSameContent(
  path: string,
  contents: ReadonlyMap<string, Uint8Array>,
  former: ReadonlyMap<string, Uint8Array> | undefined,
): boolean {
  const [now, before] = [contents.get(path), former?.get(path)];
  return now !== undefined && before !== undefined && Buffer.compare(now, before) === 0;
}

function siteOf(loaded: LoadedConfiguration, serials: SeenSerials): Site {
  const { site = null, maxAge = null } = loaded.configuration.entitlements ?? {};
  const path = serialFileOf(loaded);
  return { name: site, maxAge, seen: path === null ? null : serials.find(path).seen };
}

/** Where the highest serial is kept, absolute; null without `entitlements`. */
export function serialFileOf({ configuration, file, resolvePath }: LoadedConfiguration): string | null {
  const { entitlements, senderConstraint } = configuration;
  if (entitlements === undefined) return null;
  if (entitlements.statePath !== undefined) return resolvePath(entitlements.statePath);
  const { statePath } = senderConstraint.replay;
  return join(dirname(statePath === undefined ? file : resolvePath(statePath)), 'entitlements.state');
}
