/** The audit file of `serve`, opened as the configuration says. */

import type { LoadedConfiguration } from '../config/load.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { explainError } from '../platform/errors.ts';
import { AuditFile, checkAuditFile } from '../telemetry/audit-file.ts';
import type { Log } from '../telemetry/log.ts';
import { checkAuditPath } from './safety.ts';

export interface OpenAudit {
  readonly path: string;
  readonly dropped: () => number;
  /** Why it cannot be written now. */
  readonly fault: () => string | null;
  /** Whole lines. */
  readonly write: (lines: string) => void;
  readonly reopen: () => void;
  readonly close: () => Promise<void>;
}

/** null if the configuration names no file. Throws ConfigurationFault if it cannot be written. */
export function openAudit(loaded: LoadedConfiguration, log: Log): OpenAudit | null {
  const { auditPath } = loaded.configuration.logging;
  if (auditPath === undefined) return null;
  const mistakes = checkAuditPath(loaded);
  if (mistakes.length > 0) throw new ConfigurationFault(mistakes);
  const path = loaded.resolvePath(auditPath);
  try {
    checkAuditFile(path);
  } catch (cause) {
    const message = `${path} cannot be written: ${explainError(cause, 'write')}`;
    throw new ConfigurationFault([loaded.mistakeAt('logging.auditPath', message)]);
  }
  const file = new AuditFile({ path, log });
  return {
    path,
    dropped: () => file.dropped,
    fault: () => file.fault,
    write: (lines) => file.write(lines),
    reopen: () => file.reopen(),
    close: () => file.close(),
  };
}
