/** The audit file of `serve`: opened as the configuration says, with a log that takes decisions only. */

import type { LoadedConfiguration } from '../config/load.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { explainError } from '../platform/errors.ts';
import { AuditFile, checkAuditFile } from '../telemetry/audit-file.ts';
import { createLineBatch, createLog, type Log } from '../telemetry/log.ts';
import { checkAuditPath } from './safety.ts';

export interface OpenAudit {
  /** Takes decisions alone. */
  readonly log: Log;
  readonly path: string;
  readonly dropped: () => number;
  /** Why it cannot be written now. */
  readonly fault: () => string | null;
  /** Lines of a worker's log of decisions. */
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
  const write = (lines: string) => file.write(lines);
  const batch = createLineBatch(write);
  return {
    log: createLog('info', 'json', batch.write),
    path,
    dropped: () => file.dropped,
    fault: () => file.fault,
    write,
    reopen: () => file.reopen(),
    close: async () => {
      batch.flush();
      await file.close();
    },
  };
}
