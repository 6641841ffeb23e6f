/** Plans and licences: what the configuration allows to whom. Values only; the decision is in `authorize.ts`. */
import type { ClaimPath } from '../authenticate/claim-path.ts';
import type { NamedClaims } from './claim-texts.ts';
import type { Rule } from './rules.ts';

export interface Policy {
  readonly plans: ReadonlyMap<string, Plan>;
  /** The plan of an OpTok that names none. */
  readonly defaultPlan: string | null;
  /** The plan of a request without credentials; null where there is none. */
  readonly anonymousPlan: string | null;
  readonly revokedLicenses: Pick<ReadonlySet<string>, 'has' | 'size'>;
  /** `strict`: one denial refuses the request. `intersection`: what is allowed is granted. */
  readonly grant: 'strict' | 'intersection';
  /** What the claims of each Authority's OpToks mean, by the Authority's name. */
  readonly claimRules: ReadonlyMap<string, ClaimRules>;
  /** The lifetime of a registry token in seconds, where the plan has none of its own. */
  readonly lifetime: number;
}

/** Where the OpToks of an Authority name plan and licence, and which plan their other claims lead to. */
export interface ClaimRules {
  readonly plan: ClaimPath;
  readonly license: ClaimPath;
  readonly named: NamedClaims;
  readonly planRules: readonly PlanRule[];
}

/** Leads to the plan where all conditions hold. */
export interface PlanRule {
  readonly conditions: readonly Condition[];
  readonly plan: string;
}

/** Holds where the claim of this name, or one element of it, matches one of the patterns. */
export interface Condition {
  readonly name: string;
  /** `*` is any run of characters, slashes included. */
  readonly patterns: readonly string[];
}

export interface Plan {
  readonly name: string;
  /** Whether `registry:catalog:*` is allowed. */
  readonly catalog: boolean;
  /** Seconds; null for the lifetime of all. */
  readonly lifetime: number | null;
  readonly rules: readonly Rule[];
}
