/** Rules between keys. They are told beside every other mistake, so that the values may be of any kind here. */
import type { KeyPath } from '../document/document.ts';

export interface Contradiction {
  readonly path: KeyPath;
  /** What stands there; undefined where the key is missing. */
  readonly input: unknown;
  readonly message: string;
}

/**
 * What contradicts itself in the content of a configuration file. That a value is of a wrong kind is told elsewhere.
 * `morePlans` are the names of plans that stand in other files; null where those could not be read.
 */
export function findContradictions(input: unknown, morePlans: readonly string[] | null): Contradiction[] {
  return [
    ...findNoPlans(input),
    ...(morePlans === null ? [] : findUnknownPlans(input, morePlans)),
    ...findTwoPasswords(input),
    ...findReplayTargets(input),
  ];
}

function findNoPlans(input: unknown): Contradiction[] {
  if (memberOf(input, 'plans') !== undefined || memberOf(input, 'plansPath') !== undefined) return [];
  return [{ path: ['plans'], input: undefined, message: 'is missing; must be a mapping' }];
}

function findUnknownPlans(input: unknown, morePlans: readonly string[]): Contradiction[] {
  const plans = memberOf(input, 'plans') ?? {};
  if (typeof plans !== 'object' || Array.isArray(plans)) return [];
  const names = new Set([...Object.keys(plans), ...morePlans]);
  const places: KeyPath[] = [['defaultPlan'], ['anonymousPlan'], ...planRulePaths(input)];
  return places.flatMap((path) => {
    const name = path.reduce((value: unknown, key) => memberOf(value, String(key)), input);
    if (typeof name !== 'string' || name === '' || names.has(name)) return [];
    return [{ path, input: name, message: `names no plan of plans (${listOf(names)})` }];
  });
}

/** Where plan rules name their plans. */
function planRulePaths(input: unknown): KeyPath[] {
  const planRules = memberOf(memberOf(input, 'authority'), 'planRules');
  if (!Array.isArray(planRules)) return [];
  return planRules.map((_, index) => ['authority', 'planRules', index, 'plan']);
}

function listOf(names: ReadonlySet<string>): string {
  return names.size === 0 ? 'which is empty' : `which has ${[...names].slice(0, 10).join(', ')}`;
}

function findTwoPasswords(input: unknown): Contradiction[] {
  const signing = memberOf(input, 'signing');
  const isText = (key: string) => typeof memberOf(signing, key) === 'string';
  if (!isText('keyPassword') || !isText('keyPasswordPath')) return [];
  return [
    {
      path: ['signing', 'keyPasswordPath'],
      input: undefined,
      message: 'stands beside keyPassword: one of the two',
    },
  ];
}

const redisTargets = ['url', 'sentinels', 'cluster'];
const redisKeys = [...redisTargets, 'master', 'passwordPath', 'caPath', 'minReplicas'];

/** Where Redis is: said once, and only where it is the store. */
function findReplayTargets(input: unknown): Contradiction[] {
  const replay = memberOf(memberOf(input, 'senderConstraint'), 'replay');
  const has = (key: string) => memberOf(replay, key) !== undefined;
  const mistake = (key: string, message: string): Contradiction => ({
    path: ['senderConstraint', 'replay', key],
    input: undefined,
    message,
  });
  const store = memberOf(replay, 'store') ?? 'memory';
  if (store === 'memory')
    return redisKeys.filter(has).map((key) => mistake(key, 'stands with store: redis, and only there'));
  if (store !== 'redis') return [];
  const [target, ...others] = redisTargets.filter(has);
  if (target === undefined)
    return [mistake('url', 'is missing: store: redis needs url, or sentinels and master, or cluster')];
  const mistakes = others.map((key) => mistake(key, `stands beside ${target}: one of the two`));
  if (has('sentinels') && !has('master'))
    mistakes.push(mistake('master', 'is missing: the name by which the sentinels know the master'));
  if (has('master') && !has('sentinels'))
    mistakes.push(mistake('master', 'stands with sentinels, and only there'));
  const url = URL.parse(String(memberOf(replay, 'url')));
  if (has('passwordPath') && url !== null && url.password !== '')
    mistakes.push(mistake('passwordPath', 'stands beside a password in url: one of the two'));
  if (has('caPath') && url?.protocol === 'redis:')
    mistakes.push(mistake('caPath', 'stands beside a url without TLS: write rediss://'));
  return mistakes;
}

/** The own member of this name; undefined where there is none. */
export function memberOf(container: unknown, key: string): unknown {
  return typeof container === 'object' && container !== null && Object.hasOwn(container, key)
    ? (container as Record<string, unknown>)[key]
    : undefined;
}
