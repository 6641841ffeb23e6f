/** Whether the audit file can be one, before it is opened: nothing is made here, it would belong to whoever checks. */
import { type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { LoadedConfiguration } from '../config/load.ts';
import type { Mistake } from '../document/mistakes.ts';

export function checkAuditPath(loaded: LoadedConfiguration): Mistake[] {
  const { auditPath } = loaded.configuration.logging;
  if (auditPath === undefined) return [];
  const path = loaded.resolvePath(auditPath);
  const fault = faultOf(path);
  return fault === null ? [] : [loaded.mistakeAt('logging.auditPath', fault)];
}

function faultOf(path: string): string | null {
  const folder = dirname(path);
  if (!kindOf(folder)?.isDirectory())
    return `the folder ${folder} does not exist: make it, and give it to the service's user`;
  const kind = kindOf(path);
  // To open a pipe would wait for its reader. A device is for tests of a full disk.
  if (kind === null || kind.isFile() || kind.isCharacterDevice()) return null;
  return `${path} is a folder, a pipe or a socket: name a file`;
}

function kindOf(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}
