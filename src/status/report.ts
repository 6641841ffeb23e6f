/**
 * The state of every part of a running service, for `/status`, the `status` command and the console. A report is made of
 * a snapshot by pure functions, one a part; it holds no secret, and text from outside is escaped where it is shown.
 */

export type PartState = 'ok' | 'warning' | 'error';

export interface StatusPart {
  /** Stable, for programs: `signing-key`, `authorities.corporate`. */
  readonly name: string;
  readonly state: PartState;
  /** What is so, and where it is wrong, why. */
  readonly sentence: string;
  /** What to run next; null where there is nothing to do. */
  readonly command: string | null;
  /** For programs. Times as in RFC 3339. */
  readonly facts: Facts;
}

export type Facts = Readonly<Record<string, Fact>>;
export type Fact = string | number | boolean | null | readonly Fact[] | { readonly [name: string]: Fact };

export interface StatusReport {
  /** The worst of its parts. */
  readonly state: PartState;
  readonly version: string;
  readonly at: string;
  readonly startedAt: string;
  readonly generation: number;
  readonly configuration: {
    readonly path: string;
    readonly loadedAt: string;
    readonly overrides: readonly { readonly key: string; readonly variable: string }[];
    readonly lastReload: { readonly at: string; readonly mistakes: readonly string[] } | null;
  };
  readonly parts: readonly StatusPart[];
}

const order: readonly PartState[] = ['ok', 'warning', 'error'];

/** `ok` where there is none. */
export function worstOf(parts: readonly Pick<StatusPart, 'state'>[]): PartState {
  return order[Math.max(0, ...parts.map(({ state }) => order.indexOf(state)))] ?? 'ok';
}
