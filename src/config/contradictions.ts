/** Rules between keys. They are told beside every other mistake, so that the values may be of any kind here. */
import type { KeyPath } from '../document/document.ts';

export interface Contradiction {
  readonly path: KeyPath;
  /** What stands there; undefined where the key is missing. */
  readonly input: unknown;
  readonly message: string;
}

/** What contradicts itself in the content of a configuration file. That a value is of a wrong kind is told elsewhere. */
export function findContradictions(input: unknown): Contradiction[] {
  return [...findUnknownPlans(input), ...findTwoPasswords(input), ...findReplayUrl(input)];
}

function findUnknownPlans(input: unknown): Contradiction[] {
  const plans = memberOf(input, 'plans');
  if (typeof plans !== 'object' || plans === null || Array.isArray(plans)) return [];
  const places: KeyPath[] = [['defaultPlan'], ['anonymousPlan'], ...planRulePaths(input)];
  return places.flatMap((path) => {
    const name = path.reduce((value: unknown, key) => memberOf(value, String(key)), input);
    if (typeof name !== 'string' || name === '' || Object.hasOwn(plans, name)) return [];
    return [{ path, input: name, message: `names no plan of plans (${planNames(plans)})` }];
  });
}

/** Where plan rules name their plans. */
function planRulePaths(input: unknown): KeyPath[] {
  const planRules = memberOf(memberOf(input, 'authority'), 'planRules');
  if (!Array.isArray(planRules)) return [];
  return planRules.map((_, index) => ['authority', 'planRules', index, 'plan']);
}

function planNames(plans: object): string {
  const names = Object.keys(plans);
  return names.length === 0 ? 'which is empty' : `which has ${names.slice(0, 10).join(', ')}`;
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

function findReplayUrl(input: unknown): Contradiction[] {
  const replay = memberOf(memberOf(input, 'senderConstraint'), 'replay');
  const store = memberOf(replay, 'store') ?? 'memory';
  const url = memberOf(replay, 'url');
  if ((store !== 'memory' && store !== 'redis') || (store === 'redis') === (url !== undefined)) return [];
  const path = ['senderConstraint', 'replay', 'url'];
  return [{ path, input: undefined, message: 'stands with store: redis, and only there' }];
}

function memberOf(container: unknown, key: string): unknown {
  return typeof container === 'object' && container !== null && Object.hasOwn(container, key)
    ? (container as Record<string, unknown>)[key]
    : undefined;
}
