/**
 * What a configuration that would start still gets wrong. One file a subject, each a list of findings; nothing here
 * changes anything, and `serve` asks for none of it.
 */

export interface Finding {
  /** `error`: clients or registries will fail. `warning`: they may, or somebody else may succeed. `note`: worth knowing. */
  readonly severity: 'error' | 'warning' | 'note';
  /** A short name that stays the same, for programs. */
  readonly code: string;
  /** `file:line:column` of the key, or what else it is about. */
  readonly place: string;
  /** What is wrong, in a sentence. */
  readonly fault: string;
  /** What to do, in a sentence; empty where there is nothing to do. */
  readonly mend: string;
}
