/** What a bundle replaces in the configuration. */
import type { LoadedConfiguration } from '../config/load.ts';
import { authoritiesOf } from '../config/schema.ts';
import type { KeyPath } from '../document/text.ts';
import type { Bundle } from './bundle.ts';
import { formatPointer } from './payload.ts';

/**
 * The configuration with the bundle's plans, and its defaultPlan if it names one. The site's own plans are left out, unless
 * `localPlans: allow`; then the bundle's come first, and of two of one name the bundle's counts. What the bundle
 * holds has its place there.
 */
export function withBundle(loaded: LoadedConfiguration, bundle: Bundle | null): LoadedConfiguration {
  if (bundle === null) return loaded;
  const { configuration } = loaded;
  const { plans, defaultPlan } = bundle;
  const isLocal = configuration.entitlements?.localPlans === 'allow';
  const local = isLocal ? [...configuration.plans].filter(([name]) => !plans.has(name)) : [];
  return {
    ...loaded,
    configuration: {
      ...configuration,
      plans: local.length === 0 ? plans : new Map([...plans, ...local]),
      defaultPlan: defaultPlan ?? configuration.defaultPlan,
    },
    placeOf: (path) => {
      const [section, name] = path;
      const isOfBundle =
        section === 'plans'
          ? typeof name === 'string' && plans.has(name)
          : section === 'defaultPlan' && defaultPlan !== null;
      return isOfBundle ? formatPointer(bundle.file, path) : loaded.placeOf(path);
    },
  };
}

/** Where the site chooses a plan that is not in force: a request that it applies to is refused. */
export function findUnknownPlans({ configuration }: LoadedConfiguration): UnknownPlan[] {
  const { plans, defaultPlan, anonymousPlan } = configuration;
  const choices: { readonly path: KeyPath; readonly plan: string | undefined }[] = [
    { path: ['defaultPlan'], plan: defaultPlan },
    { path: ['anonymousPlan'], plan: anonymousPlan },
    ...authoritiesOf(configuration).flatMap(({ path, settings }) =>
      settings.planRules.map(({ plan }, index) => ({ path: [...path, 'planRules', index, 'plan'], plan })),
    ),
  ];
  return choices.flatMap(({ path, plan }) => (plan === undefined || plans.has(plan) ? [] : [{ path, plan }]));
}

export interface UnknownPlan {
  readonly path: KeyPath;
  readonly plan: string;
}
