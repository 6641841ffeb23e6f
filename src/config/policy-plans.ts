/** The plans of the configuration as decisions need them. */
import type { Plan } from '../authorize/policy.ts';
import type { Plans } from './schema.ts';

export function policyPlans(plans: ReadonlyMap<string, Plans[string]>): ReadonlyMap<string, Plan> {
  return new Map(
    [...plans].map(([name, { catalog, lifetime, repositories }]) => [
      name,
      {
        name,
        catalog,
        lifetime: lifetime ?? null,
        rules: repositories.map((rule, index) => ({ index, ...rule })),
      },
    ]),
  );
}
