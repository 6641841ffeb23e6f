/** Plans and licences: what the configuration allows to whom. Values only; the decision is in `authorize.ts`. */
import type { Rule } from './rules.ts';

export interface Policy {
  readonly plans: ReadonlyMap<string, Plan>;
  /** The plan of an OpTok that names none. */
  readonly defaultPlan: string | null;
  /** The plan of a request without credentials; null where there is none. */
  readonly anonymousPlan: string | null;
  readonly revokedLicenses: { readonly has: (license: string) => boolean };
  /** `strict`: one denial refuses the request. `intersection`: what is allowed is granted. */
  readonly grant: 'strict' | 'intersection';
  /** The names of the OpTok's claims that hold plan and licence. */
  readonly claims: { readonly plan: string; readonly license: string };
  /** The lifetime of a registry token in seconds, where the plan has none of its own. */
  readonly lifetime: number;
}

export interface Plan {
  readonly name: string;
  /** Whether `registry:catalog:*` is allowed. */
  readonly catalog: boolean;
  /** Seconds; null for the lifetime of all. */
  readonly lifetime: number | null;
  readonly rules: readonly Rule[];
}
