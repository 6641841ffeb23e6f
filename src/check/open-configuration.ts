/** Everything that `serve` would open, opened without a service: what keeps it from starting, and what it would be made of. */
import { openAuthorityKeys } from '../assemble/authority.ts';
import { FileReader } from '../assemble/files.ts';
import { type Material, openMaterial } from '../assemble/material.ts';
import { checkAuditPath, checkSafety, checkSampleKey } from '../assemble/safety.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { SeenSerials } from '../entitlements/seen-serials.ts';

export interface OpenedConfiguration {
  readonly material: Material;
  /** What the files held, by absolute path. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
  /** What is wrong with key sets in files that are used anyway. */
  readonly keySetWarnings: readonly { readonly authority: string; readonly warning: string }[];
}

/** Throws ConfigurationFault with every mistake. `now` in epoch seconds. */
export async function openConfiguration(
  loaded: LoadedConfiguration,
  now: number,
): Promise<OpenedConfiguration> {
  const files = new FileReader(loaded);
  const keySetWarnings: { authority: string; warning: string }[] = [];
  const material = await openMaterial(loaded, files, { now, seen: new SeenSerials() });
  openAuthorityKeys(loaded, files, {
    onRefresh: () => {},
    onWarning: (authority, warning) => keySetWarnings.push({ authority, warning }),
  });
  const mistakes = [...files.mistakes, ...checkSafety(loaded), ...checkAuditPath(loaded)];
  if (material !== null) mistakes.push(...checkSampleKey(loaded, material));
  if (mistakes.length > 0 || material === null) throw new ConfigurationFault(mistakes);
  return { material, contents: files.snapshot.contents, keySetWarnings };
}
