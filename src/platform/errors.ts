/** What a caught error is called in a message: the system's code, or its own words. */

/**
 * The system's short name for what went wrong (`ENOENT`, `ECONNREFUSED`); `otherwise` where the cause has none. A code
 * quotes nothing, so it may be shown and logged.
 */
export function errorCode(cause: unknown, otherwise = 'unknown fault'): string {
  return cause instanceof Error && 'code' in cause && cause.code !== undefined
    ? String(cause.code)
    : otherwise;
}

/** The system's code, or the message of an error of ours. Not for errors whose text may quote a secret. */
export function errorCodeOrMessage(cause: unknown): string {
  return errorCode(cause, cause instanceof Error ? cause.message : undefined);
}
